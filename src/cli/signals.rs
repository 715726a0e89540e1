//! The signals of a server: SIGINT and SIGTERM stop it in order, and SIGHUP has its settings read
//! again. The other handled signals never end it.

use std::io;

use rustix::process;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The handled signals.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    user_1: Signal,
    user_2: Signal,
    file_size: Signal,
}

/// SIGHUP, which has the settings read again.
#[derive(Debug)]
pub(super) struct HangUps(Signal);

impl HangUps {
    /// Waits for the next one, or for one that has come since.
    pub(super) async fn next(&mut self) {
        // There is always a next one.
        let _ = self.0.recv().await;
    }
}

impl Signals {
    /// Handles the signals from now on, for the life of the process. With SIGXFSZ handled, a write
    /// over the limit on file sizes fails like any other write.
    pub(super) fn catch() -> io::Result<(Self, HangUps)> {
        let hang_ups = HangUps(signal(SignalKind::hangup())?);
        let signals = Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
            file_size: signal(SignalKind::from_raw(process::Signal::XFSZ.as_raw()))?,
        };
        Ok((signals, hang_ups))
    }

    /// Waits for a signal that stops the server, and logs the others.
    pub(super) async fn stop(&mut self) {
        loop {
            let ignored = tokio::select! {
                _ = self.interrupt.recv() => return tracing::info!(signal = "SIGINT", "stopping"),
                _ = self.terminate.recv() => return tracing::info!(signal = "SIGTERM", "stopping"),
                _ = self.user_1.recv() => "SIGUSR1",
                _ = self.user_2.recv() => "SIGUSR2",
                _ = self.file_size.recv() => {
                    tracing::error!(
                        "a file has reached the limit on file sizes (ulimit -f): raise the limit"
                    );
                    continue;
                }
            };
            tracing::info!(signal = ignored, "ignored: SIGINT or SIGTERM stop the server");
        }
    }
}
