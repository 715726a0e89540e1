//! Moments of the log's own time.

use std::time::Duration;

/// A moment: nanoseconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// In the log these never fall: a clock that is set back stands still there until it has caught up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment this many nanoseconds after the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The moment this long after the epoch.
    #[must_use]
    pub fn since_epoch(since_epoch: Duration) -> Self {
        Self(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, and the nanoseconds beyond them.
    #[must_use]
    pub const fn as_secs_and_nanos(self) -> (u64, u32) {
        (self.0 / 1_000_000_000, (self.0 % 1_000_000_000) as u32)
    }

    /// Whether `self` is at least `age` before `now`.
    #[must_use]
    pub fn is_older_than(self, age: Duration, now: Self) -> bool {
        u128::from(now.0.saturating_sub(self.0)) >= age.as_nanos()
    }
}
