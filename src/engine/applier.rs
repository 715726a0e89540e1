//! The applier: one thread that takes every durable event, in order, into the view and the hub.
//!
//! It is the only one that changes the view. It never waits for a reader or a worker; it reads the
//! index for what it changes there, and the log for what is reposted, if those are not in memory.

use std::sync::Arc;

use super::completions::Completions;
use crate::config::Limits;
use crate::live::DeliveryBatch;
use crate::state::ReadError;
use crate::state::State;
use crate::storage::{self, Batch, Log, Tail};

/// Follows the log.
#[derive(Debug)]
pub(super) struct Applier {
    tail: Tail,
    view: Arc<State>,
    replies: Arc<Completions>,
}

impl Applier {
    pub(super) fn new(
        log: &Arc<dyn Log>,
        view: Arc<State>,
        replies: Arc<Completions>,
        limits: &Limits,
    ) -> Self {
        let tail = Tail::new(Arc::clone(log), view.applied(), limits.unapplied_batches_max);
        Self { tail, view, replies }
    }

    /// Applies what is in the log already.
    pub(super) fn catch_up(&mut self) -> Result<(), ReadError> {
        while self.tail.is_catching_up()
            && let Some(batch) = self.tail.next_batch()?
        {
            self.apply(&batch)?;
        }
        Ok(())
    }

    /// Applies what comes, until the log is closed; or until the engine is to stop, if that needs an
    /// index that is lost. What is durable then is applied after the next start.
    pub(super) fn run(mut self) -> Result<(), ReadError> {
        while let Some(batch) = self.tail.next_batch()? {
            match self.apply(&batch) {
                Err(ReadError::Log(error @ storage::Error::IndexLost { .. })) => {
                    tracing::warn!(%error, "stopped before the last changes were answered");
                    return Ok(());
                }
                applied => applied?,
            }
        }
        Ok(())
    }

    fn apply(&self, batch: &Arc<Batch>) -> Result<(), ReadError> {
        let apply = |(revision, event)| self.view.apply(revision, event);
        let applied = batch.entries().map(apply).collect::<Result<Vec<_>, _>>()?;
        self.view.announce();
        // Asked after the whole batch is applied: whoever begins to watch later finds it there.
        if self.replies.is_watched() {
            let dispatch = DeliveryBatch::new(&self.view, batch, applied);
            if let Err(error) = &dispatch {
                // What cannot be read fails for those who read it, and for nobody else.
                tracing::error!(%error, "live feeds read the last changes in the log");
            }
            self.replies.dispatch(dispatch.ok());
        }
        self.replies.release();
        Ok(())
    }
}
