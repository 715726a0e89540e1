//! Overload: calls above a limit are refused at once with a delay, and calls in progress are
//! served.

use tokio::task::JoinSet;
use tonic::Code;
use whimbrel::api::v1::WatchFeedRequest;

use crate::harness::{Setup, TestServer, Valve, eventually, refused, within};

/// While the disk is too slow, changes that do not fit into the queue are refused at once. Those in
/// the queue succeed later.
#[tokio::test]
async fn a_full_queue_refuses_changes() {
    let valve = Valve::default();
    let setup = Setup::new().appends_through(&valve).limits(|limits| {
        limits.queue_commands_max = 1;
        limits.batch_commands_max = 1;
    });
    let server = setup.start().await;
    valve.shut();
    let mut calls = JoinSet::new();
    publish_on(&mut calls, &server, "being written");
    valve.holds_one().await;

    publish_on(&mut calls, &server, "one of these waits");
    publish_on(&mut calls, &server, "one of these waits");
    let first = within("a refusal", calls.join_next()).await.unwrap().unwrap();
    refused(first)
        .with(Code::ResourceExhausted, "OVERLOADED")
        .for_quota_of("changes")
        .with_a_delay();
    assert!(server.user("reader").feed().await.texts().is_empty(), "reads succeed");

    valve.open();
    for call in within("the other calls", calls.join_all()).await {
        call.expect("a queued change succeeds");
    }
    assert_eq!(server.user("bob").feed().await.texts(), ["one of these waits", "being written"]);
}

/// Calls above the limit of concurrent calls are refused. A call that ends makes room.
#[tokio::test]
async fn calls_above_the_limit_are_refused() {
    let valve = Valve::default();
    let server =
        Setup::new().appends_through(&valve).limits(|limits| limits.calls_max = 1).start().await;
    valve.shut();
    let mut calls = JoinSet::new();
    publish_on(&mut calls, &server, "inside");
    valve.holds_one().await;

    refused(server.user("alice").tries_to_follow("bob").await)
        .with(Code::ResourceExhausted, "OVERLOADED")
        .for_quota_of("calls")
        .with_a_delay();
    valve.open();
    within("the call inside", calls.join_all())
        .await
        .remove(0)
        .expect("the call in progress succeeds");
    assert_eq!(server.user("bob").feed().await.texts(), ["inside"]);
}

/// A call that exceeds its time gets DEADLINE_EXCEEDED, and may have had its effect.
#[tokio::test]
async fn a_call_that_takes_too_long_is_ended() {
    let valve = Valve::default();
    let setup = Setup::new().appends_through(&valve);
    let server =
        setup.limits(|limits| limits.call_time_max = std::time::Duration::ZERO).start().await;
    valve.shut();
    let call = server.user("bob").tries_to_publish("late", "request 1").await;
    refused(call).with(Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    valve.open();
    let again = server.user("bob").publishes_once("late", "request 1").await;
    assert!(again.deduplicated, "the first call had its effect");
}

/// The limit of streams is per user: streams of other users do not count.
#[tokio::test]
async fn streams_of_one_user_are_limited() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    let mut streams = Vec::new();
    for _ in 0..16 {
        let mut stream = alice.watches().await;
        stream.opened().await;
        streams.push(stream);
    }
    let refusal = refused(alice.tries_to_watch(WatchFeedRequest::default()).await)
        .with(Code::ResourceExhausted, "TOO_MANY_STREAMS")
        .for_quota_of("user")
        .with_a_delay();
    assert_eq!(refusal.metadata()["streams_max"], "16");
    server.user("bob").watches().await.opened().await;

    drop(streams.pop());
    opens_again(&server).await;
}

/// The limit of streams of the whole server.
#[tokio::test]
async fn streams_of_the_server_are_limited() {
    let server = TestServer::limited(|limits| limits.streams_max = 2).await;
    let mut first = server.user("alice").watches().await;
    let mut second = server.user("bob").watches().await;
    first.opened().await;
    second.opened().await;
    refused(server.user("carol").tries_to_watch(WatchFeedRequest::default()).await)
        .with(Code::ResourceExhausted, "TOO_MANY_STREAMS")
        .for_quota_of("server")
        .with_a_delay();

    drop(first);
    opens_again(&server).await;
    server.user("bob").publishes("hi").await;
    second.caught_up().await;
    assert_eq!(second.events(1).await, ["bob: hi"]);
}

