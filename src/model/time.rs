//! Moments: of the server's clock, which people read, and of the log's own time, which ages are
//! counted in.

use std::time::Duration;

/// What the server's clock said: nanoseconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// For people to read. A clock may be wrong, and be set right: in the log these rise and fall as it
/// did. Nothing is ordered by them, and no age is counted in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment this many nanoseconds after the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The moment this long after the epoch; `None` if it is later than can be written down, which
    /// is in July 2554.
    #[must_use]
    pub fn since_epoch(since_epoch: Duration) -> Option<Self> {
        u64::try_from(since_epoch.as_nanos()).ok().map(Self)
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

    /// How long it is after `earlier` by the clock; `None` if it is before.
    #[must_use]
    pub fn after(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_nanos)
    }
}

/// A moment of the log's own time, in nanoseconds. That begins anywhere, goes on only while a
/// process serves the log, at the pace of a clock that nobody sets, and never falls. So between two
/// moments at least as much time has passed as it says, whatever the server's clock showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogTime(u64);

impl LogTime {
    /// The moment with this number.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Its number.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment `passed` later; the last that there is if that would be beyond it, after some
    /// centuries: then nothing grows older.
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
