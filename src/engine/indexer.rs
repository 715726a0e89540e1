//! The indexer: one thread that brings the index up to the state, in large writes behind the log.
//!
//! It reads the log by itself, so it holds up neither the committer nor the applier, however long
//! a write takes, and has nothing in its hands but the rows of one write.
//!
//! It is also who mends the index when that is lost, as by a disk that fails it, or damage that a
//! read came upon: it opens the file once more, or rebuilds it from the log; in memory, if no file
//! can be written. Trouble with the index never ends the server.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use super::recurring::RecurringWarning;
use crate::config::Limits;
use crate::model::Revision;
use crate::state::State;
use crate::storage::{self, Index, IndexRows, Log, LogEntry};

/// How often it looks whether enough has come for a write, or something is to be mended.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// How long it waits after something failed; twice as long each time it fails again.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// The longest that it waits then: somebody may have seen to the disk.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(30);
/// Events read from the log at once.
const READ_EVENTS_MAX: usize = 1_024;
/// How long a stop waits for what the index lacks: seldom more than one write, but after a start
/// without an index it may be the whole log.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

/// Writes the index of a state.
#[derive(Debug)]
pub(super) struct Indexer {
    log: Arc<dyn Log>,
    state: Arc<State>,
    index: Arc<Index>,
    events_max: usize,
    interval: Duration,
    /// Ends when the engine has stopped.
    stopped: Receiver<()>,
    trouble: RecurringWarning,
    retry_delay: Duration,
    /// It was opened once more since it was written last.
    reopened: bool,
    /// What is to take its place, as far as it is made.
    fresh: Option<Index>,
    /// It could not be rebuilt on the disk while it was lost.
    disk_failed: bool,
}

impl Indexer {
    /// From now on the index is looked after.
    pub(super) fn new(
        log: Arc<dyn Log>,
        state: Arc<State>,
        index: Arc<Index>,
        stopped: Receiver<()>,
        limits: &Limits,
    ) -> Self {
        index.set_has_repairer(true);
        Self {
            log,
            state,
            index,
            events_max: limits.index_events_max.max(1),
            interval: limits.index_write_delay_max,
            stopped,
            trouble: RecurringWarning::default(),
            retry_delay: RETRY_DELAY,
            reopened: false,
            fresh: None,
            disk_failed: false,
        }
    }

    /// Works until the engine has stopped, and then until nothing is left, so that a start after a
    /// stop in order has nothing to replay.
    pub(super) fn run(mut self) -> Result<(), storage::Error> {
        lower_priority();
        let mut written = Instant::now();
        let look_interval = LOOK_INTERVAL.min(self.interval);
        let mut pause = look_interval;
        while self.stopped.recv_timeout(pause) != Err(RecvTimeoutError::Disconnected) {
            pause = look_interval;
            let is_enough = self.behind() >= self.events_max as u64;
            if is_enough || written.elapsed() >= self.interval || self.index.needs_repair() {
                // What is lost is rebuilt in memory at once if the disk is at fault.
                if !self.works() && !self.disk_failed {
                    pause = self.retry_delay;
                }
                written = Instant::now();
            }
        }
        let stopping = Instant::now();
        while self.behind() > 0 && stopping.elapsed() < STOP_TIME_MAX && self.works() {}
        Ok(())
    }

    /// How many applied events the index lacks.
    fn behind(&self) -> u64 {
        self.state.applied().get().saturating_sub(self.index.complete_until().get())
    }

    /// Mends what is to be mended, and writes the next events. Whether that went well.
    fn works(&mut self) -> bool {
        match self.mend().and_then(|()| self.write()) {
            Ok(()) => {
                if let Some(times) = self.trouble.over() {
                    tracing::info!(times, "the index is written again");
                }
                self.retry_delay = RETRY_DELAY;
                true
            }
            Err(error) => {
                if let Some(times) = self.trouble.met(1) {
                    tracing::warn!(%error, times, "index not written; the server goes on, and tries again");
                }
                self.retry_delay = (self.retry_delay * 2).min(RETRY_DELAY_MAX);
                false
            }
        }
    }

