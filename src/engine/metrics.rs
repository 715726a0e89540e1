//! The metrics of the write path: the queue, batches, flushes, what is durable and not applied, the index
//! behind it, and the erasing of deleted posts.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Engine;
use crate::model::Revision;
use crate::runtime::metrics::{Buckets, Counter, Counters, Histogram, Metric, Scrape, label};
use crate::storage;

const QUEUE: Metric =
    Metric::gauge("whimbrel_commit_queue_commands", &[], "Changes that wait to be decided");
const BATCH: Metric = Metric::histogram(
    "whimbrel_commit_batch_events",
    &[],
    "Events that became durable with one flush",
);
const FLUSH: Metric = Metric::histogram(
    "whimbrel_commit_flush_seconds",
    &[],
    "Time to write a batch to the log and to flush it",
);
const FAILED: Metric = Metric::counter(
    "whimbrel_commit_batches_refused_total",
    &[],
    "Batches that were not appended, as the disk is nearly full or another node was faster",
);
const APPLY: Metric = Metric::histogram(
    "whimbrel_commit_to_applied_seconds",
    &[],
    "Time from the beginning of the write of a batch until reads show it",
);
const LAG: Metric = Metric::gauge(
    "whimbrel_apply_lag_revisions",
    &[],
    "Events that are durable and that reads do not show yet",
);
const LAG_SECONDS: Metric = Metric::gauge(
    "whimbrel_apply_lag_seconds",
    &[],
    "Age of the oldest batch whose write has begun and that reads do not show yet",
);
const INDEX_WRITES: Metric = Metric::counter(
    "whimbrel_index_writes_total",
    &["outcome"],
    "Writes of the index, each with a repair before if it needs one",
);
const INDEX_WRITE: Metric =
    Metric::histogram("whimbrel_index_write_seconds", &[], "Time of a write of the index");
const INDEX_REPAIRS: Metric = Metric::counter(
    "whimbrel_index_repairs_total",
    &[],
    "How often a lost or damaged index was opened again or replaced",
);
const ERASURES: Metric = Metric::counter(
    "whimbrel_erasures_total",
    &["outcome"],
    "Runs that erase the content of deleted posts from the log",
);
const ERASED: Metric = Metric::counter(
    "whimbrel_erased_posts_total",
    &[],
    "Deleted posts whose content was erased from the log",
);
const ERASED_AT: Metric = Metric::gauge(
    "whimbrel_erasure_last_success_timestamp_seconds",
    &[],
    "When content was last erased, in seconds since 1970; 0 if it was not since the start",
);
const TO_ERASE: Metric = Metric::gauge(
    "whimbrel_posts_to_erase",
    &[],
    "Deleted posts that were found and whose content is still in the log",
);

label! {
    /// Whether something was done, or is tried again.
    pub(super) enum WorkOutcome {
        Done = "done",
        Postponed = "postponed",
    }
}

/// The metrics of the write path. Cheap to clone. Each cell has one thread that counts in it.
#[derive(Clone, Debug, Default)]
pub(super) struct EngineMetrics(Arc<EngineCells>);

#[derive(Debug)]
struct EngineCells {
    batch: Histogram,
    flush: Histogram,
    refused: Counter,
    apply: Histogram,
    /// The last revision of each batch that is not applied, and when its write began.
    unapplied: Mutex<VecDeque<(Revision, Instant)>>,
    index_writes: Counters<WorkOutcome>,
    index_write: Histogram,
    index_repairs: Counter,
    erasures: Counters<WorkOutcome>,
    erased: Counter,
    /// In seconds since 1970.
    erased_at: AtomicU64,
    to_erase: AtomicU64,
}

impl Default for EngineCells {
    fn default() -> Self {
        Self {
            batch: Histogram::new(&Buckets::COUNT),
            flush: Histogram::new(&Buckets::TIME),
            refused: Counter::default(),
            apply: Histogram::new(&Buckets::TIME),
            unapplied: Mutex::default(),
            index_writes: Counters::default(),
            index_write: Histogram::new(&Buckets::TIME),
            index_repairs: Counter::default(),
            erasures: Counters::default(),
            erased: Counter::default(),
            erased_at: AtomicU64::new(0),
            to_erase: AtomicU64::new(0),
        }
    }
}

impl EngineMetrics {
    /// The write of a batch begins, whose last event will be `last`. Returns when.
    pub(super) fn write_begins(&self, last: Revision) -> Instant {
        let now = Instant::now();
        self.unapplied().push_back((last, now));
        now
    }

    /// A batch of so many events is durable, whose write began at `begun_at`. Returns when it was.
    pub(super) fn flushed(&self, events: usize, begun_at: Instant) -> Instant {
        let now = Instant::now();
        self.0.flush.observe_time(now - begun_at);
        self.0.batch.observe(events as u64);
        now
    }

    /// The newest batch was refused, and nothing of it written.
    pub(super) fn refused(&self) {
        self.unapplied().pop_back();
        self.0.refused.increment();
    }

