//! The time of day, in one place so that tests can hold it.
//!
//! Only for stamps that people read and for ages in hours; what must be measured is measured with
//! `tokio::time`, which a changed clock does not move.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::model::Timestamp;

/// A clock. Cloning it is cheap, and clones tell the same time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Held(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until it is moved.
    #[must_use]
    pub fn held_at(time: Timestamp) -> Self {
        Self(Source::Held(Arc::new(AtomicU64::new(time.as_nanos()))))
    }

    /// The time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => {
                let since_epoch =
                    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                Timestamp::from_nanos(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
            }
            Source::Held(nanos) => Timestamp::from_nanos(nanos.load(Ordering::SeqCst)),
        }
    }

    /// Moves a held clock. The machine's clock is left alone.
    pub fn set(&self, time: Timestamp) {
        if let Source::Held(nanos) = &self.0 {
            nanos.store(time.as_nanos(), Ordering::SeqCst);
        }
    }
}
