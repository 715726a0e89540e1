//! How often something may be done: a bucket that fills with each time and empties steadily. What
//! something cost may be added after it was done, also beyond the brim; then the next has to wait.
//!
//! That is why it is not a library's rate limiter: those take what fits, and have no debt.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A rate, and how much may be done at once after a time with nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// The time for which one unit is in the bucket.
    pub(super) interval: Duration,
    /// The size of the bucket, as the time in which it empties.
    pub(super) burst: Duration,
}

impl Rate {
    /// `max` units per `time`, of which as many as come in `burst` may come at once.
    ///
    /// # Panics
    /// `max` is 0, or no unit fits into `burst`: the limits were checked.
    pub(super) fn new(max: u32, time: Duration, burst: Duration) -> Self {
        let interval = time / max;
        assert!(interval <= burst, "one unit fits into an empty bucket");
        Self { interval, burst }
    }
}

/// The use of a rate.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// When the bucket is empty, in nanoseconds of the monotonic time.
    empty_at: AtomicU64,
}

impl Bucket {
    /// Adds `units` at `now`, a monotonic time, if one of them fits: the others may be debt.
    ///
    /// # Errors
    /// None fits: the time until one does.
    pub(super) fn add(&self, rate: Rate, units: u32, now: Duration) -> Result<(), Duration> {
        let mut too_full = None;
        // The order of several calls does not matter, so neither does that of memory.
        let added = self.empty_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |empty_at| {
            let empty_at = Duration::from_nanos(empty_at);
            let level = empty_at.saturating_sub(now);
            if level + rate.interval > rate.burst {
                too_full = Some(level + rate.interval - rate.burst);
                return None;
            }
            Some(nanos(empty_at.max(now) + rate.interval * units))
        });
        match added {
            Ok(_) => Ok(()),
            Err(_) => Err(too_full.unwrap_or(rate.interval)),
        }
    }

    /// Adds `units` at `now`, however full the bucket is. The debt is never more than what fits into
    /// an empty bucket: so whoever caused much work waits for the time of a burst, and no longer.
    pub(super) fn charge(&self, rate: Rate, units: u32, now: Duration) {
        let charge = |empty_at| {
            let empty_at = Duration::from_nanos(empty_at);
            let charged = empty_at.max(now) + rate.interval * units;
            Some(nanos(charged.min(now + 2 * rate.burst).max(empty_at)))
        };
        // It always has a value, so it is always stored.
        let _ = self.empty_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charge);
    }

    /// How many units would fit at `now`.
    pub(super) fn room(&self, rate: Rate, now: Duration) -> u64 {
        let level = Duration::from_nanos(self.empty_at.load(Ordering::Relaxed)).saturating_sub(now);
        let room = rate.burst.saturating_sub(level);
        nanos(room) / nanos(rate.interval)
    }
}

fn nanos(time: Duration) -> u64 {
    let nanos = time.as_nanos();
    // Five hundred years: what is added is at most some hours, and a full bucket takes no more.
    debug_assert!(nanos <= u128::from(u64::MAX), "a bucket is full for {time:?}");
    nanos as u64
}
