//! A clock that is wrong for a while: durations are not affected, and times are right afterwards.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tonic::Code;
use whimbrel::api::v1::GetPostsRequest;
use whimbrel::api::v1::post_service_client::PostServiceClient;
use whimbrel::config::Limits;
use whimbrel::engine::Engine;
use whimbrel::model::{Event, LogTime, Post, Revision, Timestamp};
use whimbrel::runtime::{Clock, CriticalThreads};
use whimbrel::storage::{self, LocalLog, Log};

use crate::harness::core::{post, user};
use crate::harness::{
    Alter, AlteredLog, LOG_OPTIONS, MemoryFolder, Setup, TestServer, eventually, refused, within,
};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const SECOND: Duration = Duration::from_secs(1);
/// The interval of compactions. The compactor polls often; only the clock ends the interval.
const INTERVAL: Duration = Duration::from_millis(50);
/// A time in the year 2033.
const START: Duration = Duration::from_secs(2_000_000_000);
/// Later than HTTP and Protobuf can represent.
const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);

/// One post is made while the clock is far ahead or far behind. The next has the right time, after
/// a restart too, and the order is that of the posts.
#[tokio::test]
async fn times_are_right_once_the_clock_is() {
    for wrong in [START + HOUR, START + YEAR, START - YEAR, Duration::ZERO] {
        let clock = Clock::held_at(START);
        let mut server = Setup::new().clock(&clock).start().await;
        server.user("bob").publishes("before").await;
        clock.set(wrong);
        server.user("bob").publishes("while it is wrong").await;
        clock.set(START);
        clock.pass(SECOND);
        server.user("bob").publishes("after").await;
        clock.pass(SECOND);
        server.restart().await;
        server.user("bob").publishes("after a restart").await;

        let feed = server.user("bob").feed().await;
        assert_eq!(feed.texts(), ["after a restart", "after", "while it is wrong", "before"]);
        let times: Vec<_> = feed.posts().map(|post| post.create_time.unwrap()).collect();
        let seconds = times.iter().map(|time| Duration::from_secs(time.seconds.cast_unsigned()));
        let expected = [START + 2 * SECOND, START + SECOND, wrong, START];
        assert_eq!(seconds.collect::<Vec<_>>(), expected);
    }
}

/// A request id is remembered for a day of elapsed time, and then forgotten, however far the clock
/// jumps.
#[tokio::test]
async fn request_ids_are_remembered_for_a_day_of_elapsed_time() {
    let clock = Clock::held_at(START);
    let mut server = Setup::new().clock(&clock).start().await;
    let again = async |server: &TestServer| {
        server.user("bob").publishes_once("hi", "request 1").await.deduplicated
    };
    assert!(!again(&server).await);
    for (number, wrong) in [START + YEAR, START, START + 2 * YEAR].into_iter().enumerate() {
        clock.set(wrong);
        // Each publish forgets old ids.
        let id = format!("at jump {number}");
        server.user("carol").publishes_once("it jumps", &id).await;
        assert!(again(&server).await, "after jump {number}");
        server.restart().await;
        assert!(again(&server).await, "after jump {number} and a restart");
    }
    clock.set(START);
    clock.pass(DAY - SECOND);
    server.user("carol").publishes_once("almost a day later", "request 2").await;
    assert!(again(&server).await);
    clock.pass(SECOND);
    server.user("carol").publishes_once("a day later", "request 3").await;
    assert!(!again(&server).await);
}

/// Time without a running server does not count for request ids, whatever the clock says.
#[tokio::test]
async fn request_ids_outlive_a_long_stop() {
    let clock = Clock::held_at(START);
    let mut server = Setup::new().clock(&clock).start().await;
    server.user("bob").publishes_once("hi", "request 1").await;
    // No server measures time here, but the clock advances.
    clock.set(START + 3 * DAY);
    server.restart().await;
    server.user("carol").publishes_once("much later", "request 2").await;
    assert!(server.user("bob").publishes_once("hi", "request 1").await.deduplicated);
}

