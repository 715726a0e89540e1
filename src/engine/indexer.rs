//! The indexer: one thread that writes applied events into the index, in large writes some time
//! after they are applied.
//!
//! It reads the events from the log again, so it never delays the committer or the applier, however
//! long a write takes, and holds only the rows of one write in memory.
//!
//! It also repairs the index after a failure of the disk, or after a read that found damage: it
//! opens the file again, or rebuilds it from the log; in memory, if no file can be written. A
//! problem of the index never ends the server.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use super::metrics::EngineMetrics;
use super::progress::Progress;
use super::recurring::RecurringWarning;
use crate::config::Limits;
use crate::model::Revision;
use crate::runtime::{Clock, lower_priority};
use crate::state::State;
use crate::storage::{self, Index, IndexRows, Log};

/// The time between two checks whether a write or a repair is due.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// The delay after a failure. It doubles with each further failure.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// The longest delay: an operator may have repaired the disk meanwhile.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(30);
/// Events that are read from the log at once.
const READ_EVENTS_MAX: usize = 1_024;
/// Memory for the rows of a write, for each event that the index lacks: a third of what the state needs
/// for such an event. The other rows are on the disk until they are written: if the index lacks many
/// events, one write takes all of them, because events of random users change pages all over the file.
const LATE_BYTES_OF_EVENT: usize = 16;
/// The most events that count for that: 512 MiB for the rows of a write.
const LATE_EVENTS_MAX: usize = (512 << 20) / LATE_BYTES_OF_EVENT;
/// The index is far behind if it lacks the events of this many usual writes: only then are rows on the
/// disk worth their writes and reads. Else a write ends when its memory is used up, and another follows.
const FAR_BEHIND_WRITES: u64 = 4;
/// The longest time for the last writes during a stop. Usually one write is left, but after a start
/// without an index it may be the whole log.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

/// Writes the index of a state.
#[derive(Debug)]
pub(super) struct Indexer {
    log: Arc<dyn Log>,
    state: Arc<State>,
    index: Arc<Index>,
    clock: Clock,
    events_max: usize,
    interval: Duration,
    /// The end of the log when it was opened. The state reaches it before it is served.
    replay_until: Revision,
    /// Disconnected when the engine has stopped.
    stopped: Receiver<()>,
    trouble: RecurringWarning,
    retry_delay: Duration,
    /// Whether the index was opened again since the last write.
    reopened: bool,
    /// An unfinished rebuild of the index.
    replacement: Option<Index>,
    /// Whether a rebuild on the disk failed while the index was lost.
    disk_failed: bool,
    progress: Progress,
    metrics: EngineMetrics,
}

impl Indexer {
    /// An indexer of `index`. From now on the index has a repairer.
    pub(super) fn new(
        log: Arc<dyn Log>,
        state: Arc<State>,
        index: Arc<Index>,
        clock: Clock,
        stopped: Receiver<()>,
        limits: &Limits,
    ) -> Self {
        index.set_has_repairer(true);
        Self {
            replay_until: log.head(),
            log,
            state,
            index,
            clock,
            events_max: limits.index_events_max.max(1),
            interval: limits.index_write_delay_max,
            stopped,
            trouble: RecurringWarning::default(),
            retry_delay: RETRY_DELAY,
            reopened: false,
            replacement: None,
            disk_failed: false,
            progress: Progress::default(),
            metrics: EngineMetrics::default(),
        }
    }

