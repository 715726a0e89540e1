//! The contract of live feeds, over the network. Pace is tested in `watch_pace`, steps between two
//! messages in `stream_steps`, and random breaks in `histories`.

use tonic::Code;
use whimbrel::api::v1::StreamSnapshot;
use whimbrel::api::v1::watch_feed_request::Start;
use whimbrel::api::v1::{ErrorReason, GapPolicy, WatchFeedRequest};

use crate::harness::{TestServer, event_in_short, refused};

/// `opened` is sent before there are events.
#[tokio::test]
async fn a_stream_is_opened_at_once() {
    let server = TestServer::start().await;
    let mut watch = server.user("alice").watches().await;
    let opened = watch.opened().await;
    assert_eq!(opened.cursor, opened.head_cursor);
    assert_eq!(watch.caught_up().await.cursor, opened.cursor);
}

/// A stream that starts now has no earlier events, and all later ones, the user's own included.
#[tokio::test]
async fn a_stream_from_now_has_all_later_events() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.follows("bob").await;
    bob.publishes("before").await;
    let mut watch = alice.watches().await;
    assert!(watch.live().await.is_empty());

    bob.publishes("one").await;
    server.user("stranger").publishes("not for alice").await;
    alice.publishes("two").await;
    assert_eq!(watch.events(2).await, ["bob: one", "alice: two"]);
}

/// Follows and unfollows take effect on the stream at once. Earlier posts of the author are not
/// delivered.
#[tokio::test]
async fn follows_and_unfollows_take_effect_at_once() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let mut watch = alice.watches().await;
    watch.live().await;

    bob.publishes("before the follow").await;
    alice.follows("bob").await;
    bob.publishes("followed").await;
    alice.unfollows("bob").await;
    bob.publishes("after the unfollow").await;
    alice.follows("bob").await;
    bob.publishes("followed again").await;
    let expected = ["+bob", "bob: followed", "-bob", "+bob", "bob: followed again"];
    assert_eq!(watch.events(5).await, expected);
}

/// All devices of a user get the same events, whichever of them made the change.
#[tokio::test]
async fn all_devices_get_the_same_events() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    let mut devices = [alice.watches().await, alice.watches().await, alice.watches().await];
    for device in &mut devices {
        device.live().await;
    }
    alice.follows("bob").await;
    server.user("bob").publishes("hi").await;
    for device in &mut devices {
        assert_eq!(device.events(2).await, ["+bob", "bob: hi"]);
    }
}

/// A device that disconnects does not affect the others. After the last one, a new stream starts
/// from scratch.
#[tokio::test]
async fn a_device_that_disconnects_does_not_affect_others() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    let mut stays = alice.watches().await;
    stays.live().await;
    for round in ["one", "two"] {
        let mut leaves = alice.watches().await;
        leaves.live().await;
        drop(leaves);
        alice.publishes(round).await;
        assert_eq!(stays.events(1).await, [format!("alice: {round}")]);
    }
    drop(stays);
    let mut fresh = alice.watches().await;
    fresh.live().await;
    alice.publishes("three").await;
    assert_eq!(fresh.events(1).await, ["alice: three"]);
}

/// A page and the stream after its cursor join without a gap or a duplicate.
#[tokio::test]
async fn a_stream_continues_a_page() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.follows("bob").await;
    bob.publishes("on the page").await;
    let page = alice.feed().await;
    bob.publishes("after the page").await;

    let mut watch = alice.watches_after(page.cursor()).await;
    assert_eq!(watch.opened().await.cursor, page.cursor());
    assert_eq!(watch.events(1).await, ["bob: after the page"]);
    watch.caught_up().await;
    bob.publishes("live").await;
    assert_eq!(watch.events(1).await, ["bob: live"]);
    assert_eq!(page.texts(), ["on the page"]);
}

