//! The time of day, in one place so that tests can hold it.
//!
//! Only for stamps that people read and for ages in hours; what must be measured is measured with
//! `tokio::time`, which a changed clock does not move.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A clock. Cloning it is cheap, and clones tell the same time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Held(Arc<Mutex<Duration>>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `since_epoch` until it is moved.
    #[must_use]
    pub fn held_at(since_epoch: Duration) -> Self {
        Self(Source::Held(Arc::new(Mutex::new(since_epoch))))
    }

    /// The time since 1970-01-01T00:00:00Z, without leap seconds.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    pub fn since_epoch(&self) -> Duration {
        match &self.0 {
            Source::System => {
                SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
            }
            Source::Held(time) => *time.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Moves a held clock. The machine's clock is left alone.
    pub fn set(&self, since_epoch: Duration) {
        if let Source::Held(time) = &self.0 {
            *time.lock().unwrap_or_else(PoisonError::into_inner) = since_epoch;
        }
    }
}
