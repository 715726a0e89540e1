//! The indexer: one thread that brings the index up to the view, in large writes behind the log.
//!
//! It reads the log by itself, so it holds up neither the committer nor the applier, however long
//! a write takes, and has nothing in its hands but the rows of one write.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::config::Limits;
use crate::log::{self, Entry, Index, Log};
use crate::view::View;

/// How often it looks whether enough has come for a write.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Events read from the log at once.
const READ_EVENTS_MAX: usize = 1_024;
/// How long a stop waits for what the index lacks: seldom more than one write, but after a start
/// without an index it may be the whole log.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

/// Writes the index of a view.
#[derive(Debug)]
pub(super) struct Indexer {
    log: Arc<dyn Log>,
    view: Arc<View>,
    index: Arc<Index>,
    events_max: usize,
    interval: Duration,
    /// Ends when the engine has stopped.
    stopped: Receiver<()>,
    disk_was_full: bool,
}

impl Indexer {
    pub(super) fn new(
        log: Arc<dyn Log>,
        view: Arc<View>,
        index: Arc<Index>,
        stopped: Receiver<()>,
        limits: &Limits,
    ) -> Self {
        Self {
            log,
            view,
            index,
            events_max: limits.index_events_max.max(1),
            interval: limits.index_interval,
            stopped,
            disk_was_full: false,
        }
    }

    /// Works until the engine has stopped, and then until nothing is left, so that a start after a
    /// stop in order has nothing to replay.
    pub(super) fn run(mut self) -> Result<(), log::Error> {
        lower_priority();
        let mut written = Instant::now();
        let look_interval = LOOK_INTERVAL.min(self.interval);
        while self.stopped.recv_timeout(look_interval) != Err(RecvTimeoutError::Disconnected) {
            let enough = self.behind() >= self.events_max as u64;
            if enough || written.elapsed() >= self.interval {
                self.write()?;
                written = Instant::now();
            }
        }
        let stopping = Instant::now();
        while self.behind() > 0 && !self.disk_was_full && stopping.elapsed() < STOP_TIME_MAX {
            self.write()?;
        }
        Ok(())
    }

    /// How many applied events the index lacks.
    fn behind(&self) -> u64 {
        self.view.applied().get().saturating_sub(self.index.complete_until().get())
    }

    /// Writes the next events, as many as one write takes.
    fn write(&mut self) -> Result<(), log::Error> {
        let mut writing = self.view.write_to(&self.index)?;
        let mut last: Option<Entry> = None;
        let mut left = self.events_max.min(usize::try_from(self.behind()).unwrap_or(usize::MAX));
        while left > 0 {
            let after =
                last.as_ref().map_or_else(|| self.index.complete_until(), |last| last.revision);
            let entries = self.log.read(after, left.min(READ_EVENTS_MAX))?;
            for entry in &entries {
                writing.apply(entry.revision, &entry.event)?;
            }
            left = left.saturating_sub(entries.len().max(1));
            last = entries.into_iter().next_back().or(last);
        }
        let Some(last) = last else { return Ok(()) };
        let mut rows = writing.into_rows();
        match self.index.write(&mut rows, &last) {
            Ok(()) => self.disk_was_full = false,
            // The log comes first. Until there is room again, more stays in memory.
            Err(error @ log::Error::DiskFull { .. }) => {
                if !self.disk_was_full {
                    tracing::warn!(%error, "index not written");
                }
                self.disk_was_full = true;
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.view.indexed(&rows, last.revision);
        Ok(())
    }
}

/// Lets the threads that callers wait for go first.
pub(super) fn lower_priority() {
    // On Linux this is the thread's own. Without it all works as well, but for some latency.
    let _ = rustix::process::nice(10);
}
