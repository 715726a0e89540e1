//! The guard: one thread that looks whether the log is where the next start will look for it. It
//! touches nothing.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::storage::{self, Log};

/// How often it looks. An append looks by itself; this is for a server that is only read.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Looks until the engine is to stop, or the log is gone.
pub(super) fn run(log: &Arc<dyn Log>, stopped: &Receiver<()>) -> Result<(), storage::Error> {
    while stopped.recv_timeout(LOOK_INTERVAL) != Err(RecvTimeoutError::Disconnected) {
        log.check()?;
    }
    Ok(())
}
