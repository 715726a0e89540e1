//! The applier: one thread that applies every durable event to the state, in the order of the log,
//! and sends the events to the live feeds.
//!
//! Only the applier changes the state. It never waits for a reader or a worker. It reads the index
//! for records that it changes, and the log for the originals of reposts, if they are not in
//! memory.

use std::sync::Arc;
use std::time::Instant;

use super::completions::Completions;
use super::mailbox::Mailboxes;
use super::metrics::EngineMetrics;
use crate::config::Limits;
use crate::live::DeliveryBatch;
use crate::query::Reader;
use crate::storage::{self, Batch, Log, Tail};

/// Reads the end of the log, and applies it.
#[derive(Debug)]
pub(super) struct Applier {
    tail: Tail,
    reader: Reader,
    completions: Arc<Completions>,
    mailboxes: Arc<Mailboxes>,
    metrics: EngineMetrics,
}

impl Applier {
    pub(super) fn new(
        log: &Arc<dyn Log>,
        reader: Reader,
        completions: Arc<Completions>,
        mailboxes: Arc<Mailboxes>,
        limits: &Limits,
    ) -> Self {
        let applied = reader.state().applied();
        let tail = Tail::new(Arc::clone(log), applied, limits.unapplied_batches_max);
        Self { tail, reader, completions, mailboxes, metrics: EngineMetrics::default() }
    }

    /// Counts in `metrics`.
    pub(super) fn counted_in(self, metrics: EngineMetrics) -> Self {
        Self { metrics, ..self }
    }

    /// Applies all events that are in the log already.
    pub(super) fn catch_up(&mut self) -> Result<(), storage::Error> {
        while self.tail.is_catching_up()
            && let Some(batch) = self.tail.next_batch()?
        {
            self.apply(&batch)?;
        }
        Ok(())
    }

    /// Applies new events until the log is closed. Ends earlier if the engine stops while the index
    /// is lost and an event needs it: the next start applies the remaining events.
    pub(super) fn run(mut self) -> Result<(), storage::Error> {
        while let Some(batch) = self.tail.next_batch()? {
            match self.apply(&batch) {
                Err(error @ storage::Error::IndexLost { .. }) => {
                    tracing::warn!(%error, "stopped before the last changes were acknowledged");
                    return Ok(());
                }
                applied => applied?,
            }
        }
        Ok(())
    }

    fn apply(&self, batch: &Arc<Batch>) -> Result<(), storage::Error> {
        let state = self.reader.state();
        let apply = |(revision, event)| state.apply(revision, event);
        let applied = batch.entries().map(apply).collect::<Result<Vec<_>, _>>()?;
        state.announce();
        let begun_at = self.metrics.applied(state.applied());
        // Checked after the batch is applied: a stream that is opened later finds it in the state.
        if self.mailboxes.is_watched() {
            match DeliveryBatch::new(&self.reader, batch, applied) {
                Ok(deliveries) => {
                    let begun_at = begun_at.unwrap_or_else(Instant::now);
                    self.mailboxes.deliver(&Arc::new(deliveries.begun_at(begun_at)));
                }
                Err(error) => {
                    // Only streams that read the damaged part of the log fail.
                    tracing::error!(%error, "live feeds read the last changes in the log");
                    self.mailboxes.lose();
                }
            }
        }
        self.completions.release();
        Ok(())
    }
}