/// A resumed stream delivers the events of an unbroken one: no posts from before a follow or after
/// an unfollow, but the follow and unfollow themselves.
#[tokio::test]
async fn a_resumed_stream_is_as_an_unbroken_one() {
    let server = TestServer::start().await;
    let (alice, bob, carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    alice.follows("bob").await;
    let mut unbroken = alice.watches().await;
    unbroken.live().await;
    let start = server.position().await;

    carol.publishes("before the follow").await;
    alice.follows("carol").await;
    carol.publishes("followed").await;
    bob.publishes("followed for long").await;
    alice.publishes("own").await;
    let expected = ["+carol", "carol: followed", "bob: followed for long", "alice: own"];
    assert_eq!(unbroken.events(4).await, expected);
    assert_eq!(alice.watches_after(&start).await.live().await, expected);

    // The posts before the unfollow are not delivered any more; the removal of the author is.
    alice.unfollows("bob").await;
    bob.publishes("after the unfollow").await;
    carol.publishes("last").await;
    assert_eq!(unbroken.events(2).await, ["-bob", "carol: last"]);
    let expected = ["+carol", "carol: followed", "alice: own", "-bob", "carol: last"];
    assert_eq!(alice.watches_after(&start).await.live().await, expected);
}

/// A snapshot has the newest items, oldest first. Then the stream is live.
#[tokio::test]
async fn a_snapshot_comes_oldest_first() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    bob.publishes_many("of bob ", 3).await;
    alice.publishes("own").await;
    alice.follows("bob").await;
    let mut watch = alice.watches_with_snapshot(3).await;
    watch.opened().await;
    assert_eq!(watch.events(3).await, ["bob: of bob 2", "bob: of bob 3", "alice: own"]);
    watch.caught_up().await;
    bob.publishes("live").await;
    assert_eq!(watch.events(1).await, ["bob: live"]);

    let mut all = alice.watches_with_snapshot(0).await;
    assert_eq!(all.live().await.len(), 5);
    let mut none = server.user("nobody").watches_with_snapshot(10).await;
    assert!(none.live().await.is_empty());
}

/// A stream that breaks during its snapshot resumes with the rest of the snapshot, including posts
/// from before their author was followed, and then the later events.
#[tokio::test]
async fn a_snapshot_is_resumed_where_it_broke() {
    let server = TestServer::limited(|limits| limits.batch_events_max = 3).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    bob.publishes_many("", 8).await;
    alice.follows("bob").await;
    alice.unfollows("carol").await;
    let mut broken = alice.watches_with_snapshot(7).await;
    broken.opened().await;
    let mut got: Vec<_> = broken.batch().await.events.iter().map(event_in_short).collect();
    let cursor = broken.cursor().to_owned();
    drop(broken);

    server.user("carol").publishes("before the second follow").await;
    alice.follows("carol").await;
    bob.publishes("9").await;
    let mut resumed = alice.watches_after(&cursor).await;
    got.extend(resumed.live().await);
    let snapshot = (2..=8).map(|number| format!("bob: {number}"));
    let expected: Vec<_> = snapshot.chain(["+carol".to_owned(), "bob: 9".to_owned()]).collect();
    assert_eq!(got, expected);
}

/// A stream resumed after any cursor delivers exactly the events after it.
#[tokio::test]
async fn every_cursor_resumes_to_the_same_end() {
    let server = TestServer::limited(|limits| limits.batch_events_max = 2).await;
    let alice = server.user("alice");
    alice.publishes_many("", 9).await;
    let mut watch = alice.watches_with_snapshot(8).await;
    let opened = watch.opened().await;
    let mut cursors = vec![(opened.cursor, 0)];
    let mut events = Vec::new();
    for _ in 0..4 {
        let batch = watch.batch().await;
        events.extend(batch.events.iter().map(event_in_short));
        cursors.push((batch.cursor, events.len()));
    }
    cursors.push((watch.caught_up().await.cursor, events.len()));
    for (cursor, seen) in cursors {
        assert_eq!(alice.watches_after(&cursor).await.live().await, events[seen..]);
    }
}

/// A delivered post is in the feed.
#[tokio::test]
async fn a_delivered_post_can_be_read() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    alice.follows("bob").await;
    let mut watch = alice.watches().await;
    watch.live().await;
    let bob = server.user("bob");
    let posting = async { bob.publishes_many("post ", 50).await };
    let reading = async {
        for number in 1..=50 {
            let batch = watch.batch().await;
            let newest = event_in_short(batch.events.last().expect("a batch is not empty"));
            let page = alice.page(100, "").await;
            let read = page.items.iter().filter_map(|item| item.post.as_ref());
            assert!(read.map(|post| format!("bob: {}", post.text)).any(|post| post == newest));
            if newest == "bob: post 50" {
                return;
            }
            assert!(number < 50, "the last post was not delivered");
        }
    };
    tokio::join!(posting, reading);
}