/// A post deleted after a jump forward is erased after one interval of elapsed time. A jump alone
/// makes no compaction due.
#[tokio::test]
async fn a_jump_does_not_keep_a_deleted_text() {
    let clock = Clock::held_at(START);
    let compacting = CompactingEngine::new(&clock);
    clock.set(START + YEAR);
    compacting.publish().await;
    clock.set(START);
    let deletion = compacting.delete_and_wait_for_a_look().await;
    clock.pass(INTERVAL);
    compacting.erased(deletion).await;

    // The age of a deletion counts from the scan before it: one that began before the time passed
    // may still end after the erasure. This deletion is found by a scan after that one.
    compacting.delete_and_wait_for_a_look().await;
    let later = compacting.delete_and_wait_for_a_look().await;
    clock.set(START + YEAR);
    // A second look at the deletion implies a decision about the first.
    let last = [
        compacting.delete_and_wait_for_a_look().await,
        compacting.delete_and_wait_for_a_look().await,
    ][1];
    assert!(compacting.log.erased_until() < later, "the post was erased early");
    clock.pass(INTERVAL);
    compacting.erased(last).await;
    compacting.stop().await;
}

/// After a start, a post deleted before is erased once the clock says that it is old enough, at
/// once if its deletion lies in the future, and after one interval at the latest.
#[tokio::test]
async fn a_restart_does_not_keep_a_deleted_text() {
    let a_part = INTERVAL / 5;
    let cases = [
        ("it was stopped for long", START, START + DAY, Duration::ZERO),
        ("it was deleted while the clock was ahead", START + YEAR, START, Duration::ZERO),
        ("the clock is behind now", START, START - YEAR, Duration::ZERO),
        ("it was deleted just now", START, START + a_part, INTERVAL - a_part),
    ];
    for (case, deleted_at, started_at, waits) in cases {
        let clock = Clock::held_at(deleted_at);
        let compacting = CompactingEngine::new(&clock);
        let deletion = compacting.delete_and_wait_for_a_look().await;
        let compacting = compacting.reopened_at(started_at).await;
        assert!(compacting.log.erased_until() < deletion || waits.is_zero(), "{case}");
        if !waits.is_zero() {
            compacting.delete_and_wait_for_a_look().await;
            compacting.delete_and_wait_for_a_look().await;
            assert!(compacting.log.erased_until() < deletion, "{case}: the post was erased early");
        }
        clock.pass(waits);
        compacting.erased(deletion).await;
        compacting.stop().await;
    }
}

/// A clock with a time that cannot be stored refuses changes, with a reason. Reads and calls
/// without an effect succeed, and changes do again once the clock is right.
#[tokio::test]
async fn a_clock_out_of_range_refuses_changes() {
    let clock = Clock::held_at(START);
    let server = Setup::new().clock(&clock).start().await;
    let bob = server.user("bob");
    let made = bob.publishes_once("hi", "request 1").await;
    for wrong in [None, Some(YEAR_10000), Some(Duration::MAX / 4)] {
        clock.set(wrong);
        let call = server.unchanged_by(bob.tries_to_publish("hi", "request 2")).await;
        refused(call).with(Code::Unavailable, "CLOCK_OUT_OF_RANGE").with_a_delay();
        refused(server.user("alice").tries_to_follow("bob").await)
            .with(Code::Unavailable, "CLOCK_OUT_OF_RANGE");
        assert_eq!(bob.publishes_once("hi", "request 1").await.post, made.post);
        assert_eq!(bob.feed().await.texts(), ["hi"]);
    }
    clock.set(START);
    bob.publishes_once("hi", "request 2").await;
    assert_eq!(bob.feed().await.texts(), ["hi", "hi"]);
}

/// A server starts with any clock, to serve reads.
#[tokio::test]
async fn a_server_starts_with_a_clock_out_of_range() {
    let clock = Clock::held_at(YEAR_10000);
    let mut server = Setup::new().clock(&clock).start().await;
    assert!(server.user("bob").feed().await.texts().is_empty());
    clock.set(None);
    server.restart().await;
    assert!(server.user("bob").feed().await.texts().is_empty());
    clock.set(START);
    server.user("bob").publishes("hi").await;
}

/// Responses have no date header: the library that writes it panics for years above 9999.
#[tokio::test]
async fn responses_have_no_date() {
    let server = TestServer::start().await;
    let mut calls = PostServiceClient::new(server.channel());
    let post_ids = vec![server.user("bob").publishes("hi").await.post_id];
    let user_id = "bob".to_owned();
    let request = GetPostsRequest { user_id, post_ids, ..GetPostsRequest::default() };
    let answer = calls.get_posts(request).await.unwrap();
    assert!(answer.metadata().get("date").is_none(), "{answer:?}");
    let refused = calls.get_posts(GetPostsRequest::default()).await.unwrap_err();
    assert!(refused.metadata().get("date").is_none(), "{refused:?}");
}

