//! The mixed measurement: nine reads to one write, of the calls that an app makes most, against the
//! floor. Never follows or unfollows while it measures.

use std::sync::{Arc, Mutex, PoisonError};

use super::load::run_calls;
use super::table::TableRow;
use super::{Measurement, Session, floor, publish};
use crate::api::v1::{
    FollowRequest, GetProfileRequest, GetThreadRequest, LikeRequest, ListNotificationsRequest,
    ListPostsRequest, NewsFeedRequest, PublishRequest, RepostRequest,
};
use crate::client::{Client, Error};

const USERS: u64 = 1_000;
/// Number of users that each user follows.
const FOLLOWEES: u64 = 10;
/// Posts that exist before the measurement.
const POSTS: u64 = 5_000;
const PAGE_ITEMS: i32 = 50;
/// Concurrent calls during the preparation.
const IN_FLIGHT: usize = 256;

/// The users and posts that the calls name.
#[derive(Clone, Debug)]
struct DataSet {
    names: Arc<str>,
    post_ids: Arc<[String]>,
}

/// Measures the mix with the usual number of calls in flight.
pub(super) async fn measure(session: &Session<'_>) -> Result<TableRow, Error> {
    let data = DataSet::prepare(session).await?;
    let in_flight = session.in_flight();
    let call = move |client: Client, _| {
        let data = data.clone();
        async move { data.call(&client).await }
    };
    let measured = floor::compare(&session.clients, in_flight, session.time(), call).await?;
    let what = format!("9 reads to a durable write, {in_flight} in flight");
    let row = measured.load.row(Measurement::Mixed, what);
    Ok(TableRow { floor_ratio: Some(measured.rate_ratio), ..row })
}

impl DataSet {
    /// Makes users in a ring, who each follow the next ones, and their posts.
    async fn prepare(session: &Session<'_>) -> Result<Self, Error> {
        let names: Arc<str> = format!("{}m", session.names).into();
        let users = Arc::clone(&names);
        run_calls(&session.clients, IN_FLIGHT, USERS * FOLLOWEES, move |client, number| {
            let (user, step) = (number / FOLLOWEES, number % FOLLOWEES + 1);
            let user_id = format!("{users}{user}");
            let followee_id = format!("{users}{}", (user + step) % USERS);
            async move { client.follow(FollowRequest { user_id, followee_id }).await.map(drop) }
        })
        .await?;
        let post_ids = Arc::new(Mutex::new(Vec::new()));
        let (users, published) = (Arc::clone(&names), Arc::clone(&post_ids));
        run_calls(&session.clients, IN_FLIGHT, POSTS, move |client, number| {
            let request = publish::post(format!("{users}{}", number % USERS), "m", number);
            let published = Arc::clone(&published);
            async move {
                let post = publish::publish_new(client, request).await?;
                published.lock().unwrap_or_else(PoisonError::into_inner).push(post.post_id);
                Ok(())
            }
        })
        .await?;
        let post_ids =
            std::mem::take(&mut *post_ids.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Self { names, post_ids: post_ids.into() })
    }

    /// Makes a random call: most reads are of the feed, and most writes are likes.
    async fn call(&self, client: &Client) -> Result<(), Error> {
        let (user_id, other_id, post_id) = (self.user(), self.user(), self.post_id());
        match fastrand::u32(..100) {
            ..55 => {
                let request =
                    NewsFeedRequest { user_id, page_size: PAGE_ITEMS, ..Default::default() };
                client.news_feed(request).await.map(drop)
            }
            55..65 => {
                let request = GetThreadRequest { user_id, post_id, ..Default::default() };
                client.get_thread(request).await.map(drop)
            }
            65..75 => {
                let request =
                    ListPostsRequest { user_id, author_id: other_id, ..Default::default() };
                client.list_posts(request).await.map(drop)
            }
            75..83 => {
                let request = ListNotificationsRequest { user_id, ..Default::default() };
                client.list_notifications(request).await.map(drop)
            }
            83..90 => {
                let request =
                    GetProfileRequest { user_id, of_user_id: other_id, ..Default::default() };
                client.get_profile(request).await.map(drop)
            }
            90..96 => client.like(LikeRequest { user_id, post_id }).await.map(drop),
            96 => client.repost(RepostRequest { user_id, post_id }).await.map(drop),
            number => {
                // Two of three posts are replies.
                let reply_to_post_id = if number < 99 { post_id } else { String::new() };
                let text = "Seven notes and gone.".to_owned();
                let request =
                    PublishRequest { user_id, text, reply_to_post_id, ..Default::default() };
                client.publish(request).await.map(drop)
            }
        }
    }

    fn user(&self) -> String {
        format!("{}{}", self.names, fastrand::u64(..USERS))
    }

    fn post_id(&self) -> String {
        fastrand::choice(self.post_ids.iter()).cloned().unwrap_or_default()
    }
}
