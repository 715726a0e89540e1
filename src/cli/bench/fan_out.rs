//! Fan-out: one author, many watchers, every post to each of them. First as fast as posts can be
//! published, for the rate; then at a rate well below, for the latency.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::load::{Latencies, joined, so_many};
use super::table::Row;
use super::watchers::{Delivery, Watchers};
use super::{Name, Session, publish};
use crate::api::v1::{FollowRequest, PublishRequest};
use crate::cli::{Error, number};
use crate::client::{self, Client};

/// Follows at once while things are made ready.
const FOLLOWS_IN_FLIGHT: usize = 256;
/// The part of the fastest rate at which latencies are measured: high enough to be work, low
/// enough that nothing queues.
const PACED_PART: f64 = 0.25;
/// Bounds of that rate, in posts a second.
const PACED_PER_S: (f64, f64) = (5.0, 1_000.0);
/// What comes so long after the last that was expected has come twice.
const GRACE: Duration = Duration::from_millis(200);

/// When each post was published: just before the call, by its revision.
type Published = Arc<Mutex<BTreeMap<u64, Instant>>>;

/// Measures the fan-out to watchers on so many connections.
pub(super) async fn measure(
    session: &Session<'_>,
    name: Name,
    connections: usize,
) -> Result<Row, Error> {
    let watching = session.args.watchers;
    let author = format!("{}{}", session.names, name.as_str());
    make_ready(session, &author, watching).await?;
    let users = (0..watching).map(|number| watcher(&author, number));
    let watchers = Watchers::open(&session.address, users, connections).await?;
    let published = Published::default();

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
    Ok(Row {
        per_s: Some(per_s),
        p50_us: Some(latencies.p50_us() as f64),
        p99_us: Some(latencies.p99_us() as f64),
        lost: Some(lost(&watchers, &published)),
        ..Row::new(name, what)
    })
}

async fn make_ready(session: &Session<'_>, author: &str, watching: u64) -> Result<(), Error> {
    let followee = author.to_owned();
    let follow = move |client: Client, number| {
        let (user_id, followee_id) = (watcher(&followee, number), followee.clone());
        async move { client.follow(FollowRequest { user_id, followee_id }).await.map(drop) }
    };
    Ok(so_many(&session.clients, FOLLOWS_IN_FLIGHT, watching, follow).await?)
}

fn watcher(author: &str, number: u64) -> String {
    format!("{author}-w{number}")
}

/// Publishes as the `publish` measurement does.
async fn publish_fast(
    session: &Session<'_>,
    author: &str,
    posts: u64,
    published: &Published,
) -> Result<(), Error> {
    let (author, published) = (author.to_owned(), Arc::clone(published));
    let publish = move |client: Client, number| {
        let request = publish::post(author.clone(), "w", number);
        publish_noted(client, request, Arc::clone(&published))
    };
    Ok(so_many(&session.clients, session.in_flight(), posts, publish).await?)
}

/// Publishes at a rate, whether earlier posts are answered or not. Gives how many.
async fn publish_paced(
    session: &Session<'_>,
    author: &str,
    after: u64,
    per_s: f64,
    published: &Published,
) -> Result<u64, Error> {
    let posts = (per_s * session.time().as_secs_f64()).ceil() as u64;
    let started = Instant::now();
    let mut calls = JoinSet::new();
    for number in 0..posts {
        sleep_until(started + Duration::from_secs_f64(number as f64 / per_s)).await;
        let request = publish::post(author.to_owned(), "w", after + number);
        calls.spawn(publish_noted(session.client(), request, Arc::clone(published)));
    }
    while let Some(ended) = calls.join_next().await {
        joined(ended)?;
    }
    Ok(posts)
}

async fn publish_noted(
    client: Client,
    request: PublishRequest,
    published: Published,
) -> Result<(), client::Error> {
    let begun = Instant::now();
    let post = client.publish(request).await?.post.unwrap_or_default();
    published.lock().unwrap_or_else(PoisonError::into_inner).insert(post.revision, begun);
    Ok(())
}

fn last_delivery(watchers: &Watchers) -> Option<Instant> {
    let mut last = None;
    watchers.each(|log| last = last.max(log.last().map(|delivery| delivery.at)));
    last
}

/// From the call to the delivery, for all that was published from `from` on.
fn latencies(watchers: &Watchers, published: &BTreeMap<u64, Instant>, from: Instant) -> Latencies {
    let mut latencies = Latencies::new();
    watchers.each(|log| {
        let took = log.iter().filter_map(|delivery| {
            let begun = published.get(&delivery.revision).filter(|&&begun| begun >= from)?;
            Some(delivery.at - *begun)
        });
        took.for_each(|took| latencies.record(took));
    });
    latencies
}

/// Deliveries that did not come exactly once and in order, over all watchers.
fn lost(watchers: &Watchers, published: &BTreeMap<u64, Instant>) -> u64 {
    let mut lost = 0;
    watchers.each(|log| lost += lost_of(log, published));
    lost
}

fn lost_of(log: &[Delivery], published: &BTreeMap<u64, Instant>) -> u64 {
    let (mut good, mut newest) = (0, 0);
    for delivery in log {
        if delivery.revision > newest && published.contains_key(&delivery.revision) {
            good += 1;
            newest = delivery.revision;
        }
    }
    let (expected, came) = (published.len() as u64, log.len() as u64);
    (expected - good) + (came - good)
}
