//! The clocks, in one place so that tests can hold them: the time of day, and how long something
//! took.
//!
//! The time of day is only for stamps that people read: it is wrong at times, and jumps when that is
//! noticed. Every duration that something depends on is of [`Clock::elapsed`] or of `tokio::time`,
//! which no jump stretches.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A clock. Cloning it is cheap, and clones tell the same time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { made: Instant },
    Held(Arc<Mutex<Held>>),
}

#[derive(Clone, Copy, Debug)]
struct Held {
    since_epoch: Option<Duration>,
    elapsed: Duration,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System { made: Instant::now() })
    }

    /// A clock that stands still at `since_epoch` until it is moved.
    #[must_use]
    pub fn held_at(since_epoch: Duration) -> Self {
        let held = Held { since_epoch: Some(since_epoch), elapsed: Duration::ZERO };
        Self(Source::Held(Arc::new(Mutex::new(held))))
    }

    /// The time of day, as the time since 1970-01-01T00:00:00Z without leap seconds; `None` if it is
    /// set to before that.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    pub fn since_epoch(&self) -> Option<Duration> {
        match &self.0 {
            Source::System { .. } => SystemTime::now().duration_since(UNIX_EPOCH).ok(),
            Source::Held(held) => guard(held).since_epoch,
        }
    }

    /// How long there has been this clock. Never falls, whatever becomes of the time of day. Time for
    /// which the machine is suspended may be left out, as on Linux.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        match &self.0 {
            Source::System { made } => made.elapsed(),
            Source::Held(held) => guard(held).elapsed,
        }
    }

    /// Sets the time of day of a held clock, to before 1970 by `None`, as if somebody had set the
    /// machine's: no time passes. The machine's clock is left alone.
    pub fn set(&self, since_epoch: impl Into<Option<Duration>>) {
        if let Source::Held(held) = &self.0 {
            guard(held).since_epoch = since_epoch.into();
        }
    }

    /// Lets time pass on a held clock. The machine's clock is left alone.
    pub fn pass(&self, time: Duration) {
        if let Source::Held(held) = &self.0 {
            let mut held = guard(held);
            held.since_epoch = held.since_epoch.map(|since_epoch| since_epoch + time);
            held.elapsed += time;
        }
    }
}

fn guard(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
