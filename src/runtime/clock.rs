//! The clock: the time of day, and a monotonic time. Tests hold it.
//!
//! The time of day is only for timestamps that people read, and for the expiry of tokens, which others
//! made: it may be wrong, and jumps when somebody corrects it. It never decides how long something takes: durations come from
//! [`Clock::elapsed`] or `tokio::time`, which are monotonic.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A clock. Clones are cheap and show the same time.
#[derive(Clone, Debug)]
pub struct Clock(ClockSource);

#[derive(Clone, Debug)]
enum ClockSource {
    System { started: Instant },
    Held(Arc<Mutex<HeldTime>>),
}

/// The time of a held clock. It changes only by [`Clock::set`] and [`Clock::pass`].
#[derive(Clone, Copy, Debug)]
struct HeldTime {
    since_epoch: Option<Duration>,
    elapsed: Duration,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(ClockSource::System { started: Instant::now() })
    }

    /// A clock for tests, which stands still at `since_epoch` until it is moved.
    #[must_use]
    pub fn held_at(since_epoch: Duration) -> Self {
        let held = HeldTime { since_epoch: Some(since_epoch), elapsed: Duration::ZERO };
        Self(ClockSource::Held(Arc::new(Mutex::new(held))))
    }

    /// The time of day: the time since 1970-01-01T00:00:00Z without leap seconds. `None` if the
    /// clock is set to a time before that.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one call of the machine's clock")]
    pub fn since_epoch(&self) -> Option<Duration> {
        match &self.0 {
            ClockSource::System { .. } => SystemTime::now().duration_since(UNIX_EPOCH).ok(),
            ClockSource::Held(held) => guard(held).since_epoch,
        }
    }

    /// The monotonic time since the clock was made. Never falls, also if the time of day does. It
    /// may leave out the time for which the machine was suspended, as on Linux.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        match &self.0 {
            ClockSource::System { started } => started.elapsed(),
            ClockSource::Held(held) => guard(held).elapsed,
        }
    }

    /// Sets the time of day of a held clock; `None` is a time before 1970. No time passes, as when
    /// somebody sets a machine's clock. Does nothing to the system's clock.
    pub fn set(&self, since_epoch: impl Into<Option<Duration>>) {
        if let ClockSource::Held(held) = &self.0 {
            guard(held).since_epoch = since_epoch.into();
        }
    }

    /// Lets time pass on a held clock. Does nothing to the system's clock.
    pub fn pass(&self, time: Duration) {
        if let ClockSource::Held(held) = &self.0 {
            let mut held = guard(held);
            held.since_epoch = held.since_epoch.map(|since_epoch| since_epoch + time);
            held.elapsed += time;
        }
    }
}

fn guard(held: &Mutex<HeldTime>) -> MutexGuard<'_, HeldTime> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
