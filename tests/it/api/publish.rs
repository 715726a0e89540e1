//! Publishing: durable and readable when it is answered, and safe to repeat.

use std::time::Duration;

use tokio::task::JoinSet;
use tonic::Code;
use whimbrel::runtime::Clock;

use crate::harness::{Setup, TestServer, refused};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const SECOND: Duration = Duration::from_secs(1);
/// A time in the year 2033.
const START: Duration = Duration::from_secs(2_000_000_000);

/// The post is in the feeds of its author and of all followers when the call returns.
#[tokio::test]
async fn a_post_is_in_every_feed_when_it_is_answered() {
    let server = TestServer::start().await;
    server.user("alice").follows("bob").await;
    server.user("bob").publishes("hi").await;
    assert_eq!(server.user("alice").feed().await.texts(), ["hi"]);
    assert_eq!(server.user("bob").feed().await.texts(), ["hi"]);
    assert!(server.user("carol").feed().await.texts().is_empty());
}

/// The response, later reads, and reads after a restart have the same text, byte by byte.
#[tokio::test]
async fn a_post_is_kept_as_it_was_written() {
    let mut server = Setup::new().clock(&Clock::held_at(START)).start().await;
    let text = " two\nlines,\ttabs, e\u{301}, \u{1f469}\u{200d}\u{1f680} and \u{202e}bidi ";
    let post = server.user("did:plc:bob").publishes(text).await;
    assert_eq!((post.text.as_str(), post.author_id.as_str()), (text, "did:plc:bob"));
    assert_eq!(post.create_time.unwrap().seconds, 2_000_000_000);
    assert!((1..=32).contains(&post.post_id.len()) && post.post_id.is_ascii());

    server.restart().await;
    assert_eq!(server.user("did:plc:bob").feed().await.posts().collect::<Vec<_>>(), [&post]);
}

/// Without a request id no post counts as a repeat.
#[tokio::test]
async fn equal_texts_are_two_posts() {
    let server = TestServer::start().await;
    let bob = server.user("bob");
    let (first, second) = (bob.publishes("hi").await, bob.publishes("hi").await);
    assert_ne!(first.post_id, second.post_id);
    assert!(first.revision < second.revision);
    assert_eq!(bob.feed().await.texts(), ["hi", "hi"]);
}

/// The same id and body return the first post, and write nothing.
#[tokio::test]
async fn a_repeated_request_makes_one_post() {
    let server = TestServer::start().await;
    let bob = server.user("bob");
    let first = bob.publishes_once("hi", "request 1").await;
    assert!(!first.deduplicated);
    bob.publishes("in between").await;

    let again = server.unchanged_by(bob.publishes_once("hi", "request 1")).await;
    assert!(again.deduplicated);
    assert_eq!(again.post, first.post);
    assert_eq!(bob.feed().await.texts(), ["in between", "hi"]);
}

/// Equal concurrent requests make one post, and all return it.
#[tokio::test]
async fn racing_requests_make_one_post() {
    let server = TestServer::start().await;
    let mut calls = JoinSet::new();
    for _ in 0..16 {
        let bob = server.user("bob");
        calls.spawn(async move { bob.publishes_once("hi", "request 1").await });
    }
    let answers = calls.join_all().await;
    assert_eq!(answers.iter().filter(|answer| !answer.deduplicated).count(), 1);
    assert!(answers.iter().all(|answer| answer.post == answers[0].post));
    assert_eq!(server.user("bob").feed().await.texts(), ["hi"]);
}

/// Request ids are committed with their posts, so a retry after a restart is safe.
#[tokio::test]
async fn a_request_repeated_after_a_restart_makes_one_post() {
    let mut server = TestServer::start().await;
    let first = server.user("bob").publishes_once("hi", "request 1").await;
    server.restart().await;

    let bob = server.user("bob");
    let again = server.unchanged_by(bob.publishes_once("hi", "request 1")).await;
    assert!(again.deduplicated);
    assert_eq!(again.post, first.post);
    reused(&server, "request 1").await;
}