    /// Counts in `metrics`.
    pub(super) fn counted_in(mut self, metrics: EngineMetrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// Runs until the engine has stopped and the index has all events, so that the next start has
    /// nothing to replay.
    pub(super) fn run(mut self) -> Result<(), storage::Error> {
        lower_priority();
        let mut written = Instant::now();
        let check_interval = CHECK_INTERVAL.min(self.interval);
        let mut pause = check_interval;
        while self.stopped.recv_timeout(pause) != Err(RecvTimeoutError::Disconnected) {
            pause = check_interval;
            let is_enough = self.behind() >= self.events_max as u64;
            if is_enough || written.elapsed() >= self.interval || self.index.needs_repair() {
                // After a failed rebuild on the disk, the one in memory starts without a delay.
                if !self.repair_and_write() && !self.disk_failed {
                    pause = self.retry_delay;
                }
                written = Instant::now();
            }
        }
        let stopping = Instant::now();
        while self.behind() > 0 && stopping.elapsed() < STOP_TIME_MAX && self.repair_and_write() {}
        Ok(())
    }

    /// The number of applied events that the index lacks.
    fn behind(&self) -> u64 {
        self.state.applied().get().saturating_sub(self.index.complete_until().get())
    }

    /// Repairs the index if needed, and writes the next events. Returns whether both succeeded.
    fn repair_and_write(&mut self) -> bool {
        let (began, before) = (Instant::now(), self.index.complete_until());
        let written = self.repair().and_then(|()| self.write());
        // Most checks find nothing to write.
        if written.is_err() || self.index.complete_until() > before {
            self.metrics.index_written(began.elapsed(), written.is_ok());
        }
        match written {
            Ok(()) => {
                if let Some(times) = self.trouble.ended() {
                    tracing::info!(times, "the index is written again");
                }
                self.retry_delay = RETRY_DELAY;
                true
            }
            Err(error) => {
                if let Some(times) = self.trouble.occurred(1) {
                    tracing::warn!(
                        %error, times, "index not written; the server goes on, and tries again"
                    );
                }
                self.retry_delay = (self.retry_delay * 2).min(RETRY_DELAY_MAX);
                false
            }
        }
    }

    /// Opens a lost or damaged index again, or replaces it.
    fn repair(&mut self) -> Result<(), storage::Error> {
        if !self.index.needs_repair() {
            return Ok(());
        }
        let began = Instant::now();
        if let Some(loss) = self.index.loss()
            && !loss.is_damage
            && !std::mem::replace(&mut self.reopened, true)
            && self.index.reopen(&*self.log)?
        {
            self.metrics.index_repaired();
            tracing::info!("the index is open again");
            return Ok(());
        }
        let until = self.index.complete_until();
        match self.rebuild(until) {
            Ok(None) => return Ok(()),
            Ok(Some(replacement)) => self.index.replace_with(replacement),
            Err(error) => {
                // The next try rebuilds it in memory, and does not wait for a repair of the disk.
                self.disk_failed = self.index.loss().is_some();
                return Err(error);
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        let in_memory = self.index.needs_repair();
        self.metrics.index_repaired();
        tracing::info!(%until, seconds, in_memory, "the index is rebuilt from the log, and in use");
        Ok(())
    }

    /// A new index with all events up to `until`; `None` if the engine has stopped meanwhile.
    fn rebuild(&mut self, until: Revision) -> Result<Option<Index>, storage::Error> {
        let log = Arc::clone(&self.log);
        let log = &*log;
        let replacement = match self.replacement.take() {
            Some(replacement) => replacement,
            None if std::mem::take(&mut self.disk_failed) => {
                self.index.new_replacement_in_memory(log)?
            }
            None => self.index.new_replacement(log)?,
        };
        while replacement.complete_until() < until {
            if self.is_stopping() {
                return Ok(None);
            }
            if let Err(error) = self.write_to(&replacement, until) {
                let waits = matches!(error, storage::Error::DiskFull { .. });
                self.replacement =
                    Some(replacement).filter(|_| waits && self.index.loss().is_none());
                return Err(error);
            }
        }
        Ok(Some(replacement))
    }

    /// Writes the next events, up to the limit of one write.
    fn write(&mut self) -> Result<(), storage::Error> {
        if self.index.needs_repair() {
            return Ok(());
        }
        let index = Arc::clone(&self.index);
        // A replay that is under way has more events soon, and one write of all is cheaper than two.
        let until = self.state.applied().max(self.replay_until);
        let written = self.write_to(&index, until)?;
        if let Some((rows, until)) = written {
            self.reopened = false;
            self.state.indexed(&rows, until)?;
        }
        if self.behind() < self.events_max as u64 {
            if self.progress.ended() {
                tracing::info!(written = %index.complete_until(), "the index has caught up");
            }
            self.index.install_new_file();
        }
        Ok(())
    }

    /// Writes the next events up to `until`, once they are applied, to `index`. Returns the rows, and
    /// the revision of the last event.
    fn write_to(
        &mut self,
        index: &Index,
        until: Revision,
    ) -> Result<Option<(IndexRows, Revision)>, storage::Error> {
        let state = Arc::clone(&self.state);
        let mut writing = state.write_to(index)?;
        let mut last = index.complete_until();
        let lacks = until.get().saturating_sub(last.get());
        let usual = Revision::new(last.get() + lacks.min(self.events_max as u64));
        let bytes_max = lacks.min(LATE_EVENTS_MAX as u64) as usize * LATE_BYTES_OF_EVENT;
        let is_far_behind = lacks >= FAR_BEHIND_WRITES * self.events_max as u64;
        while last < until && (last < usual || !self.is_stopping()) {
            let is_full = last >= usual && writing.bytes() >= bytes_max;
            if is_full && !(is_far_behind && writing.spill()?) {
                break;
            }
            let end = if last < usual { usual } else { until }.min(self.state.applied());
            let Some(read_max) = end.get().checked_sub(last.get()).filter(|left| *left > 0) else {
                match self.stopped.recv_timeout(CHECK_INTERVAL) {
                    Err(RecvTimeoutError::Disconnected) => break,
                    _ => continue,
                }
            };
            let entries = self.log.read(last, read_max.min(READ_EVENTS_MAX as u64) as usize)?;
            for entry in &entries {
                writing.apply(entry.revision, &entry.event)?;
                last = entry.revision;
            }
            if self.progress.advanced(self.clock.elapsed()) {
                let written = index.complete_until();
                tracing::info!(%written, read = %last, of = %until, "the index is being written");
            }
        }
        let chain = self.log.chain(last)?.filter(|_| last > index.complete_until());
        let Some(chain) = chain else { return Ok(None) };
        let rows = writing.into_rows();
        // More than the usual events may take minutes.
        let is_cancelled = || last > usual && self.is_stopping();
        let is_written = index.write_unless(&rows, last, chain, &is_cancelled)?;
        Ok(is_written.then_some((rows, last)))
    }

    fn is_stopping(&self) -> bool {
        self.stopped.try_recv() == Err(TryRecvError::Disconnected)
    }
}

impl Drop for Indexer {
    fn drop(&mut self) {
        self.index.set_has_repairer(false);
    }
}
