//! The feed measurement: NewsFeed for a user who follows many. Never changes the feed while it
//! measures.

use std::sync::Arc;

use super::load::run_calls;
use super::table::TableRow;
use super::{Measurement, Session, floor, publish};
use crate::api::v1::{FollowRequest, NewsFeedRequest};
use crate::cli::number;
use crate::client::{Client, Error};

/// Followed authors.
const AUTHORS: u64 = 1_000;
/// Posts of each author: more than a page has of any.
const POSTS_EACH: u64 = 10;
const PAGE_ITEMS: i32 = 50;
/// Concurrent calls during the preparation.
const IN_FLIGHT: usize = 256;

/// Measures NewsFeed against the floor, one call at a time.
pub(super) async fn measure(session: &Session<'_>) -> Result<TableRow, Error> {
    let (user_id, of) = match &session.args.feed_user {
        Some(user) => (user.clone(), format!("of {user}")),
        None => (prepare(session).await?, format!("of {} authors", number::grouped(AUTHORS))),
    };
    let request = NewsFeedRequest { user_id, page_size: PAGE_ITEMS, ..NewsFeedRequest::default() };
    let page = session.client().news_feed(request.clone()).await?;
    let what = format!("{} items {of}, 1 in flight", page.items.len());
    let read = move |client: Client, _| {
        let request = request.clone();
        async move { client.news_feed(request).await.map(drop) }
    };
    let measured = floor::compare(&session.clients, 1, session.time(), read).await?;
    Ok(TableRow {
        floor_ratio: Some(measured.p50_ratio),
        ..measured.load.row(Measurement::Feed, what)
    })
}

/// Makes a user who follows [`AUTHORS`] authors with posts. Gives the user's id.
async fn prepare(session: &Session<'_>) -> Result<String, Error> {
    let reader = format!("{}reader", session.names);
    let names = Arc::clone(&session.names);
    let user_id = reader.clone();
    run_calls(&session.clients, IN_FLIGHT, AUTHORS, move |client, number| {
        let followee_id = format!("{names}f{number}");
        let request = FollowRequest { user_id: user_id.clone(), followee_id };
        async move { client.follow(request).await.map(drop) }
    })
    .await?;
    let names = Arc::clone(&session.names);
    run_calls(&session.clients, IN_FLIGHT, AUTHORS * POSTS_EACH, move |client, number| {
        let request = publish::post(format!("{names}f{}", number % AUTHORS), "f", number);
        async move { publish::publish_new(client, request).await.map(drop) }
    })
    .await?;
    Ok(reader)
}
