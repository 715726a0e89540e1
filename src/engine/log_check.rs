//! The log check: one thread that checks that the log's files are still at their paths, where the
//! next start expects them, and lets the log note how far it is durable. It never changes an event.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::storage::{self, Log};

/// The time between two checks. An append checks by itself; these are for a server without writes.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Runs until the engine stops, or a check fails.
pub(super) fn run(log: &Arc<dyn Log>, stopped: &Receiver<()>) -> Result<(), storage::Error> {
    while stopped.recv_timeout(CHECK_INTERVAL) != Err(RecvTimeoutError::Disconnected) {
        log.check()?;
    }
    Ok(())
}
