//! The watermark: the revision that the state has applied, and the wait for one. It never goes
//! back.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::apply_right::ApplyRight;
use crate::model::Revision;

/// The revision that was applied last. A reader that sees it sees all changes up to it.
#[derive(Debug, Default)]
pub(crate) struct Watermark {
    applied: AtomicU64,
    advanced: Notify,
}

impl Watermark {
    /// To be called after all changes up to `revision` are in the state.
    pub(crate) fn advance(&self, revision: Revision, _: &ApplyRight) {
        debug_assert!(self.get() <= revision, "the watermark goes back to {revision}");
        self.applied.store(revision.get(), Ordering::SeqCst);
    }

    pub(crate) fn announce(&self) {
        self.advanced.notify_waiters();
    }

    pub(crate) fn get(&self) -> Revision {
        Revision::new(self.applied.load(Ordering::SeqCst))
    }

    pub(crate) async fn reached(&self, revision: Revision) {
        loop {
            // Registered before the check, so an advance between the two wakes this caller.
            let advanced = self.advanced.notified();
            if self.get() >= revision {
                return;
            }
            advanced.await;
        }
    }
}