    /// Reads show all events up to `revision`. Returns when the write of the last batch began, if that was
    /// in this process.
    pub(super) fn applied(&self, revision: Revision) -> Option<Instant> {
        let mut unapplied = self.unapplied();
        let mut last = None;
        while let Some((_, begun_at)) = unapplied.pop_front_if(|(last, _)| *last <= revision) {
            self.0.apply.observe_time(begun_at.elapsed());
            last = Some(begun_at);
        }
        last
    }

    /// The index was written, or could not be.
    pub(super) fn index_written(&self, time: Duration, is_done: bool) {
        if is_done {
            self.0.index_write.observe_time(time);
        }
        let outcome = if is_done { WorkOutcome::Done } else { WorkOutcome::Postponed };
        self.0.index_writes.of(outcome).increment();
    }

    /// The index was opened again, or replaced.
    pub(super) fn index_repaired(&self) {
        self.0.index_repairs.increment();
    }

    /// The content of `posts` was erased at `now`, a time since 1970.
    pub(super) fn erased(&self, posts: usize, now: Duration) {
        self.0.erasures.of(WorkOutcome::Done).increment();
        self.0.erased.add(posts as u64);
        self.0.erased_at.store(now.as_secs(), Ordering::Relaxed);
    }

    /// Content could not be erased.
    pub(super) fn erasure_postponed(&self) {
        self.0.erasures.of(WorkOutcome::Postponed).increment();
    }

    /// So many deleted posts are still to be erased.
    pub(super) fn to_erase(&self, posts: usize) {
        self.0.to_erase.store(posts as u64, Ordering::Relaxed);
    }

    fn unapplied(&self) -> MutexGuard<'_, VecDeque<(Revision, Instant)>> {
        self.0.unapplied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn collect(&self, scrape: &mut Scrape) {
        let cells = &*self.0;
        scrape.add(&BATCH, [([], cells.batch.value())]);
        scrape.add(&FLUSH, [([], cells.flush.value())]);
        scrape.count(&FAILED, cells.refused.get());
        scrape.add(&APPLY, [([], cells.apply.value())]);
        let oldest = self.unapplied().front().map(|(_, begun_at)| begun_at.elapsed());
        scrape.number(&LAG_SECONDS, oldest.unwrap_or_default().as_secs_f64());
        scrape.add(&INDEX_WRITES, cells.index_writes.samples());
        scrape.add(&INDEX_WRITE, [([], cells.index_write.value())]);
        scrape.count(&INDEX_REPAIRS, cells.index_repairs.get());
        scrape.add(&ERASURES, cells.erasures.samples());
        scrape.count(&ERASED, cells.erased.get());
        scrape.count(&ERASED_AT, cells.erased_at.load(Ordering::Relaxed));
        scrape.count(&TO_ERASE, cells.to_erase.load(Ordering::Relaxed));
    }
}

/// What each of these takes in memory, as was measured for the table in docs/operations.md; a test holds the
/// two together.
const ITEM_BYTES: [(&str, u64); 6] = [
    ("user", 280),
    ("follow", 18),
    ("block", 18),
    ("mute", 18),
    ("retraction", 40),
    ("request_id", 120),
];
/// What an event takes that the index lacks.
const UNINDEXED_BYTES: u64 = 200;
/// What a stream takes, without the followees of its user.
const STREAM_BYTES: u64 = 3_900;

impl Engine {
    /// An estimate of the memory that each kind takes.
    #[must_use]
    pub fn memory(&self) -> Vec<(&'static str, u64)> {
        let state = self.state();
        let each = |kind: &str| {
            ITEM_BYTES.iter().find(|(name, _)| *name == kind).map_or_else(
                || unreachable!("nobody says what a {kind} takes"),
                |(_, bytes)| *bytes,
            )
        };
        let items = state.items().map(|(kind, count)| (kind, count as u64 * each(kind)));
        let mut memory: Vec<_> = items.into_iter().chain(state.cache_bytes()).collect();
        let unindexed = state
            .index()
            .map_or(0, |index| state.applied().get().saturating_sub(index.complete_until().get()));
        memory.push(("not_indexed", unindexed * UNINDEXED_BYTES));
        memory.push(("streams", self.0.live.open_streams() as u64 * STREAM_BYTES));
        memory
    }

    /// Collects the metrics of the write path, and of all that is below it.
    pub fn collect(&self, scrape: &mut Scrape) {
        let (state, commands) = (self.state(), &self.0.commands);
        scrape.count(&QUEUE, (commands.max_capacity() - commands.capacity()) as u64);
        self.0.metrics.collect(scrape);
        // First, so that the difference is not negative.
        let applied = state.applied();
        scrape.count(&LAG, state.log.head().get() - applied.get());
        storage::collect(&*state.log, state.index().map(|index| &**index), applied, scrape);
        state.collect(scrape);
        self.0.reader.collect(scrape);
        self.0.live.collect(scrape);
    }
}
