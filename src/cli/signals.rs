//! The signals that a server is sent: two of them stop it, and no other ends it without a word.

use std::io;

use rustix::process;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that are heard.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    user_1: Signal,
    user_2: Signal,
    file_size: Signal,
}

impl Signals {
    /// From now on they are heard, and do nothing by themselves, for the life of the process. A write
    /// beyond the limit on the size of files then fails as any other write does.
    pub(super) fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
            file_size: signal(SignalKind::from_raw(process::Signal::XFSZ.as_raw()))?,
        })
    }

    /// Waits for one that stops the server.
    pub(super) async fn stop(&mut self) {
        loop {
            let ignored = tokio::select! {
                _ = self.interrupt.recv() => return tracing::info!(signal = "SIGINT", "stopping"),
                _ = self.terminate.recv() => return tracing::info!(signal = "SIGTERM", "stopping"),
                _ = self.hang_up.recv() => "SIGHUP",
                _ = self.user_1.recv() => "SIGUSR1",
                _ = self.user_2.recv() => "SIGUSR2",
                _ = self.file_size.recv() => {
                    tracing::error!(
                        "a file has come to the limit on the size of files (ulimit -f): raise it"
                    );
                    continue;
                }
            };
            tracing::info!(
                signal = ignored,
                "ignored: there is nothing to load again; SIGINT or SIGTERM stop the server"
            );
        }
    }
}
