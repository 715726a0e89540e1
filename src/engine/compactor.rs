//! The compactor: one thread that erases the content of deleted posts from the log, many posts at
//! once. It never erases anything else.
//!
//! It stores no progress of its own: the log has the revision up to which posts are erased, and the
//! state has the later deletions, also after a restart.
//!
//! While the engine runs, the age of a deletion is measured, so that a clock that is set cannot
//! keep content on the disk. For deletions before the start only the time of day is known. It is
//! used only if it makes them due sooner: they are due one interval after the start at the latest.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use super::metrics::EngineMetrics;
use super::recurring::RecurringWarning;
use crate::config::LimitsInForce;
use crate::model::{Change, Revision, Timestamp};
use crate::runtime::{Clock, lower_priority};
use crate::state::State;
use crate::state::{MissingEvent, ReadError};
use crate::storage::{self, EraseOutcome, Erasure, Log};

/// The number of scans in an interval. A scan reads all retractions of the state. An erasure that
/// was not possible is tried again at the next scan.
const SCANS_PER_INTERVAL: u32 = 16;
/// The shortest time between two scans, for short intervals.
const SCAN_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// How often another interval is noticed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The longest time between a start and the first scan: short enough for a server that is restarted
/// often, and long enough to first serve the clients that reconnect.
const FIRST_SCAN_DELAY_MAX: Duration = Duration::from_secs(60);
/// Events that are read from the log at once.
const READ_EVENTS_MAX: usize = 1_024;

/// Erases the content of deleted posts.
#[derive(Debug)]
pub(super) struct Compactor {
    log: Arc<dyn Log>,
    state: Arc<State>,
    clock: Clock,
    limits: LimitsInForce,
    /// The interval by which `due` was calculated.
    interval: Duration,
    /// Disconnected when the engine stops.
    stopped: Receiver<()>,
    /// Deleted posts that are not erased yet.
    deleted: Vec<Revision>,
    /// The time at which the first of them is due, by [`Clock::elapsed`].
    due: Option<Duration>,
    /// All posts deleted up to here are in `deleted`, or erased.
    scanned_until: Revision,
    /// The time of that scan, by [`Clock::elapsed`]: later deletions are not older than this.
    scanned_at: Duration,
    /// Deletions up to here are from before the engine was opened.
    opened_at: Revision,
    /// Whether the last scan failed, which is logged once.
    has_failed: bool,
    postponed: RecurringWarning,
    metrics: EngineMetrics,
}

impl Compactor {
    pub(super) fn new(
        log: Arc<dyn Log>,
        state: Arc<State>,
        clock: Clock,
        stopped: Receiver<()>,
        limits: LimitsInForce,
    ) -> Self {
        Self {
            scanned_until: log.erased_until(),
            scanned_at: clock.elapsed(),
            opened_at: state.applied(),
            log,
            state,
            clock,
            interval: limits.now().compaction_interval,
            limits,
            stopped,
            deleted: Vec::new(),
            due: None,
            has_failed: false,
            postponed: RecurringWarning::default(),
            metrics: EngineMetrics::default(),
        }
    }

    /// Counts in `metrics`.
    pub(super) fn counted_in(self, metrics: EngineMetrics) -> Self {
        Self { metrics, ..self }
    }

    /// Runs until the engine stops, which also ends an erasure early.
    pub(super) fn run(mut self) -> Result<(), storage::Error> {
        lower_priority();
        let mut next_scan = Instant::now() + self.scan_interval().min(FIRST_SCAN_DELAY_MAX);
        loop {
            let pause = next_scan.saturating_duration_since(Instant::now());
            let waited = self.stopped.recv_timeout(pause.min(LOOK_INTERVAL));
            if waited == Err(RecvTimeoutError::Disconnected) {
                return Ok(());
            }
            let is_another = self.take_interval();
            if !is_another && Instant::now() < next_scan {
                continue;
            }
            next_scan = Instant::now() + self.scan_interval();
            let scanned = self.scan();
            if let Err(error) = &scanned
                && !self.has_failed
            {
                tracing::warn!(%error, "the content of deleted posts stays on the disk");
            }
            self.has_failed = scanned.is_err();
            self.metrics.to_erase(self.deleted.len());
            if self.is_due() && !self.has_failed {
                self.erase()?;
            }
        }
    }

