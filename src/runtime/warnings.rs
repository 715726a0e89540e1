//! Warnings that others can cause, such as clients: written at most so often, with their number.
//! Never waits for more of them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Least time between two lines of a kind: an attack should not fill the disk with log lines.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// A kind of warning. The first is logged at once; those that follow within `WARNING_INTERVAL`
/// are counted, and logged as their number and the last of them.
#[derive(Debug, Default)]
pub struct WarningThrottle(Mutex<Unlogged>);

#[derive(Debug, Default)]
struct Unlogged {
    last: String,
    count: u64,
    logged_at: Option<Instant>,
}

impl WarningThrottle {
    /// Logs `warning`, or counts it until there may be a line.
    pub fn add(&self, warning: impl Into<String>) {
        let mut unlogged = self.unlogged();
        unlogged.last = warning.into();
        unlogged.count += 1;
        unlogged.log_due();
    }

    /// Logs what was counted, if there may be a line now. To be called now and then.
    pub fn log_due(&self) {
        self.unlogged().log_due();
    }

    /// When counted warnings may be logged; `None` if there are none.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let unlogged = self.unlogged();
        unlogged.logged_at.filter(|_| unlogged.count > 0).map(|at| at + WARNING_INTERVAL)
    }

    fn unlogged(&self) -> MutexGuard<'_, Unlogged> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unlogged {
    fn log_due(&mut self) {
        let is_due = self.logged_at.is_none_or(|at| at.elapsed() >= WARNING_INTERVAL);
        if self.count > 0 && is_due {
            tracing::warn!(times = self.count, "{}", self.last);
            self.count = 0;
            self.logged_at = Some(Instant::now());
        }
    }
}
