//! The fan-out measurements: one author, many watchers, and every post to each watcher. First at
//! the highest rate, for the throughput; then at a part of it, for the latency. Never judges the
//! result.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::load::{Latencies, join_result, run_calls};
use super::table::TableRow;
use super::watchers::{Received, Watchers};
use super::{Measurement, Session, publish};
use crate::api::v1::{FollowRequest, GetLatestCursorRequest, PublishRequest};
use crate::cli::{Error, number};
use crate::client::{self, Client};

/// Concurrent calls of Follow during the preparation.
const FOLLOWS_IN_FLIGHT: usize = 256;
/// Latencies are measured at this part of the highest rate: high enough to be a load, low enough
/// that no queues form.
const PACED_PART: f64 = 0.25;
/// Minimum and maximum of that rate, in posts a second.
const PACED_PER_S: (f64, f64) = (5.0, 1_000.0);
/// Wait after the last expected delivery, in which events that come twice are received.
const GRACE: Duration = Duration::from_millis(200);

/// The time just before the call of Publish, by the revision of the post.
type PublishTimes = Arc<Mutex<BTreeMap<u64, Instant>>>;

/// Measures the fan-out to watchers on `connections` connections.
pub(super) async fn measure(
    session: &Session<'_>,
    name: Measurement,
    connections: usize,
) -> Result<TableRow, Error> {
    let watching = session.args.watchers;
    let author = format!("{}{}", session.names, name.as_str());
    prepare(session, &author, watching).await?;
    let users = (0..watching).map(|number| watcher(&author, number));
    // Another node then shows the follows, too.
    let there = Client::connect(&session.watch_address).await?;
    there.get_latest_cursor(GetLatestCursorRequest {}).await?;
    let watchers = Watchers::open(&session.watch_address, users, connections).await?;
    let published = PublishTimes::default();

    let posts = session.args.posts;
    let started = Instant::now();
    publish_fast(session, &author, posts, &published).await?;
    watchers.wait_for(posts * watching).await;
    let deliveries = watchers.received();
    let per_s =
        number::per_second(deliveries, last_delivery(&watchers).unwrap_or(started) - started);

    let rate = per_s * PACED_PART / watching as f64;
    let rate = rate.clamp(PACED_PER_S.0, PACED_PER_S.1);
    let paced_from = Instant::now();
    let paced = publish_paced(session, &author, posts, rate, &published).await?;
    watchers.wait_for((posts + paced) * watching).await;
    sleep(GRACE).await;

    let published = published.lock().unwrap_or_else(PoisonError::into_inner);
    let latencies = latencies(&watchers, &published, paced_from);
    let (shown, on) = (number::grouped(watching), number::grouped(connections as u64));
    let rate = number::rounded(rate);
    let what = format!("{shown} on {on} conns; latency at {rate} posts/s");
    Ok(TableRow {
        per_s: Some(per_s),
        p50_us: Some(latencies.p50_us() as f64),
        p99_us: Some(latencies.p99_us() as f64),
        lost: Some(lost(&watchers, &published)),
        ..TableRow::new(name, what)
    })
}

async fn prepare(session: &Session<'_>, author: &str, watching: u64) -> Result<(), Error> {
    let followee = author.to_owned();
    let follow = move |client: Client, number| {
        let (user_id, followee_id) = (watcher(&followee, number), followee.clone());
        async move { client.follow(FollowRequest { user_id, followee_id }).await.map(drop) }
    };
    Ok(run_calls(&session.clients, FOLLOWS_IN_FLIGHT, watching, follow).await?)
}

fn watcher(author: &str, number: u64) -> String {
    format!("{author}-w{number}")
}

/// Publishes `posts` posts like the `publish` measurement.
async fn publish_fast(
    session: &Session<'_>,
    author: &str,
    posts: u64,
    published: &PublishTimes,
) -> Result<(), Error> {
    let (author, published) = (author.to_owned(), Arc::clone(published));
    let publish = move |client: Client, number| {
        let request = publish::post(author.clone(), "w", number);
        publish_timed(client, request, Arc::clone(&published))
    };
    Ok(run_calls(&session.clients, session.in_flight(), posts, publish).await?)
}

/// Publishes `per_s` posts a second without waiting for answers. Gives the number of posts.
async fn publish_paced(
    session: &Session<'_>,
    author: &str,
    after: u64,
    per_s: f64,
    published: &PublishTimes,
) -> Result<u64, Error> {
    let posts = (per_s * session.time().as_secs_f64()).ceil() as u64;
    let started = Instant::now();
    let mut calls = JoinSet::new();
    for number in 0..posts {
        sleep_until(started + Duration::from_secs_f64(number as f64 / per_s)).await;
        let request = publish::post(author.to_owned(), "w", after + number);
        calls.spawn(publish_timed(session.client(), request, Arc::clone(published)));
    }
    while let Some(result) = calls.join_next().await {
        join_result(result)?;
    }
    Ok(posts)
}

async fn publish_timed(
    client: Client,
    request: PublishRequest,
    published: PublishTimes,
) -> Result<(), client::Error> {
    let begun = Instant::now();
    let post = publish::publish_new(client, request).await?;
    published.lock().unwrap_or_else(PoisonError::into_inner).insert(post.revision, begun);
    Ok(())
}

fn last_delivery(watchers: &Watchers) -> Option<Instant> {
    let mut last = None;
    watchers.each(|log| last = last.max(log.last().map(|delivery| delivery.at)));
    last
}

/// The latencies from call to delivery of all posts that were published at or after `from`.
fn latencies(watchers: &Watchers, published: &BTreeMap<u64, Instant>, from: Instant) -> Latencies {
    let mut latencies = Latencies::new();
    watchers.each(|log| {
        let of_log = log.iter().filter_map(|delivery| {
            let begun = published.get(&delivery.revision).filter(|&&begun| begun >= from)?;
            Some(delivery.at - *begun)
        });
        of_log.for_each(|latency| latencies.record(latency));
    });
    latencies
}

/// Number of deliveries of all watchers that did not come exactly once and in order.
fn lost(watchers: &Watchers, published: &BTreeMap<u64, Instant>) -> u64 {
    let mut lost = 0;
    watchers.each(|log| lost += lost_of(log, published));
    lost
}

fn lost_of(log: &[Received], published: &BTreeMap<u64, Instant>) -> u64 {
    let (mut good, mut newest) = (0, 0);
    for delivery in log {
        if delivery.revision > newest && published.contains_key(&delivery.revision) {
            good += 1;
            newest = delivery.revision;
        }
    }
    let (expected, received) = (published.len() as u64, log.len() as u64);
    (expected - good) + (received - good)
}
