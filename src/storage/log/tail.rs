//! Following a log from any revision: first the stored events, then each new batch. Never skips or
//! repeats an event.
//!
//! ```text
//!   catching up: batches from reads ── read_until reached ──▶ live: batches from the channel
//! ```

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::{Batch, Log};
use crate::model::Revision;
use crate::storage::error::Error;

/// Most events of one read while catching up: enough to amortise a read transaction, few enough for
/// a processor's cache.
const READ_EVENTS_MAX: usize = 1_024;

/// The events after a revision, in batches and without end.
///
/// A replay at a start and new events later look the same to its owner.
#[derive(Debug)]
pub struct Tail {
    log: Arc<dyn Log>,
    /// The last revision that [`Tail::next_batch`] gave.
    at: Revision,
    /// Events up to here are read from the log; later batches come from `live`.
    read_until: Revision,
    live: Receiver<Arc<Batch>>,
}

impl Tail {
    /// Follows `log` after the revision `after`. Appends wait while `batches_max` batches are not
    /// taken.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, after: Revision, batches_max: usize) -> Self {
        let (read_until, live) = log.follow(batches_max);
        Self { log, at: after, read_until, live }
    }

    /// Whether the next batch has events that were in the log before the tail was made.
    #[must_use]
    pub fn is_catching_up(&self) -> bool {
        self.at < self.read_until
    }

    /// Waits for the next batch. `None` after the log was closed.
    ///
    /// # Errors
    /// The log is damaged or cannot be read.
    pub fn next_batch(&mut self) -> Result<Option<Arc<Batch>>, Error> {
        if !self.is_catching_up() {
            let batch = self.live.recv().ok();
            if let Some(batch) = &batch {
                debug_assert_eq!(batch.first, self.at.next(), "no event is skipped or repeated");
                self.at = Revision::new(self.at.get() + batch.events.len() as u64);
            }
            return Ok(batch);
        }
        let left = usize::try_from(self.read_until.get() - self.at.get()).unwrap_or(usize::MAX);
        let entries = self.log.read(self.at, left.min(READ_EVENTS_MAX))?;
        // Otherwise the replay would end here and count as complete.
        assert!(!entries.is_empty(), "a log has every event up to its head");
        let first = self.at.next();
        debug_assert_eq!(entries[0].revision, first, "no event is skipped or repeated");
        self.at = entries.last().map_or(self.at, |last| last.revision);
        let events = entries.into_iter().map(|entry| entry.event).collect();
        Ok(Some(Arc::new(Batch { first, events })))
    }
}
