//! Retries of calls that may succeed later. Never decides whether a call is safe to repeat: its
//! user does.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Error;

/// The delay before the second try. It doubles with each further try.
const DELAY_MIN: Duration = Duration::from_millis(100);
/// The longest delay: the client notices within it that a server is back.
const DELAY_MAX: Duration = Duration::from_secs(5);

/// The state of a series of tries: the next delay and the deadline.
#[derive(Clone, Debug)]
pub struct Retry {
    delay: Duration,
    give_up_at: Option<Instant>,
}

impl Retry {
    /// Retries without a deadline.
    #[must_use]
    pub fn for_ever() -> Self {
        Self { delay: DELAY_MIN, give_up_at: None }
    }

    /// Retries until `time` from now.
    #[must_use]
    pub fn within(time: Duration) -> Self {
        Self { give_up_at: Some(Instant::now() + time), ..Self::for_ever() }
    }

    /// Resets the delay after a success.
    pub fn succeeded(&mut self) {
        self.delay = DELAY_MIN;
    }

    /// Waits for the delay after `error`.
    ///
    /// # Errors
    /// `error` itself, if it is not transient or the deadline comes first.
    pub async fn wait(&mut self, error: Error) -> Result<(), Error> {
        // With jitter, clients that lost one server do not all come back at the same moment.
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

    /// Calls until a call succeeds.
    ///
    /// # Errors
    /// An error that is not transient, or the last one before the deadline.
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
