//! The watermark: the revision that the state has applied, and the wait for one. It never goes
//! back.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::apply_right::ApplyRight;
use crate::model::{LogTime, Revision};

/// The revision that was applied last. A reader that sees it sees all changes up to it.
#[derive(Debug, Default)]
pub(crate) struct Watermark {
    applied: AtomicU64,
    /// The log's own time of that event; zero if none was applied by this process.
    log_nanos: AtomicU64,
    advanced: Notify,
}

impl Watermark {
    /// To be called after all changes up to `revision` are in the state.
    pub(crate) fn advance(&self, revision: Revision, at: LogTime, _: &ApplyRight) {
        debug_assert!(self.get() <= revision, "the watermark goes back to {revision}");
        self.log_nanos.store(at.as_nanos(), Ordering::SeqCst);
        self.applied.store(revision.get(), Ordering::SeqCst);
    }

    /// The log's own time of the event that was applied last, by this process.
    pub(crate) fn log_time(&self) -> LogTime {
        LogTime::from_nanos(self.log_nanos.load(Ordering::SeqCst))
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
