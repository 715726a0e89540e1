//! The pace of live feeds: the size of batches, bookmarks, and slow or stalled readers.

use std::time::Duration;

use prost::Message as _;
use whimbrel::api::v1::WatchFeedRequest;
use whimbrel::config::Limits;

use crate::harness::wire::{self, Wire};
use crate::harness::{TestServer, User, eventually};

/// No batch is larger than promised, whatever the posts: the harness checks every batch.
#[tokio::test]
async fn batches_of_large_posts_stay_small() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    let start = server.position().await;
    let mut live = alice.watches().await;
    live.live().await;
    let large = "\u{1f426}\u{200d}\u{2b1b}".repeat(300);
    assert_eq!(large.len(), 3_000);
    for _ in 0..60 {
        alice.publishes(&large).await;
    }
    let mut backlog = alice.watches_after(&start).await;
    backlog.opened().await;
    let first = backlog.batch().await;
    assert!(first.encoded_len() > 48 << 10, "a batch is filled: {}", first.encoded_len());
    assert_eq!(first.events.len() + backlog.live().await.len(), 60);
    assert_eq!(live.events(60).await.len(), 60);
}

/// No batch has more events than promised.
#[tokio::test]
async fn batches_of_small_posts_stay_small() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    let start = server.position().await;
    alice.publishes_many("", 300).await;
    let mut watch = alice.watches_after(&start).await;
    watch.opened().await;
    assert_eq!(watch.batch().await.events.len(), 256);
    assert_eq!(watch.live().await.len(), 44);
}

/// Without events there are bookmarks. They advance with changes of other users, and a stream
/// resumes from one without a loss.
#[tokio::test]
async fn bookmarks_advance_without_events() {
    let server = TestServer::limited(quick_heartbeats).await;
    let alice = server.user("alice");
    let mut watch = alice.watches_as(every(20)).await;
    watch.live().await;
    server.user("stranger").publishes_many("not for alice ", 3).await;
    let head = server.position().await;
    while watch.bookmark().await.cursor != head {}
    let bookmark = watch.cursor().to_owned();
    drop(watch);

    alice.publishes("after the bookmark").await;
    let mut resumed = alice.watches_after(&bookmark).await;
    assert_eq!(resumed.live().await, ["alice: after the bookmark"]);
}

/// A bookmark is never ahead of unsent posts: posts are delivered after each of them.
#[tokio::test]
async fn a_bookmark_is_never_ahead_of_unsent_posts() {
    let server = TestServer::limited(quick_heartbeats).await;
    let alice = server.user("alice");
    let mut watch = alice.watches_as(every(20)).await;
    watch.live().await;
    for number in 0..5 {
        watch.bookmark().await;
        alice.publishes(&number.to_string()).await;
        assert_eq!(watch.events(1).await, [format!("alice: {number}")]);
    }
}

/// A heartbeat out of bounds is moved to the bound, and `opened` reports it.
#[tokio::test]
async fn the_heartbeat_is_reported() {
    let server = TestServer::start().await;
    let asked = [None, Some(0), Some(1_000), Some(15_500), Some(1_000_000), Some(i64::MAX)];
    let given = [20_000, 10_000, 10_000, 15_500, 300_000, 300_000];
    for (asked, given) in asked.into_iter().zip(given) {
        let heartbeat = asked.map(milliseconds);
        let request = WatchFeedRequest { heartbeat, ..WatchFeedRequest::default() };
        let opened = server.user("alice").watches_as(request).await.opened().await;
        assert_eq!(opened.heartbeat, Some(milliseconds(given)), "asked for {asked:?}");
    }
}

/// A slow reader gets every event in order, and delays no other reader.
#[tokio::test]
async fn a_slow_reader_is_refilled() {
    let server = TestServer::limited(|limits| limits.channel_events_max = 2).await;
    let alice = server.user("alice");
    let mut slow = alice.watches().await;
    let mut quick = alice.watches().await;
    slow.live().await;
    quick.live().await;
    let mut expected = Vec::new();
    // More than the windows and buffers of one stream hold.
    for number in 0..100 {
        let text = format!("{number:0>2900}");
        alice.publishes(&text[..300]).await;
        alice.publishes(&format!("{number}")).await;
        expected.extend([format!("alice: {}", &text[..300]), format!("alice: {number}")]);
        assert_eq!(quick.events(2).await, expected[expected.len() - 2..]);
    }
    assert_eq!(slow.events(200).await, expected);
}

/// A reader that accepts no data for too long is disconnected, and its permit is free again. Idle
/// readers stay connected.
#[tokio::test]
async fn a_stalled_reader_is_cut_off() {
    let server = TestServer::limited(|limits| {
        quick_heartbeats(limits);
        limits.stall_time_max = Duration::from_millis(50);
        limits.streams_per_user_max = 1;
    })
    .await;
    let mut quiet = server.user("bob").watches_as(every(200)).await;
    quiet.live().await;
    let stalled = Wire::taking_only(server.address(), 1).await;
    // Its heartbeat is long: pending posts are enough to find it stalled.
    let request = WatchFeedRequest { user_id: "alice".to_owned(), ..every(300_000) };
    let response = stalled.leave_unread(wire::WATCH_FEED, &request.encode_to_vec()).await;
    let alice = server.user("alice");
    tokio::select! {
        () = stalled.closed() => drop(response),
        () = publishes_on_and_on(&alice) => {}
    }

    let mut fresh = eventually("the permit to return", async || {
        alice.tries_to_watch(WatchFeedRequest::default()).await.ok()
    })
    .await;
    fresh.live().await;
    // Idle for longer than a stalled reader may be, and still connected.
    quiet.bookmark().await;
    quiet.bookmark().await;
    server.user("bob").publishes("hi").await;
    assert_eq!(quiet.events(1).await, ["bob: hi"]);
}

async fn publishes_on_and_on(user: &User) {
    loop {
        user.publishes("never accepted").await;
    }
}

fn quick_heartbeats(limits: &mut Limits) {
    limits.heartbeat_interval_min = Duration::from_millis(10);
}

/// A request with this heartbeat, in milliseconds.
fn every(heartbeat: i64) -> WatchFeedRequest {
    WatchFeedRequest { heartbeat: Some(milliseconds(heartbeat)), ..WatchFeedRequest::default() }
}

fn milliseconds(count: i64) -> prost_types::Duration {
    let nanos = i32::try_from(count % 1_000 * 1_000_000).unwrap();
    prost_types::Duration { seconds: count / 1_000, nanos }
}
