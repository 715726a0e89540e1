//! The applier: one thread that takes every durable event, in order, into the state and to the live
//! feeds.
//!
//! It is the only one that changes the state. It never waits for a reader or a worker. It reads the
//! index for the records that it changes there, and the log for reposted originals, if those are not in
//! memory.

use std::sync::Arc;

use super::completions::Completions;
use super::mailbox::Mailboxes;
use crate::config::Limits;
use crate::live::DeliveryBatch;
use crate::query::Reader;
use crate::storage::{self, Batch, Log, Tail};

/// Follows the log.
#[derive(Debug)]
pub(super) struct Applier {
    tail: Tail,
    reader: Reader,
    completions: Arc<Completions>,
    mailboxes: Arc<Mailboxes>,
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
        Self { tail, reader, completions, mailboxes }
    }

    /// Applies what is in the log already.
    pub(super) fn catch_up(&mut self) -> Result<(), storage::Error> {
        while self.tail.is_catching_up()
            && let Some(batch) = self.tail.next_batch()?
        {
            self.apply(&batch)?;
        }
        Ok(())
    }

    /// Applies what comes, until the log is closed; or until the engine is to stop, if that needs an
    /// index that is lost. What is durable then is applied after the next start.
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
        // Checked after the whole batch is applied: a stream that is opened later finds it there.
        if self.mailboxes.is_watched() {
            match DeliveryBatch::new(&self.reader, batch, applied) {
                Ok(deliveries) => self.mailboxes.deliver(&Arc::new(deliveries)),
                Err(error) => {
                    // What cannot be read fails for those who read it, and for nobody else.
                    tracing::error!(%error, "live feeds read the last changes in the log");
                    self.mailboxes.lose();
                }
            }
        }
        self.completions.release();
        Ok(())
    }
}
