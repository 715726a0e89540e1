//! Critical threads: the process must end visibly when one of them fails or panics.
//!
//! The owner of the [`CriticalThreads`] waits for the first failure, and ends the process. A thread
//! is never restarted.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::watch;

/// Starts critical threads and reports the first failure. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CriticalThreads {
    first_failure: Arc<watch::Sender<Option<ThreadFailure>>>,
}

/// The failure of a critical thread: the process must end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part} failed: {reason}")]
pub struct ThreadFailure {
    /// The name of the thread.
    pub part: String,
    /// The error or the panic message, for the operator.
    pub reason: String,
}

impl CriticalThreads {
    /// No thread, no failure.
    #[must_use]
    pub fn new() -> Self {
        Self { first_failure: Arc::new(watch::Sender::new(None)) }
    }

    /// Runs `work` on a new thread named `part`. An `Err` or a panic is a [`ThreadFailure`].
    ///
    /// # Errors
    /// The operating system cannot start a thread.
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

    /// Waits for the first failure; forever if there is none.
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

    /// The first failure; `None` if there was none.
    #[must_use]
    pub fn failure(&self) -> Option<ThreadFailure> {
        self.first_failure.borrow().clone()
    }

    fn fail(&self, part: String, reason: String) {
        tracing::error!(part, reason, "a critical thread failed");
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

/// Lowers the priority of this thread below those that callers wait for.
pub fn lower_priority() {
    // On Linux the value is per thread. A failure is ignored: it only costs latency.
    let _ = rustix::process::nice(10);
}