/// The log's own time advances by elapsed time, over jumps and restarts.
#[tokio::test]
async fn the_logs_own_time_is_elapsed_time() {
    let clock = Clock::held_at(START);
    let compacting = CompactingEngine::new(&clock);
    let mut made = Vec::new();
    for time in [START, START + YEAR, START - YEAR] {
        clock.set(time);
        clock.pass(SECOND);
        made.push(compacting.publish().await.revision);
    }
    let compacting = compacting.reopened_at(START + DAY).await;
    clock.pass(SECOND);
    made.push(compacting.publish().await.revision);

    let events = made.iter().map(|&revision| compacting.log.get(revision).unwrap().unwrap());
    let (times, log_times): (Vec<_>, Vec<_>) =
        events.map(|event| (event.time, event.log_time)).unzip();
    let at = |since_epoch| Timestamp::since_epoch(since_epoch + SECOND).unwrap();
    assert_eq!(times, [START, START + YEAR, START - YEAR, START + DAY].map(at));
    let after = |seconds: u32| LogTime::default().later(START + seconds * SECOND);
    assert_eq!(log_times, [1, 2, 3, 4].map(after));
    compacting.stop().await;
}

/// An engine on a folder in memory with a short compaction interval and a clock of the test's.
#[derive(Debug)]
struct CompactingEngine {
    folder: MemoryFolder,
    clock: Clock,
    log: Arc<AlteredLog<Looked>>,
    engine: Engine,
}

/// The events that the compactor has read.
#[derive(Debug, Default)]
struct Looked(Mutex<Vec<Revision>>);

impl Alter for Looked {
    fn get_many(
        &self,
        log: &dyn Log,
        revisions: &[Revision],
    ) -> Result<Vec<Option<Event>>, storage::Error> {
        self.0.lock().unwrap().extend(revisions);
        log.get_many(revisions)
    }
}

impl CompactingEngine {
    fn new(clock: &Clock) -> Self {
        Self::on(MemoryFolder::default(), clock.clone())
    }

    fn on(folder: MemoryFolder, clock: Clock) -> Self {
        let log = LocalLog::with_folder(folder.clone(), LOG_OPTIONS).unwrap();
        let log = AlteredLog::new(Arc::new(log), Looked::default());
        let limits = Limits { compaction_interval: INTERVAL, ..Limits::default() };
        let critical = CriticalThreads::new();
        let engine =
            Engine::open(Arc::clone(&log) as _, &limits, clock.clone(), &critical).unwrap();
        Self { folder, clock, log, engine }
    }

    /// Stops the engine, and opens another on the same folder at another time.
    async fn reopened_at(self, since_epoch: Duration) -> Self {
        self.stop().await;
        let Self { folder, clock, log, engine } = self;
        drop((log, engine));
        clock.set(since_epoch);
        Self::on(folder, clock)
    }

    async fn stop(&self) {
        within("the engine to stop", self.engine.stop()).await;
    }

    async fn publish(&self) -> Post {
        let published = self.engine.publish(user("bob"), post("hi"), None).await.unwrap();
        (*published.post).clone()
    }

    /// Publishes and deletes a post. Returns the revision of the deletion.
    async fn delete_one(&self) -> Revision {
        let post = self.publish().await;
        self.engine.delete(user("bob"), post.id()).await.unwrap().revision
    }

    /// Deletes a post, and waits until the compactor has read the deletion: then it has decided
    /// about earlier deletions.
    async fn delete_and_wait_for_a_look(&self) -> Revision {
        let deletion = self.delete_one().await;
        let looked = async || self.log.alter.0.lock().unwrap().contains(&deletion).then_some(());
        eventually("a read of the deletion", looked).await;
        deletion
    }

    /// Waits until posts that were deleted up to `deletion` are erased.
    async fn erased(&self, deletion: Revision) {
        let erased = async || (self.log.erased_until() >= deletion).then_some(());
        eventually("the post to be erased", erased).await;
    }
}
