//! Threads that the process cannot live without.
//!
//! When one of them fails or panics, the process is to end visibly: whoever holds the [`CriticalThreads`]
//! hears of it. Nothing here restarts a thread.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::watch;

/// Starts critical threads and tells of the first that fails. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CriticalThreads {
    first_failure: Arc<watch::Sender<Option<ThreadFailure>>>,
}

/// A critical thread failed: the process must end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part} failed: {reason}")]
pub struct ThreadFailure {
    /// The thread's name.
    pub part: String,
    /// What happened, for the operator.
    pub reason: String,
}

impl CriticalThreads {
    /// Nothing running, nothing failed.
    #[must_use]
    pub fn new() -> Self {
        Self { first_failure: Arc::new(watch::Sender::new(None)) }
    }

    /// Runs `work` on a thread named `part`. An `Err` or a panic is a [`ThreadFailure`].
    ///
    /// # Errors
    /// The machine gave no thread.
    pub fn spawn<E: fmt::Display>(
        &self,
        part: impl Into<String>,
        work: impl FnOnce() -> Result<(), E> + Send + 'static,
    ) -> std::io::Result<JoinHandle<()>> {
        let (critical, part) = (self.clone(), part.into());
        std::thread::Builder::new().name(part.clone()).spawn(move || {
            match catch_unwind(AssertUnwindSafe(work)) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => critical.fail(part, error.to_string()),
                Err(panic) => critical.fail(part, panic_message(panic.as_ref())),
            }
        })
    }

    /// Waits for the first failure; for ever, if there is none.
    pub async fn failed(&self) -> ThreadFailure {
        let mut first_failure = self.first_failure.subscribe();
        let failed = first_failure.wait_for(Option::is_some).await;
        let failure = failed.ok().and_then(|failure| failure.clone());
        match failure {
            Some(failure) => failure,
            // The sender is held by `self`, so the channel is open and the value is there.
            None => std::future::pending().await,
        }
    }

    /// The first failure, if there has been one.
    #[must_use]
    pub fn failure(&self) -> Option<ThreadFailure> {
        self.first_failure.borrow().clone()
    }

    fn fail(&self, part: String, reason: String) {
        tracing::error!(part, reason, "a critical part failed");
        self.first_failure.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                *first = Some(ThreadFailure { part, reason });
            }
            is_first
        });
    }
}

impl Default for CriticalThreads {
    fn default() -> Self {
        Self::new()
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("it panicked: {}", text.unwrap_or_else(|| "no message".to_owned()))
}
