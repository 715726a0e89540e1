//! All that readers see of a server, as text, to compare two servers.

use whimbrel::api::v1::{
    GetProfileRequest, GetThreadRequest, ListFollowersRequest, ListFollowingRequest,
    ListLikesRequest, ListNotificationsRequest, ListPostsRequest, NewsFeedRequest,
};
use whimbrel::client::Client;

/// The answers to all reads of `users`, each as all of them.
pub(super) async fn answers(client: &Client, users: &[String]) -> Vec<String> {
    let mut answers = Vec::new();
    for viewer in users {
        let user_id = viewer.clone();
        let feed = NewsFeedRequest { user_id, page_size: 100, ..Default::default() };
        let feed = client.news_feed(feed).await.unwrap();
        for item in &feed.items {
            let post_id = item.post.as_ref().unwrap().post_id.clone();
            let user_id = viewer.clone();
            let thread =
                GetThreadRequest { user_id, post_id: post_id.clone(), ..Default::default() };
            answers.push(format!("{:?}", client.get_thread(thread).await.unwrap()));
            let likes = ListLikesRequest { user_id: viewer.clone(), post_id, ..Default::default() };
            answers.push(format!("{:?}", client.list_likes(likes).await.unwrap()));
        }
        answers.push(format!("{feed:?}"));
        let user_id = viewer.clone();
        let notifications = ListNotificationsRequest { user_id, ..Default::default() };
        answers.push(format!("{:?}", client.list_notifications(notifications).await.unwrap()));
        for other in users {
            answers.extend(of_other(client, viewer, other).await);
        }
    }
    answers
}

async fn of_other(client: &Client, viewer: &str, other: &str) -> [String; 4] {
    let names = || (viewer.to_owned(), other.to_owned());
    let (user_id, of_user_id) = names();
    let profile = GetProfileRequest { user_id, of_user_id, ..Default::default() };
    let (user_id, of_user_id) = names();
    let followers = ListFollowersRequest { user_id, of_user_id, ..Default::default() };
    let (user_id, of_user_id) = names();
    let following = ListFollowingRequest { user_id, of_user_id, ..Default::default() };
    let (user_id, author_id) = names();
    let posts = ListPostsRequest { user_id, author_id, ..Default::default() };
    [
        format!("{:?}", client.get_profile(profile).await),
        format!("{:?}", client.list_followers(followers).await),
        format!("{:?}", client.list_following(following).await),
        format!("{:?}", client.list_posts(posts).await),
    ]
}