async fn opens_again(server: &TestServer) {
    let alice = server.user("alice");
    eventually("the permit to return", async || {
        alice.tries_to_watch(WatchFeedRequest::default()).await.ok()
    })
    .await
    .opened()
    .await;
}

/// A connection may use all its HTTP/2 streams at once: every call is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_may_use_all_its_streams_at_once() {
    let server = TestServer::start().await;
    // The scheduler decides how many requests are unread at once, so there are several rounds.
    for _ in 0..5 {
        let mut calls = JoinSet::new();
        for _ in 0..whimbrel::config::Limits::default().streams_per_connection_max {
            publish_on(&mut calls, &server, "one of very many");
        }
        for call in within("the calls", calls.join_all()).await {
            call.expect("the call in progress succeeds");
        }
    }
}

/// The limit of follows is exact, even for many follows at once.
#[tokio::test]
async fn follows_are_limited_exactly() {
    let server = TestServer::limited(|limits| limits.follows_per_user_max = 5).await;
    let mut calls = JoinSet::new();
    for number in 0..20 {
        let alice = server.user("alice");
        calls.spawn(async move { alice.tries_to_follow(&format!("user{number}")).await });
    }
    let (taken, others): (Vec<_>, Vec<_>) =
        within("the follows", calls.join_all()).await.into_iter().partition(Result::is_ok);
    assert_eq!(taken.len(), 5);
    for call in others {
        let refusal = refused(call)
            .with(Code::ResourceExhausted, "TOO_MANY_FOLLOWS")
            .for_quota_of("user:alice");
        assert_eq!(refusal.metadata()["follows_max"], "5");
    }
    assert!(server.user("bob").follows("carol").await.changed, "the limit is per user");
}

/// At the limit a repeated follow is still no error, and an unfollow makes room for a follow.
#[tokio::test]
async fn an_unfollow_makes_room_for_a_follow() {
    let mut server = TestServer::limited(|limits| limits.follows_per_user_max = 2).await;
    let alice = server.user("alice");
    alice.follows("bob").await;
    alice.follows("carol").await;
    assert!(!alice.follows("bob").await.changed);
    let refusal = server.unchanged_by(alice.tries_to_follow("dave")).await;
    refused(refusal).with(Code::ResourceExhausted, "TOO_MANY_FOLLOWS");

    alice.unfollows("bob").await;
    server.restart().await;
    let alice = server.user("alice");
    assert!(alice.follows("dave").await.changed);
    refused(alice.tries_to_follow("bob").await).with(Code::ResourceExhausted, "TOO_MANY_FOLLOWS");
}

/// A nearly full disk refuses changes. Reads and streams continue.
#[tokio::test]
async fn a_full_disk_refuses_changes_only() {
    let server = TestServer::limited(|limits| limits.disk_free_bytes_min = u64::MAX).await;
    let alice = server.user("alice");
    let mut stream = alice.watches().await;
    stream.opened().await;
    for _ in 0..2 {
        let call = server.unchanged_by(alice.tries_to_publish("hi", "request 1")).await;
        refused(call)
            .with(Code::ResourceExhausted, "DISK_FULL")
            .for_quota_of("disk")
            .with_a_delay();
    }
    refused(alice.tries_to_follow("bob").await).with(Code::ResourceExhausted, "DISK_FULL");
    assert!(alice.feed().await.texts().is_empty());
    stream.caught_up().await;
}

type Calls = JoinSet<Result<whimbrel::api::v1::PublishResponse, tonic::Status>>;

fn publish_on(calls: &mut Calls, server: &TestServer, text: &'static str) {
    let bob = server.user("bob");
    calls.spawn(async move { bob.tries_to_publish(text, "").await });
}
