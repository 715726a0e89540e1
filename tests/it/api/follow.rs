//! Following and unfollowing: in effect at once, repeatable, and for earlier posts too.

use tonic::Code;

use crate::harness::{TestServer, refused};

/// The feed has the author's earlier posts when the call returns, each at its own position.
#[tokio::test]
async fn a_follow_adds_earlier_posts_to_the_feed() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    bob.publishes("one").await;
    alice.publishes("two").await;
    bob.publishes("three").await;
    assert_eq!(alice.feed().await.texts(), ["two"]);

    alice.follows("bob").await;
    assert_eq!(alice.feed().await.texts(), ["three", "two", "one"]);
}

/// An unfollow removes all posts of the author from the feed, and no others.
#[tokio::test]
async fn an_unfollow_removes_earlier_posts_from_the_feed() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    alice.follows("bob").await;
    alice.follows("carol").await;
    server.user("bob").publishes("of bob").await;
    server.user("carol").publishes("of carol").await;
    alice.publishes("own").await;

    alice.unfollows("bob").await;
    assert_eq!(alice.feed().await.texts(), ["own", "of carol"]);
    alice.follows("bob").await;
    assert_eq!(alice.feed().await.texts(), ["own", "of carol", "of bob"]);
}

/// A repeated follow is no error, returns the revision of the first, and writes nothing.
#[tokio::test]
async fn a_repeated_follow_has_no_effect() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    let first = alice.follows("bob").await;
    assert!(first.changed);
    server.user("bob").publishes("in between").await;
    let before = server.position().await;

    let again = alice.follows("bob").await;
    assert!(!again.changed);
    assert_eq!(again.revision, first.revision);
    assert_eq!(again.cursor, before, "the follow is in force at the newest position");
    assert_eq!(server.position().await, before);
}

/// An unfollow without a follow is no error, and writes nothing.
#[tokio::test]
async fn a_repeated_unfollow_has_no_effect() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    let never = alice.unfollows("bob").await;
    assert_eq!((never.changed, never.revision), (false, 0));

    alice.follows("bob").await;
    let first = alice.unfollows("bob").await;
    assert!(first.changed && first.revision > 0);
    let before = server.position().await;
    let again = alice.unfollows("bob").await;
    assert_eq!((again.changed, again.revision), (false, 0));
    assert_eq!(server.position().await, before);
}

/// A follow of oneself is refused, and has no effect.
#[tokio::test]
async fn following_oneself_is_refused() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    let before = server.position().await;
    for call in [
        alice.tries_to_follow("alice").await.map(drop),
        alice.tries_to_unfollow("alice").await.map(drop),
    ] {
        refused(call).with(Code::InvalidArgument, "SELF_FOLLOW").blaming("followee_id");
    }
    assert_eq!(server.position().await, before);
}

/// A follow has one direction: the followee's feed does not change.
#[tokio::test]
async fn a_follow_has_one_direction() {
    let server = TestServer::start().await;
    server.user("alice").follows("bob").await;
    server.user("alice").publishes("of alice").await;
    assert!(server.user("bob").feed().await.texts().is_empty());
}

/// Follows and unfollows are durable when they are answered.
#[tokio::test]
async fn follows_survive_a_restart() {
    let mut server = TestServer::start().await;
    let alice = server.user("alice");
    alice.follows("bob").await;
    let kept = alice.follows("carol").await;
    alice.unfollows("bob").await;
    server.user("bob").publishes("of bob").await;
    server.user("carol").publishes("of carol").await;

    server.restart().await;
    let alice = server.user("alice");
    assert_eq!(alice.feed().await.texts(), ["of carol"]);
    let again = alice.follows("carol").await;
    assert_eq!((again.changed, again.revision), (false, kept.revision));
}

/// Of many equal follows at once exactly one has an effect, and all return its revision.
#[tokio::test]
async fn racing_follows_make_one_follow() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    let (a, b, c, d) = tokio::join!(
        alice.follows("bob"),
        alice.follows("bob"),
        alice.follows("bob"),
        alice.follows("bob")
    );
    let answers = [a, b, c, d];
    assert_eq!(answers.iter().filter(|answer| answer.changed).count(), 1);
    assert!(answers.iter().all(|answer| answer.revision == answers[0].revision));
}

/// Ids are compared byte by byte, so case matters.
#[tokio::test]
async fn names_are_case_sensitive() {
    let server = TestServer::start().await;
    server.user("Bob").publishes("of the other Bob").await;
    let alice = server.user("alice");
    assert!(alice.follows("bob").await.changed);
    assert!(alice.feed().await.texts().is_empty());
    assert!(server.user("bob").follows("Bob").await.changed, "these are two users");
}
