//! The applier: one thread that takes every durable event, in order, into the view and the hub.
//!
//! It is the only one that changes the view, and the only sender of the live feeds' channels. It
//! never waits for a reader.

use std::sync::Arc;

use super::replies::Replies;
use crate::config::Limits;
use crate::hub::Hub;
use crate::log::{self, Batch, Log, Tail};
use crate::view::View;

/// Follows the log.
#[derive(Debug)]
pub(super) struct Applier {
    tail: Tail,
    view: Arc<View>,
    hub: Hub,
    replies: Arc<Replies>,
}

impl Applier {
    pub(super) fn new(
        log: &Arc<dyn Log>,
        view: Arc<View>,
        hub: Hub,
        replies: Arc<Replies>,
        limits: &Limits,
    ) -> Self {
        let tail = Tail::new(Arc::clone(log), view.applied(), limits.unapplied_batches_max);
        Self { tail, view, hub, replies }
    }

    /// Applies what is in the log already.
    pub(super) fn catch_up(&mut self) -> Result<(), log::Error> {
        while self.tail.is_catching_up()
            && let Some(batch) = self.tail.next_batch()?
        {
            self.apply(&batch);
        }
        Ok(())
    }

    /// Applies what comes, until the log is closed.
    pub(super) fn run(mut self) -> Result<(), log::Error> {
        while let Some(batch) = self.tail.next_batch()? {
            self.apply(&batch);
        }
        Ok(())
    }

    fn apply(&self, batch: &Batch) {
        for (revision, event) in batch.entries() {
            let post = self.view.apply(revision, event);
            self.hub.dispatch(revision, event, post);
        }
        self.view.announce();
        self.replies.release();
    }
}
