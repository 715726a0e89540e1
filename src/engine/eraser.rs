//! The eraser: one thread that has what deleted posts said erased from the log, many posts at once.
//!
//! Nothing is remembered of what is left to do: the log says up to where posts were erased, and the
//! view which were deleted since, also after a restart.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use super::indexer::lower_priority;
use super::lasting::Lasting;
use crate::config::Limits;
use crate::log::{self, Erasing, Erasure, Log};
use crate::model::{Change, Revision, Timestamp};
use crate::runtime::Clock;
use crate::view::View;

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
pub(super) struct Eraser {
    log: Arc<dyn Log>,
    view: Arc<View>,
    clock: Clock,
    interval: Duration,
    /// Ends when the engine is to stop.
    stopped: Receiver<()>,
    /// Posts that were deleted, and not erased since.
    deleted: Vec<Revision>,
    /// When the first of them was deleted.
    oldest: Option<Timestamp>,
    /// All that was deleted up to here is among them, or erased.
    looked_until: Revision,
    postponed: Lasting,
}

impl Eraser {
    pub(super) fn new(
        log: Arc<dyn Log>,
        view: Arc<View>,
        clock: Clock,
        stopped: Receiver<()>,
        limits: &Limits,
    ) -> Self {
        Self {
            looked_until: log.erased_until(),
            log,
            view,
            clock,
            interval: limits.compaction_interval,
            stopped,
            deleted: Vec::new(),
            oldest: None,
            postponed: Lasting::default(),
        }
    }

    /// Works until the engine is to stop; what is under way then is given up.
    pub(super) fn run(mut self) -> Result<(), log::Error> {
        lower_priority();
        let look_interval = (self.interval / LOOKS_PER_INTERVAL).max(LOOK_INTERVAL_MIN);
        let mut pause = look_interval.min(FIRST_LOOK_AFTER_MAX);
        while self.stopped.recv_timeout(pause) != Err(RecvTimeoutError::Disconnected) {
            pause = look_interval;
            self.look()?;
            if self.is_due() {
                self.erase()?;
            }
        }
        Ok(())
    }

    /// Takes in what was deleted since the last look.
    fn look(&mut self) -> Result<(), log::Error> {
        let until = self.view.applied();
        let retractions = self.view.retractions(self.looked_until, until);
        for some in retractions.chunks(READ_EVENTS_MAX) {
            for event in self.log.get_many(some)?.into_iter().flatten() {
                // The others are reposts that were taken back.
                if let Change::Delete { post, .. } = event.change {
                    self.deleted.push(post.id.revision());
                    self.oldest.get_or_insert(event.time);
                }
            }
        }
        self.looked_until = until;
        Ok(())
    }

    /// Whether the first of what was deleted has been there for as long as it may.
    fn is_due(&self) -> bool {
        let now = Timestamp::since_epoch(self.clock.since_epoch());
        self.oldest.is_some_and(|oldest| oldest.is_older_than(self.interval, now))
    }

    fn erase(&mut self) -> Result<(), log::Error> {
        let began = Instant::now();
        self.deleted.sort_unstable();
        let posts = std::mem::take(&mut self.deleted);
        let erasure = Erasure { posts, until: self.looked_until };
        let go_on = || self.stopped.try_recv() != Err(TryRecvError::Disconnected);
        let outcome = self.log.erase(&erasure, &go_on)?;
        let posts = erasure.posts.len();
        match outcome {
            Erasing::Done => {
                let seconds = began.elapsed().as_secs_f64();
                tracing::info!(posts, seconds, "what deleted posts said is erased");
                self.oldest = None;
                self.postponed.over();
                return Ok(());
            }
            Erasing::Abandoned => {}
            Erasing::Postponed(error) => {
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
