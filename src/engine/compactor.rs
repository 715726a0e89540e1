//! The eraser: one thread that has what deleted posts said erased from the log, many posts at once.
//!
//! Nothing is remembered of what is left to do: the log says up to where posts were erased, and the
//! state which were deleted since, also after a restart.
//!
//! How long ago a post was deleted is measured while the engine runs, so no clock that is set keeps
//! one on the disk. Of those that were deleted before it was opened only the time of day is known. It
//! is believed as far as it makes them due sooner: they wait for an interval from then at most.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use super::indexer::lower_priority;
use super::recurring::RecurringWarning;
use crate::config::Limits;
use crate::model::{Change, Revision, Timestamp};
use crate::runtime::Clock;
use crate::state::State;
use crate::state::{MissingEvent, ReadError};
use crate::storage::{self, EraseOutcome, Erasure, Log};

/// How often in an interval it looks whether something is due, which is a pass over all that was
/// ever deleted. What could not be done is tried again at the next look.
const LOOKS_PER_INTERVAL: u32 = 16;
/// How often it looks at most, however short the interval.
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// How long after a start it looks first at most: also one that is started often comes to it, and
/// whoever comes back after a start is served by then.
const FIRST_LOOK_AFTER_MAX: Duration = Duration::from_secs(60);
/// Events read from the log at once.
const READ_EVENTS_MAX: usize = 1_024;

/// Has posts erased.
#[derive(Debug)]
pub(super) struct Compactor {
    log: Arc<dyn Log>,
    state: Arc<State>,
    clock: Clock,
    interval: Duration,
    /// Ends when the engine is to stop.
    stopped: Receiver<()>,
    /// Posts that were deleted, and not erased since.
    deleted: Vec<Revision>,
    /// When the first of them has been there for as long as it may, by [`Clock::elapsed`].
    due: Option<Duration>,
    /// All that was deleted up to here is among them, or erased.
    looked_until: Revision,
    /// When that was looked for, by [`Clock::elapsed`]: what is found later was deleted later.
    looked_at: Duration,
    /// What was deleted up to here was deleted before the engine was opened.
    opened_at: Revision,
    /// Whether the last look failed, which is said once.
    is_blind: bool,
    postponed: RecurringWarning,
}

impl Compactor {
    pub(super) fn new(
        log: Arc<dyn Log>,
        state: Arc<State>,
        clock: Clock,
        stopped: Receiver<()>,
        limits: &Limits,
    ) -> Self {
        Self {
            looked_until: log.erased_until(),
            looked_at: clock.elapsed(),
            opened_at: state.applied(),
            log,
            state,
            clock,
            interval: limits.compaction_interval,
            stopped,
            deleted: Vec::new(),
            due: None,
            is_blind: false,
            postponed: RecurringWarning::default(),
        }
    }

    /// Works until the engine is to stop; what is under way then is given up.
    pub(super) fn run(mut self) -> Result<(), storage::Error> {
        lower_priority();
        let look_interval = (self.interval / LOOKS_PER_INTERVAL).max(LOOK_INTERVAL_MIN);
        let mut pause = look_interval.min(FIRST_LOOK_AFTER_MAX);
        while self.stopped.recv_timeout(pause) != Err(RecvTimeoutError::Disconnected) {
            pause = look_interval;
            let looked = self.look();
            if let Err(error) = &looked
                && !self.is_blind
            {
                tracing::warn!(%error, "what deleted posts said stays on the disk");
            }
            self.is_blind = looked.is_err();
            if self.is_due() && !self.is_blind {
                self.erase()?;
            }
        }
        Ok(())
    }

    /// Takes in what was deleted since the last look. A record that cannot be read is no reason to
    /// end: nothing was written, and the next look tries again.
    fn look(&mut self) -> Result<(), ReadError> {
        let (at, until) = (self.clock.elapsed(), self.state.applied());
        let retractions = self.state.retractions(self.looked_until, until);
        let mut deleted = Vec::new();
        for some in retractions.chunks(READ_EVENTS_MAX) {
            for (event, &revision) in self.log.get_many(some)?.into_iter().zip(some) {
                let event = event.ok_or(MissingEvent { revision })?;
                // The others are reposts that were taken back.
                if let Change::Delete { post, .. } = event.change {
                    let is_old = revision <= self.opened_at;
                    let left = if is_old { self.left_by_clock(event.time) } else { self.interval };
                    deleted.push((post.id.revision(), self.looked_at + left));
                }
            }
        }
        for (post, due) in deleted {
            self.deleted.push(post);
            self.due = Some(self.due.map_or(due, |sooner| sooner.min(due)));
        }
        (self.looked_at, self.looked_until) = (at, until);
        Ok(())
    }

    /// How long what was deleted at `time` may still be there, by the time of day. None if that has
    /// not come yet: then the clock was wrong at some time, and says nothing of how long ago it was.
    fn left_by_clock(&self, time: Timestamp) -> Duration {
        let now = self.clock.since_epoch().and_then(Timestamp::since_epoch);
        let age = now.and_then(|now| now.after(time));
        age.map_or(Duration::ZERO, |age| self.interval.saturating_sub(age))
    }

    /// Whether the first of what was deleted has been there for as long as it may.
    fn is_due(&self) -> bool {
        self.due.is_some_and(|due| self.clock.elapsed() >= due)
    }

    fn erase(&mut self) -> Result<(), storage::Error> {
        let began = Instant::now();
        self.deleted.sort_unstable();
        let posts = std::mem::take(&mut self.deleted);
        let erasure = Erasure { posts, until: self.looked_until };
        let go_on = || self.stopped.try_recv() != Err(TryRecvError::Disconnected);
        let outcome = self.log.erase(&erasure, &go_on)?;
        let posts = erasure.posts.len();
        match outcome {
            EraseOutcome::Done => {
                let seconds = began.elapsed().as_secs_f64();
                tracing::info!(posts, seconds, "what deleted posts said is erased");
                self.due = None;
                self.postponed.over();
                return Ok(());
            }
            EraseOutcome::Abandoned => {}
            EraseOutcome::Postponed(error) => {
                if let Some(times) = self.postponed.met(1) {
                    tracing::warn!(
                        %error, posts, times, "what deleted posts said is still on the disk"
                    );
                }
            }
        }
        self.deleted = erasure.posts;
        Ok(())
    }
}
