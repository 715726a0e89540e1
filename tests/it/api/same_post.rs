//! A post is the same in every response that has it, for every reader, and also after a restart.

use whimbrel::api::v1::feed_event::Change;
use whimbrel::api::v1::watch_feed_response::Kind;
use whimbrel::api::v1::{
    Attachment, FollowRequest, GetPostsRequest, GetThreadRequest, ListNotificationsRequest,
    ListPostsRequest, ListQuotesRequest, ListRepliesRequest, NewsFeedRequest, Post, PublishRequest,
    WatchFeedRequest, thread_post,
};
use whimbrel::client::Client;

use crate::harness::TestServer;

/// A reply that quotes, with everything that a post can have.
#[tokio::test]
async fn every_response_has_the_same_post() {
    let mut server = TestServer::start().await;
    let client = Client::connect(&server.address().to_string()).await.unwrap();
    for (user, followee) in [("bob", "alice"), ("bob", "carol"), ("carol", "bob")] {
        let (user_id, followee_id) = (user.to_owned(), followee.to_owned());
        client.follow(FollowRequest { user_id, followee_id }).await.unwrap();
    }
    let parent = publish(&client, by("alice", "What did you see?")).await;
    let quoted = publish(&client, by("bob", "A bird.")).await;
    let watched = WatchFeedRequest { user_id: "bob".to_owned(), ..Default::default() };
    let mut watching = client.watch_feed(watched).await.unwrap();
    let uri = "https://example.org/bird.jpg".to_owned();
    let request = PublishRequest {
        reply_to_post_id: parent.post_id.clone(),
        quote_post_id: quoted.post_id.clone(),
        attachments: vec![Attachment { uri, ..Attachment::default() }],
        langs: vec!["en".to_owned()],
        ..by("carol", "@bob a #whimbrel: https://example.org/whimbrel")
    };
    let post = publish(&client, request).await;
    assert_eq!((post.author_id.as_str(), post.facets.len()), ("carol", 3));
    assert_eq!(post.reply_to.as_ref().unwrap().post_id, parent.post_id);

    let pushed = loop {
        let message = watching.next().await.unwrap().expect("the stream goes on").kind;
        if let Some(Kind::Batch(batch)) = message {
            break batch.events.into_iter().next().unwrap().change;
        }
    };
    let Some(Change::Posted(posted)) = pushed else { panic!("not a post: {pushed:?}") };
    assert_eq!(posted.item.unwrap().post.as_ref(), Some(&post), "WatchFeed");
    for (rpc, read) in reads(&client, &parent, &quoted, &post).await {
        assert_eq!(read, post, "{rpc}");
    }

    server.restart().await;
    let client = Client::connect(&server.address().to_string()).await.unwrap();
    for _ in 0..2 {
        for (rpc, read) in reads(&client, &parent, &quoted, &post).await {
            assert_eq!(read, post, "{rpc} after a restart");
        }
    }
}

fn by(author: &str, text: &str) -> PublishRequest {
    let (user_id, text) = (author.to_owned(), text.to_owned());
    PublishRequest { user_id, text, ..PublishRequest::default() }
}

async fn publish(client: &Client, request: PublishRequest) -> Post {
    client.publish(request).await.unwrap().post.expect("the response has the post")
}

/// `post`, a reply to `parent` that quotes `quoted`, as each call returns it.
async fn reads(
    client: &Client,
    parent: &Post,
    quoted: &Post,
    post: &Post,
) -> Vec<(&'static str, Post)> {
    let user_id = || "bob".to_owned();
    let feed = NewsFeedRequest { user_id: user_id(), ..Default::default() };
    let feed = client.news_feed(feed).await.unwrap().items.remove(0).post;
    let of_author = ListPostsRequest {
        user_id: user_id(),
        author_id: "carol".to_owned(),
        include_replies: true,
        ..Default::default()
    };
    let of_author = client.list_posts(of_author).await.unwrap().items.remove(0).post;
    let by_id = GetPostsRequest {
        user_id: user_id(),
        post_ids: vec![post.post_id.clone()],
        ..Default::default()
    };
    let by_id = client.get_posts(by_id).await.unwrap().posts.remove(0).post;
    let replies = ListRepliesRequest {
        user_id: user_id(),
        post_id: parent.post_id.clone(),
        ..Default::default()
    };
    let replies = client.list_replies(replies).await.unwrap().posts.remove(0).post;
    let quotes = ListQuotesRequest {
        user_id: user_id(),
        post_id: quoted.post_id.clone(),
        ..Default::default()
    };
    let quotes = client.list_quotes(quotes).await.unwrap().posts.remove(0).post;
    let thread = GetThreadRequest {
        user_id: user_id(),
        post_id: post.post_id.clone(),
        ..Default::default()
    };
    let thread = match client.get_thread(thread).await.unwrap().post.unwrap().shown {
        Some(thread_post::Shown::View(view)) => view.post,
        other => panic!("not shown: {other:?}"),
    };
    let notifications = ListNotificationsRequest { user_id: user_id(), ..Default::default() };
    let notifications = client.list_notifications(notifications).await.unwrap().notifications;
    let notification =
        notifications.into_iter().find(|it| it.actor_id == "carol" && it.post.is_some());
    let read = [
        ("NewsFeed", feed),
        ("ListPosts", of_author),
        ("GetPosts", by_id),
        ("ListReplies", replies),
        ("ListQuotes", quotes),
        ("GetThread", thread),
        ("ListNotifications", notification.unwrap().post),
    ];
    read.into_iter().map(|(rpc, post)| (rpc, post.expect("the response has the post"))).collect()
}
