//! Calling again what may succeed later. Only for calls that are safe to repeat.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Error;

/// The delay before the second try; it doubles from there.
const DELAY_MIN: Duration = Duration::from_millis(100);
/// The longest delay: a server that comes back is found within it.
const DELAY_MAX: Duration = Duration::from_secs(5);

/// How long to wait before the next try, and whether there is one.
#[derive(Clone, Debug)]
pub struct Retry {
    delay: Duration,
    give_up_at: Option<Instant>,
}

impl Retry {
    /// Tries for ever.
    #[must_use]
    pub fn for_ever() -> Self {
        Self { delay: DELAY_MIN, give_up_at: None }
    }

    /// Tries for so long.
    #[must_use]
    pub fn within(time: Duration) -> Self {
        Self { give_up_at: Some(Instant::now() + time), ..Self::for_ever() }
    }

    /// Begins anew with short delays: something has succeeded.
    pub fn succeeded(&mut self) {
        self.delay = DELAY_MIN;
    }

    /// Waits after `error`, or gives it back if it is final or the time is up.
    ///
    /// # Errors
    /// `error`.
    pub async fn wait(&mut self, error: Error) -> Result<(), Error> {
        // Many clients that lost one server should not come back in one moment.
        let jittered = self.delay.mul_f64(0.5 + fastrand::f64());
        let delay = error.retry_after().unwrap_or(jittered).max(jittered);
        let is_too_late = self.give_up_at.is_some_and(|at| Instant::now() + delay > at);
        if !error.is_transient() || is_too_late {
            return Err(error);
        }
        self.delay = (self.delay * 2).min(DELAY_MAX);
        sleep(delay).await;
        Ok(())
    }

    /// Calls until it succeeds, fails for good, or the time is up.
    ///
    /// # Errors
    /// The last error.
    pub async fn call<T, F>(mut self, mut call: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        loop {
            match call().await {
                Ok(answer) => return Ok(answer),
                Err(error) => self.wait(error).await?,
            }
        }
    }
}
