//! Restores to a revision and to a time: the same history up to there, and another one from there on.

use std::sync::Arc;
use std::time::Duration;

use tonic::Code;
use whimbrel::api::v1::{DeletePostRequest, NewsFeedRequest};
use whimbrel::backup::{Error, RestoreUntil};
use whimbrel::model::{Revision, Timestamp};
use whimbrel::runtime::Clock;
use whimbrel::storage::read_chain;

use super::{client, destination, restore, setup, take, verified};
use crate::harness::{eventually, refused};

/// At each revision, also in the middle of a batch and of a segment, the log has the same chain.
#[tokio::test]
async fn a_cut_keeps_the_history_up_to_each_revision() {
    let server = setup().start().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let long = "long text ".repeat(25);
    tokio::join!(alice.publishes_many(&long, 300), bob.publishes_many("short ", 100));
    let kept = tempfile::tempdir().unwrap();
    let to = destination(&kept);
    let manifest = take(&server, &to).await.manifest;
    assert!(manifest.segments.len() > 1, "it has several segments");
    let ends = manifest.segments.iter().map(|segment| segment.last_revision);
    let near = ends.flat_map(|end| end.saturating_sub(2)..=end + 2);
    let revisions = (1..40).chain(near).filter(|&it| it >= 1 && it <= manifest.revision);
    for revision in revisions.map(Revision::new) {
        let data = tempfile::tempdir().unwrap();
        let until = RestoreUntil::Revision(revision);
        let restored = restore(&to, until, data.path()).await.unwrap();
        let chain = read_chain(server.folder().path(), revision).unwrap().unwrap();
        assert_eq!((restored.head, restored.chain), (revision, chain));
        assert_eq!(verified(data.path()).chain, chain);
    }
    let data = tempfile::tempdir().unwrap();
    let until = RestoreUntil::Revision(Revision::new(manifest.revision + 1));
    let refused = restore(&to, until, data.path()).await.unwrap_err();
    assert!(matches!(refused, Error::EndsEarly { head, .. } if head == manifest.revision));
}

/// What clients hold from after the cut, in the middle of an epoch, is refused: at once, and when the new
/// history has gone further. What both histories have stays valid.
#[tokio::test]
async fn positions_after_a_cut_are_lost() {
    let server = setup().start().await;
    let alice = server.user("alice");
    let kept_post = alice.publishes_once("kept", "").await;
    let lost_post = alice.publishes("lost").await;
    alice.publishes_many("lost too ", 4).await;
    let lost = alice.page(2, "").await;
    let kept = tempfile::tempdir().unwrap();
    let to = destination(&kept);
    take(&server, &to).await;
    server.stop().await;

    let data = Arc::new(tempfile::tempdir().unwrap());
    let cut = kept_post.post.as_ref().unwrap().revision;
    restore(&to, RestoreUntil::Revision(Revision::new(cut)), data.path()).await.unwrap();
    let server = setup().start_on(data).await;
    let alice = server.user("alice");
    for _ in 0..2 {
        let at_least = |at_least_cursor: &String| NewsFeedRequest {
            at_least_cursor: at_least_cursor.clone(),
            ..NewsFeedRequest::default()
        };
        refused(alice.tries_to_read(at_least(&lost.cursor)).await)
            .with(Code::FailedPrecondition, "HISTORY_LOST");
        let page_token = lost.next_page_token.clone();
        let next = NewsFeedRequest { page_token, ..NewsFeedRequest::default() };
        refused(alice.tries_to_read(next).await).with(Code::FailedPrecondition, "HISTORY_LOST");
        let delete =
            DeletePostRequest { user_id: "alice".to_owned(), post_id: lost_post.post_id.clone() };
        let delete = client(&server).await.delete_post(delete).await.unwrap_err();
        assert!(delete.to_string().contains("HISTORY_LOST"), "{delete}");
        alice.tries_to_read(at_least(&kept_post.cursor)).await.expect("it is of both histories");
        alice.publishes_many("new ", 8).await;
    }
}

