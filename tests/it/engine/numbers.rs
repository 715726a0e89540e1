//! The ends of number ranges: values beyond them are refused, and never taken for other values.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tonic::Code;
use whimbrel::api::v1::LikeRequest;
use whimbrel::api::v1::post_service_client::PostServiceClient;
use whimbrel::config::Limits;
use whimbrel::model::{Change, Event, Mark, MarkKind, PostId, PostRef, Revision, Timestamp};
use whimbrel::state::State;
use whimbrel::storage::{LocalLog, Log};

use crate::harness::core::user;
use crate::harness::{LOG_OPTIONS, MemoryFolder, Setup, refused};

/// At the maximum of users existing ones continue, and no more are added.
#[tokio::test]
async fn the_number_of_users_is_bounded() {
    let server = Setup::new().limits(|limits| limits.users_max = 2).start().await;
    server.user("alice").follows("bob").await;
    let post = server.user("bob").publishes("hello").await;

    refused(server.user("alice").tries_to_follow("carol").await)
        .with(Code::ResourceExhausted, "TOO_MANY_USERS")
        .for_quota_of("users");
    refused(server.user("carol").tries_to_publish("hello", "").await)
        .with(Code::ResourceExhausted, "TOO_MANY_USERS");
    let like = LikeRequest { user_id: "carol".to_owned(), post_id: post.post_id };
    let mut posts = PostServiceClient::new(server.channel());
    refused(posts.like(like).await).with(Code::ResourceExhausted, "TOO_MANY_USERS");

    // Existing users may do anything, and everyone may read.
    server.user("bob").follows("alice").await;
    server.user("alice").unfollows("carol").await;
    assert_eq!(server.user("alice").feed().await.texts(), ["hello"]);
    assert!(server.user("carol").feed().await.texts().is_empty());
}

/// A revision that does not fit into a mark panics. It is never truncated.
#[test]
fn a_revision_above_the_largest_mark_is_refused() {
    let last = Revision::new(Revision::MAX.get() >> 2);
    assert_eq!(Mark::new(last, MarkKind::Change).revision(), last);
    assert!(catch_unwind(|| Mark::new(last.next(), MarkKind::Post)).is_err());
}

/// An event out of order, or one that ends a relation that was never set, panics the applier:
/// otherwise the state would differ from the log.
#[test]
fn impossible_events_are_not_applied() {
    let log = LocalLog::with_folder(MemoryFolder::default(), LOG_OPTIONS).unwrap();
    let log: Arc<dyn Log> = Arc::new(log);
    let is_applied = |state: &State, revision, change: &Change| {
        let event = Event::new(Timestamp::default(), change.clone());
        let apply = || state.apply(Revision::new(revision), &event).map(drop).unwrap();
        catch_unwind(AssertUnwindSafe(apply)).is_ok()
    };
    let follow = Change::Follow { follower: user("alice"), followee: user("bob") };
    let delete = Change::Delete {
        post: PostRef { id: PostId::from_revision(Revision::new(1)), author: user("alice") },
        reply_to: None,
        quote: None,
        notified: Vec::new(),
    };
    let new_state = || State::new(Arc::clone(&log), &Limits::default());
    assert!(!is_applied(&new_state(), 2, &follow), "a revision is missing");
    let same = new_state();
    assert!(is_applied(&same, 1, &follow));
    assert!(!is_applied(&same, 1, &follow), "it is applied already");
    assert!(!is_applied(&new_state(), 1, &delete), "alice has fewer posts than none");
}
