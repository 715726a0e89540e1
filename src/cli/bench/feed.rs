//! Reading the feed of somebody who follows many.

use std::sync::Arc;

use super::load::so_many;
use super::table::Row;
use super::{Name, Session, floor, publish};
use crate::api::v1::{FollowRequest, NewsFeedRequest};
use crate::cli::number;
use crate::client::{Client, Error};

/// Whom the reader follows.
const AUTHORS: u64 = 1_000;
/// Posts of each of them: more than one page takes of any.
const POSTS_EACH: u64 = 10;
/// Items of a page.
const PAGE_ITEMS: i32 = 50;
/// Calls at once while things are made ready.
const IN_FLIGHT: usize = 256;

/// Measures NewsFeed, one call at a time, beside the floor, one call at a time.
pub(super) async fn measure(session: &Session<'_>) -> Result<Row, Error> {
    let (user_id, of) = match &session.args.feed_user {
        Some(user) => (user.clone(), format!("of {user}")),
        None => (make_ready(session).await?, format!("of {} authors", number::grouped(AUTHORS))),
    };
    let request = NewsFeedRequest { user_id, page_size: PAGE_ITEMS, ..NewsFeedRequest::default() };
    let page = session.client().news_feed(request.clone()).await?;
    let what = format!("{} items {of}, 1 in flight", page.items.len());
    let read = move |client: Client, _| {
        let request = request.clone();
        async move { client.news_feed(request).await.map(drop) }
    };
    let measured = floor::beside(&session.clients, 1, session.time(), read).await?;
    Ok(Row { floor_ratio: Some(measured.p50_ratio), ..measured.load.row(Name::Feed, what) })
}

/// Makes somebody who follows many, each of whom has posts. Gives who it is.
async fn make_ready(session: &Session<'_>) -> Result<String, Error> {
    let reader = format!("{}reader", session.names);
    let names = Arc::clone(&session.names);
    let user_id = reader.clone();
    so_many(&session.clients, IN_FLIGHT, AUTHORS, move |client, number| {
        let followee_id = format!("{names}f{number}");
        let request = FollowRequest { user_id: user_id.clone(), followee_id };
        async move { client.follow(request).await.map(drop) }
    })
    .await?;
    let names = Arc::clone(&session.names);
    so_many(&session.clients, IN_FLIGHT, AUTHORS * POSTS_EACH, move |client, number| {
        let request = publish::post(format!("{names}f{}", number % AUTHORS), "f", number);
        async move { client.publish(request).await.map(drop) }
    })
    .await?;
    Ok(reader)
}