/// A restore to a time ends before the first later event, also if the clock was set back after it.
#[tokio::test]
async fn a_restore_to_a_time_ends_before_the_first_later_event() {
    let clock = Clock::held_at(Duration::from_secs(1_000));
    let server = setup().clock(&clock).start().await;
    let alice = server.user("alice");
    alice.publishes("at 1,000").await;
    clock.set(Duration::from_secs(2_000));
    alice.publishes("at 2,000").await;
    clock.set(Duration::from_secs(1_500));
    alice.publishes("at 1,500, by a clock that was set back").await;
    let kept = tempfile::tempdir().unwrap();
    let to = destination(&kept);
    take(&server, &to).await;
    for (seconds, head) in [(1_000, 1), (1_999, 1), (2_000, 3), (9_000, 3)] {
        let data = tempfile::tempdir().unwrap();
        let until = RestoreUntil::Time(Timestamp::from_nanos(seconds * 1_000_000_000));
        let restored = restore(&to, until, data.path()).await.unwrap();
        assert_eq!(restored.head, Revision::new(head), "up to {seconds} s");
        assert_eq!(verified(data.path()).head, restored.head);
    }
    let data = tempfile::tempdir().unwrap();
    let until = RestoreUntil::Time(Timestamp::from_nanos(999_999_999_999));
    let refused = restore(&to, until, data.path()).await.unwrap_err();
    assert!(matches!(refused, Error::NothingUntil { .. }), "{refused}");
    assert!(matches!(
        whimbrel::storage::LocalLog::open(data.path(), crate::harness::LOG_OPTIONS),
        Err(whimbrel::storage::Error::RestoreUnfinished { .. })
    ));
}

/// A restore to a time that lies between the last event of a segment and the first of the next.
#[tokio::test]
async fn a_restore_to_a_time_may_end_with_a_segment() {
    let clock = Clock::held_at(Duration::from_secs(1_000));
    let server = setup().clock(&clock).start().await;
    let alice = server.user("alice");
    let kept = tempfile::tempdir().unwrap();
    let to = destination(&kept);
    let text = "long text ".repeat(25);
    let mut seconds = 1_000;
    let end = loop {
        for _ in 0..50 {
            alice.publishes(&text).await;
            seconds += 1;
            clock.set(Duration::from_secs(seconds));
        }
        let list = client(&server).await.list_segments(Default::default()).await.unwrap();
        if list.segments.len() > 1
            && list.segments[1].last_revision > list.segments[0].last_revision
        {
            break list.segments[0].last_revision;
        }
    };
    take(&server, &to).await;
    for last in [end - 1, end, end + 1] {
        let data = tempfile::tempdir().unwrap();
        // The event of revision 1 came at second 1,000, and each other one a second later.
        let time = Timestamp::from_nanos((999 + last) * 1_000_000_000);
        let restored = restore(&to, RestoreUntil::Time(time), data.path()).await.unwrap();
        assert_eq!(restored.head, Revision::new(last));
        assert_eq!(verified(data.path()).head, restored.head);
        let segments = if last > end { 2 } else { 1 };
        assert_eq!(restored.segments, segments);
    }
}

/// A post whose content was erased, cut off before its deletion, has no content any more: no read fails
/// for it, or shows it.
#[tokio::test]
async fn an_erased_post_does_not_come_back() {
    let often = |limits: &mut whimbrel::config::Limits| {
        limits.compaction_interval = Duration::from_millis(1);
    };
    let server = setup().limits(often).start().await;
    let alice = server.user("alice");
    alice.publishes("before").await;
    let post = alice.publishes("a secret").await;
    alice.publishes("after").await;
    let cut = Revision::new(post.revision + 1);
    let delete = DeletePostRequest { user_id: "alice".to_owned(), post_id: post.post_id };
    let deletion = client(&server).await.delete_post(delete).await.unwrap().revision;
    eventually("the erasure", async || {
        let log = whimbrel::storage::check_log(server.folder().path(), &mut |_| {}).unwrap();
        (log.erased_until.get() >= deletion).then_some(())
    })
    .await;
    let kept = tempfile::tempdir().unwrap();
    let to = destination(&kept);
    take(&server, &to).await;
    let data = Arc::new(tempfile::tempdir().unwrap());
    let restored = restore(&to, RestoreUntil::Revision(cut), data.path()).await.unwrap();
    assert_eq!((restored.deleted, restored.head), (1, cut.next()), "it is deleted after the cut");
    assert!(verified(data.path()).erased_until <= cut);
    let mut server = setup().start_on(data).await;
    // From memory, and from the index.
    for _ in 0..2 {
        assert_eq!(server.user("alice").feed().await.texts(), ["after", "before"]);
        server.restart().await;
    }
}
