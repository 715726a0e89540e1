//! The log check: one thread that checks that the log is where the next start will look for it. It
//! changes nothing.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::storage::{self, Log};

/// Between two checks. An append checks by itself; this is for a server that is only read.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Checks until the engine is to stop, or the log is gone.
pub(super) fn run(log: &Arc<dyn Log>, stopped: &Receiver<()>) -> Result<(), storage::Error> {
    while stopped.recv_timeout(CHECK_INTERVAL) != Err(RecvTimeoutError::Disconnected) {
        log.check()?;
    }
    Ok(())
}