    /// Makes an index that is lost one that is in use.
    fn mend(&mut self) -> Result<(), storage::Error> {
        if !self.index.needs_repair() {
            return Ok(());
        }
        let began = Instant::now();
        if let Some(loss) = self.index.loss()
            && !loss.is_damage
            && !std::mem::replace(&mut self.reopened, true)
            && self.index.reopen(&*self.log)?
        {
            tracing::info!("the index is open again");
            return Ok(());
        }
        let until = self.index.complete_until();
        match self.rebuild(until) {
            Ok(None) => return Ok(()),
            Ok(Some(fresh)) => self.index.replace_with(fresh),
            Err(error) => {
                // It is not lost for as long as somebody takes to see to the disk.
                self.disk_failed = self.index.loss().is_some();
                return Err(error);
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        let in_memory = self.index.needs_repair();
        tracing::info!(%until, seconds, in_memory, "the index is rebuilt from the log, and in use");
        Ok(())
    }

    /// Another index with all up to `until`; `None` if the engine has stopped meanwhile.
    fn rebuild(&mut self, until: Revision) -> Result<Option<Index>, storage::Error> {
        let log = &*self.log;
        let fresh = match self.fresh.take() {
            Some(fresh) => fresh,
            None if std::mem::take(&mut self.disk_failed) => {
                self.index.new_replacement_in_memory(log)?
            }
            None => self.index.new_replacement(log)?,
        };
        while fresh.complete_until() < until {
            if self.stopped.try_recv() == Err(TryRecvError::Disconnected) {
                return Ok(None);
            }
            if let Err(error) = self.write_to(&fresh, until) {
                let waits = matches!(error, storage::Error::DiskFull { .. });
                self.fresh = Some(fresh).filter(|_| waits && self.index.loss().is_none());
                return Err(error);
            }
        }
        Ok(Some(fresh))
    }

    /// Writes the next events, as many as one write takes.
    fn write(&mut self) -> Result<(), storage::Error> {
        if self.index.needs_repair() {
            return Ok(());
        }
        let written = self.write_to(&self.index, self.state.applied())?;
        if let Some((rows, until)) = written {
            self.reopened = false;
            self.state.indexed(&rows, until);
        }
        if self.behind() < self.events_max as u64 {
            self.index.install_new_file();
        }
        Ok(())
    }

    /// Writes to `index` the events after those it has, none after `until`, which are applied. Gives
    /// what was written, and up to where.
    fn write_to(
        &self,
        index: &Index,
        until: Revision,
    ) -> Result<Option<(IndexRows, Revision)>, storage::Error> {
        let mut writing = self.state.write_to(index)?;
        let mut last: Option<LogEntry> = None;
        let lacks = until.get().saturating_sub(index.complete_until().get());
        let mut left = self.events_max.min(usize::try_from(lacks).unwrap_or(usize::MAX));
        while left > 0 {
            let after = last.as_ref().map_or_else(|| index.complete_until(), |last| last.revision);
            let entries = self.log.read(after, left.min(READ_EVENTS_MAX))?;
            for entry in &entries {
                writing.apply(entry.revision, &entry.event)?;
            }
            left = left.saturating_sub(entries.len().max(1));
            last = entries.into_iter().next_back().or(last);
        }
        let Some(last) = last else { return Ok(None) };
        let mut rows = writing.into_rows();
        index.write(&mut rows, &last)?;
        Ok(Some((rows, last.revision)))
    }
}

impl Drop for Indexer {
    fn drop(&mut self) {
        self.index.set_has_repairer(false);
    }
}

/// Lets the threads that callers wait for go first.
pub(super) fn lower_priority() {
    // On Linux this is the thread's own. Without it all works as well, but for some latency.
    let _ = rustix::process::nice(10);
}
