//! Following a log from any place: what is there first, then what comes.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::{Batch, Log};
use crate::model::Revision;
use crate::storage::error::Error;

/// Events read from the log at once while catching up: enough to amortise a read transaction,
/// small enough to stay in a processor's cache.
const READ_EVENTS_MAX: usize = 1_024;

/// The events after a place, batch by batch and without end.
///
/// A restart and a live log look the same to who holds one: the replay just comes first.
#[derive(Debug)]
pub struct Tail {
    log: Arc<dyn Log>,
    /// Everything up to here was handed out.
    at: Revision,
    /// Up to here the log is read; after it, batches come from `live`.
    read_until: Revision,
    live: Receiver<Arc<Batch>>,
}

impl Tail {
    /// Follows `log` after `after`. `batches_max` bounds how far an append may run ahead.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, after: Revision, batches_max: usize) -> Self {
        let (read_until, live) = log.follow(batches_max);
        Self { log, at: after, read_until, live }
    }

    /// Whether the next batch comes from what was there when the tail was made.
    #[must_use]
    pub fn is_catching_up(&self) -> bool {
        self.at < self.read_until
    }

    /// The next batch; waits for it. `None` after the log was closed.
    ///
    /// # Errors
    /// The log is damaged or cannot be read.
    pub fn next_batch(&mut self) -> Result<Option<Arc<Batch>>, Error> {
        if !self.is_catching_up() {
            return Ok(self.live.recv().ok());
        }
        let left = usize::try_from(self.read_until.get() - self.at.get()).unwrap_or(usize::MAX);
        let entries = self.log.read(self.at, left.min(READ_EVENTS_MAX))?;
        // Else the replay would end here, and be taken for whole.
        assert!(!entries.is_empty(), "a log gives all up to its head");
        let first = self.at.next();
        self.at = entries.last().map_or(self.at, |last| last.revision);
        let events = entries.into_iter().map(|entry| entry.event).collect();
        Ok(Some(Arc::new(Batch { first, events })))
    }
}
