//! How far the state has come.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::apply_right::ApplyRight;
use crate::model::Revision;

/// The revision applied last. Readers that see it see everything up to it.
#[derive(Debug, Default)]
pub(crate) struct Watermark {
    applied: AtomicU64,
    advanced: Notify,
}

impl Watermark {
    pub(crate) fn advance(&self, revision: Revision, _: &ApplyRight) {
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
            // Listening begins before the look, so an advance between the two is heard.
            let advanced = self.advanced.notified();
            if self.get() >= revision {
                return;
            }
            advanced.await;
        }
    }
}