/// The same id with another body is refused.
#[tokio::test]
async fn a_request_id_with_another_body_is_refused() {
    let server = TestServer::start().await;
    server.user("bob").publishes_once("hi", "request 1").await;
    reused(&server, "request 1").await;
    assert_eq!(server.user("bob").feed().await.texts(), ["hi"]);
}

async fn reused(server: &TestServer, request_id: &str) {
    let bob = server.user("bob");
    let call = server.unchanged_by(bob.tries_to_publish("another body", request_id)).await;
    let refusal = refused(call).with(Code::AlreadyExists, "REQUEST_ID_REUSED");
    assert_eq!(refusal.metadata()["request_id"], request_id);
}

/// Request ids are separate for each author.
#[tokio::test]
async fn another_author_may_use_the_same_request_id() {
    let server = TestServer::start().await;
    let bobs = server.user("bob").publishes_once("hi", "request 1").await;
    let carols = server.user("carol").publishes_once("hi", "request 1").await;
    assert!(!carols.deduplicated);
    assert_ne!(carols.post.unwrap().post_id, bobs.post.unwrap().post_id);
    assert_eq!(server.user("carol").feed().await.texts(), ["hi"]);
}

/// A request id is remembered for 24 hours of the log's time. Older ids are forgotten when the next
/// one comes.
#[tokio::test]
async fn a_request_id_is_remembered_for_a_day() {
    let clock = Clock::held_at(START);
    let mut server = Setup::new().clock(&clock).start().await;
    let first = server.user("bob").publishes_once("hi", "request 1").await;

    clock.pass(DAY - SECOND);
    server.user("carol").publishes_once("almost a day later", "request 2").await;
    assert_eq!(server.user("bob").publishes_once("hi", "request 1").await.post, first.post);
    server.restart().await;
    assert!(server.user("bob").publishes_once("hi", "request 1").await.deduplicated);

    clock.pass(SECOND);
    server.user("carol").publishes_once("a day later", "request 3").await;
    let later = server.user("bob").publishes_once("hi", "request 1").await;
    assert!(!later.deduplicated);
    assert_eq!(server.user("bob").feed().await.texts(), ["hi", "hi"]);
    assert!(
        server.user("carol").publishes_once("almost a day later", "request 2").await.deduplicated
    );
}

/// A restarted server remembers the same ids as before, by the log's time and not its own.
#[tokio::test]
async fn a_restart_forgets_the_same_request_ids() {
    let clock = Clock::held_at(START);
    let mut server = Setup::new().clock(&clock).start().await;
    server.user("bob").publishes_once("old", "request 1").await;
    clock.pass(DAY);
    server.user("bob").publishes_once("new", "request 2").await;
    clock.pass(2 * DAY);

    server.restart().await;
    assert!(server.user("bob").publishes_once("new", "request 2").await.deduplicated);
    assert!(!server.user("bob").publishes_once("old", "request 1").await.deduplicated);
}

/// Feeds are ordered by revision, not by time: a clock that is set back does not change the order,
/// after a restart too.
#[tokio::test]
async fn the_order_does_not_follow_the_clock() {
    let clock = Clock::held_at(START);
    let mut server = Setup::new().clock(&clock).start().await;
    server.user("alice").follows("bob").await;
    server.user("alice").publishes("first").await;
    clock.set(START - DAY);
    server.user("bob").publishes("second").await;
    server.restart().await;
    server.user("alice").publishes("third").await;
    clock.set(START + SECOND);
    server.user("bob").publishes("fourth").await;

    let feed = server.user("alice").feed().await;
    assert_eq!(feed.texts(), ["fourth", "third", "second", "first"]);
    let seconds: Vec<_> = feed.posts().map(|post| post.create_time.unwrap().seconds).collect();
    assert_eq!(seconds, [2_000_000_001, 1_999_913_600, 1_999_913_600, 2_000_000_000]);
    assert!(feed.posts().map(|post| post.revision).is_sorted_by(|newer, older| newer > older));
}