/// A stream that is opened while posts are published gets every one: none is lost between the log
/// and the channel.
#[tokio::test]
async fn a_stream_opened_while_posts_arrive_misses_none() {
    let server = TestServer::limited(|limits| limits.channel_events_max = 2).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.follows("bob").await;
    let start = server.position().await;
    let expected: Vec<_> = (1..=60).map(|number| format!("bob: {number}")).collect();
    let opening = async {
        let mut streams = Vec::new();
        for _ in 0..16 {
            let mut stream = alice.watches_after(&start).await;
            let got = stream.live().await;
            streams.push((stream, got));
        }
        streams
    };
    let ((), streams) = tokio::join!(bob.publishes_many("", 60), opening);
    for (mut stream, mut got) in streams {
        got.extend(stream.events(60 - got.len()).await);
        assert_eq!(got, expected);
    }
}

/// A stopping server sends `closing` with a cursor, and a status. After a restart the stream
/// resumes there.
#[tokio::test]
async fn a_stop_sends_closing_and_a_cursor_to_resume_from() {
    let mut server = TestServer::start().await;
    let alice = server.user("alice");
    let mut watch = alice.watches().await;
    watch.live().await;
    alice.publishes("before the stop").await;
    server.begin_to_stop();
    assert_eq!(watch.events(1).await, ["alice: before the stop"]);
    let (closing, status) = watch.closing().await;
    assert_eq!(closing.reason(), ErrorReason::Draining);
    assert!(closing.retry_after.is_some());
    refused::<()>(Err(status)).with(Code::Unavailable, "DRAINING").with_a_delay();

    server.restart().await;
    server.user("alice").publishes("after the stop").await;
    let mut resumed = server.user("alice").watches_after(&closing.cursor).await;
    assert_eq!(resumed.live().await, ["alice: after the stop"]);
}

/// A cursor of another log, or of a lost history of this log, is refused.
#[tokio::test]
async fn a_cursor_that_cannot_be_served_is_refused() {
    let (server, foreign, lost) = Box::pin(after_a_restore()).await;
    for (cursor, reason) in [(&foreign, "CURSOR_OF_ANOTHER_LOG"), (&lost, "HISTORY_LOST")] {
        let start = Some(Start::AfterCursor(cursor.clone()));
        let request = WatchFeedRequest { start, ..WatchFeedRequest::default() };
        let call = server.user("alice").tries_to_watch(request).await;
        refused(call).with(Code::FailedPrecondition, reason);
    }
}

/// With gap policy RESET, the same cursors get a fresh snapshot.
#[tokio::test]
async fn a_reset_brings_a_fresh_snapshot() {
    let (server, foreign, lost) = Box::pin(after_a_restore()).await;
    let alice = server.user("alice");
    for (cursor, reason) in
        [(&foreign, ErrorReason::CursorOfAnotherLog), (&lost, ErrorReason::HistoryLost)]
    {
        let mut watch = alice.watches_as(resetting(cursor)).await;
        watch.opened().await;
        let reset = watch.reset().await;
        assert_eq!(reset.reason(), reason);
        assert_eq!(watch.live().await, ["alice: kept"]);
        let mut from_oldest = alice.watches_after(&reset.oldest_cursor).await;
        assert_eq!(from_oldest.live().await, ["alice: kept"]);
    }
    // A valid cursor is resumed.
    let mut watch = alice.watches_as(resetting(&server.position().await)).await;
    watch.opened().await;
    watch.caught_up().await;
}

/// A server whose data were restored from a backup and has gone on, a cursor of another log, and one
/// from after the backup.
async fn after_a_restore() -> (TestServer, String, String) {
    let foreign = TestServer::start().await.user("alice").publishes_once("x", "").await.cursor;
    let mut server = TestServer::start().await;
    server.user("alice").publishes("kept").await;
    let restored = server.restored_copy().await;
    let lost = server.user("alice").publishes_once("lost", "").await.cursor;
    (restored, foreign, lost)
}

fn resetting(cursor: &str) -> WatchFeedRequest {
    WatchFeedRequest {
        start: Some(Start::AfterCursor(cursor.to_owned())),
        gap_policy: GapPolicy::Reset.into(),
        ..WatchFeedRequest::default()
    }
}

/// A snapshot above the limit is cut to the limit.
#[tokio::test]
async fn a_snapshot_is_limited() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    alice.publishes_many("", 110).await;
    for (limit, given) in [(0, 50), (1, 1), (100, 100), (101, 100), (i32::MAX, 100)] {
        let start = Some(Start::Snapshot(StreamSnapshot { limit }));
        let request = WatchFeedRequest { start, ..WatchFeedRequest::default() };
        assert_eq!(alice.watches_as(request).await.live().await.len(), given, "limit {limit}");
    }
}
