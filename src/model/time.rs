//! Times: of the server's clock, for people; and of the log's own time, for ages. Neither reads a
//! clock.

use std::time::Duration;

/// A time of the server's clock: nanoseconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// Only for people: the clock may be wrong and be corrected, so the timestamps in a log may fall.
/// They never decide an order or an age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The time so many nanoseconds after the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The time so long after the epoch; `None` after July 2554, when 64 bits overflow.
    #[must_use]
    pub fn since_epoch(since_epoch: Duration) -> Option<Self> {
        u64::try_from(since_epoch.as_nanos()).ok().map(Self)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, and the rest in nanoseconds.
    #[must_use]
    pub const fn as_secs_and_nanos(self) -> (u64, u32) {
        (self.0 / 1_000_000_000, (self.0 % 1_000_000_000) as u32)
    }

    /// The time since `earlier` by the clock; `None` if `earlier` is later.
    #[must_use]
    pub fn after(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_nanos)
    }
}

/// A time of the log's own time, in nanoseconds from an arbitrary start. It is monotonic, and runs
/// only while a process serves the log. So the real time between two log times is never less than
/// their difference, whatever the server's clock showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogTime(u64);

impl LogTime {
    /// The time with this number of nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the start of the log's own time.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time `passed` later; at most the greatest one, some centuries after the start, from
    /// which on nothing gets older.
    #[must_use]
    pub fn later(self, passed: Duration) -> Self {
        let passed = u64::try_from(passed.as_nanos());
        Self(passed.ok().and_then(|passed| self.0.checked_add(passed)).unwrap_or(u64::MAX))
    }

    /// Whether `self` is at least `age` before `now`.
    #[must_use]
    pub fn is_older_than(self, age: Duration, now: Self) -> bool {
        u128::from(now.0.saturating_sub(self.0)) >= age.as_nanos()
    }
}
