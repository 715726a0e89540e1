//! A mixed load: nine reads to a write, of the calls that an app makes most, beside the floor.

use std::sync::{Arc, Mutex, PoisonError};

use super::load::so_many;
use super::table::Row;
use super::{Name, Session, floor, publish};
use crate::api::v1::{
    FollowRequest, GetProfileRequest, GetThreadRequest, LikeRequest, ListNotificationsRequest,
    ListPostsRequest, NewsFeedRequest, PublishRequest, RepostRequest,
};
use crate::client::{Client, Error};

/// Those who call, each of whom follows so many others.
const USERS: u64 = 1_000;
const FOLLOWEES: u64 = 10;
/// Posts that are there to be read and liked.
const POSTS: u64 = 5_000;
/// Items of a page of a feed.
const PAGE_ITEMS: i32 = 50;
/// Calls at once while things are made ready.
const IN_FLIGHT: usize = 256;

/// What is called about.
#[derive(Clone, Debug)]
struct World {
    names: Arc<str>,
    post_ids: Arc<[String]>,
}

/// Measures the mix with the usual number of calls in flight.
pub(super) async fn measure(session: &Session<'_>) -> Result<Row, Error> {
    let world = World::make(session).await?;
    let in_flight = session.in_flight();
    let call = move |client: Client, _| {
        let world = world.clone();
        async move { world.call(&client).await }
    };
    let measured = floor::beside(&session.clients, in_flight, session.time(), call).await?;
    let what = format!("9 reads to a durable write, {in_flight} in flight");
    let row = measured.load.row(Name::Mixed, what);
    Ok(Row { floor_ratio: Some(measured.rate_ratio), ..row })
}

impl World {
    /// Users in a ring, who follow the next ones, and posts of theirs.
    async fn make(session: &Session<'_>) -> Result<Self, Error> {
        let names: Arc<str> = format!("{}m", session.names).into();
        let users = Arc::clone(&names);
        so_many(&session.clients, IN_FLIGHT, USERS * FOLLOWEES, move |client, number| {
            let (user, step) = (number / FOLLOWEES, number % FOLLOWEES + 1);
            let user_id = format!("{users}{user}");
            let followee_id = format!("{users}{}", (user + step) % USERS);
            async move { client.follow(FollowRequest { user_id, followee_id }).await.map(drop) }
        })
        .await?;
        let post_ids = Arc::new(Mutex::new(Vec::new()));
        let (users, made) = (Arc::clone(&names), Arc::clone(&post_ids));
        so_many(&session.clients, IN_FLIGHT, POSTS, move |client, number| {
            let request = publish::post(format!("{users}{}", number % USERS), "m", number);
            let made = Arc::clone(&made);
            async move {
                let post = client.publish(request).await?.post.unwrap_or_default();
                made.lock().unwrap_or_else(PoisonError::into_inner).push(post.post_id);
                Ok(())
            }
        })
        .await?;
        let post_ids =
            std::mem::take(&mut *post_ids.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Self { names, post_ids: post_ids.into() })
    }

    /// Makes a call: mostly of a feed, then of what a feed leads to; of writes mostly likes.
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
                // Two of three answer something.
                let reply_to_post_id = if number < 99 { post_id } else { String::new() };
                let text = "Seven notes and gone.".to_owned();
                let author_id = user_id;
                let request =
                    PublishRequest { author_id, text, reply_to_post_id, ..Default::default() };
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