    fn scan_interval(&self) -> Duration {
        (self.interval / SCANS_PER_INTERVAL).max(SCAN_INTERVAL_MIN)
    }

    /// Takes the interval in force, if it is another one. What is due already stays due; the rest is
    /// due by the new interval.
    fn take_interval(&mut self) -> bool {
        let before = std::mem::replace(&mut self.interval, self.limits.now().compaction_interval);
        if before == self.interval {
            return false;
        }
        if !self.is_due() {
            // A time before the clock began to count is one that is over.
            self.due = self.due.map(|due| (due + self.interval).saturating_sub(before));
        }
        true
    }

    /// Adds the posts that were deleted since the last scan. After an error the compactor goes on:
    /// nothing was changed, and the next scan tries again.
    fn scan(&mut self) -> Result<(), ReadError> {
        let (at, until) = (self.clock.elapsed(), self.state.applied());
        let retractions = self.state.retractions(self.scanned_until, until);
        let mut deleted = Vec::new();
        for some in retractions.chunks(READ_EVENTS_MAX) {
            for (event, &revision) in self.log.get_many(some)?.into_iter().zip(some) {
                let event = event.ok_or(MissingEvent { revision })?;
                // The others are removals of reposts.
                if let Change::Delete { post, .. } = event.change {
                    let is_old = revision <= self.opened_at;
                    let remaining =
                        if is_old { self.remaining_by_clock(event.time) } else { self.interval };
                    deleted.push((post.id.revision(), self.scanned_at + remaining));
                }
            }
        }
        for (post, due) in deleted {
            self.deleted.push(post);
            self.due = Some(self.due.map_or(due, |sooner| sooner.min(due)));
        }
        (self.scanned_at, self.scanned_until) = (at, until);
        Ok(())
    }

    /// The time until a post that was deleted at `time` is due, by the time of day. Zero if `time`
    /// is in the future: then the clock was wrong at some time, and the age is not known.
    fn remaining_by_clock(&self, time: Timestamp) -> Duration {
        let now = self.clock.since_epoch().and_then(Timestamp::since_epoch);
        let age = now.and_then(|now| now.after(time));
        age.map_or(Duration::ZERO, |age| self.interval.saturating_sub(age))
    }

    fn is_due(&self) -> bool {
        self.due.is_some_and(|due| self.clock.elapsed() >= due)
    }

    fn erase(&mut self) -> Result<(), storage::Error> {
        let began = Instant::now();
        self.deleted.sort_unstable();
        let posts = std::mem::take(&mut self.deleted);
        let erasure = Erasure { posts, until: self.scanned_until };
        let may_continue = || self.stopped.try_recv() != Err(TryRecvError::Disconnected);
        let outcome = self.log.erase(&erasure, &may_continue)?;
        let posts = erasure.posts.len();
        match outcome {
            EraseOutcome::Done => {
                let seconds = began.elapsed().as_secs_f64();
                tracing::info!(posts, seconds, "the content of deleted posts is erased");
                self.due = None;
                self.postponed.ended();
                self.metrics.erased(posts, self.clock.since_epoch().unwrap_or_default());
                self.metrics.to_erase(0);
                return Ok(());
            }
            EraseOutcome::Abandoned => {}
            EraseOutcome::Postponed(error) => {
                self.metrics.erasure_postponed();
                if let Some(times) = self.postponed.occurred(1) {
                    tracing::warn!(
                        %error, posts, times, "the content of deleted posts is still on the disk"
                    );
                }
            }
        }
        self.deleted = erasure.posts;
        Ok(())
    }
}
