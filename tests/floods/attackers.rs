//! The threads of the attackers, and what takes precedence on the machine: attackers and callers have
//! machines of their own, and here they share one with the server. So attackers run only when nobody
//! else does, and callers before the server, where the machine allows that.

use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use tokio_util::sync::CancellationToken;

use crate::floods::Flood;
use crate::target::Attacked;

/// Runs when no other thread does.
const LAST: [&str; 3] = ["--idle", "--pid", "0"];
/// Runs before all threads that are not like it.
const FIRST: [&str; 3] = ["--fifo", "--pid", "1"];

/// A flood under way. It ends when this is dropped.
pub(crate) struct Attackers {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Attackers {
    /// Floods `to`, until this is dropped.
    pub(crate) fn start(flood: Flood, to: Attacked) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            // Where that is not possible, callers notice more than the server is the cause of.
            let _ = schedule(LAST);
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("threads for attackers");
            runtime.block_on(async {
                tokio::select! { () = flood.run(to) => {} () = stopped.cancelled() => {} }
            });
            runtime.shutdown_background();
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Lets the calling thread, and those that it starts, go before the server. Whether it may: that takes a
/// right.
pub(crate) fn go_first() -> bool {
    schedule(FIRST)
}

/// Changes how the calling thread is scheduled, by the program `chrt` of util-linux.
fn schedule(how: [&str; 3]) -> bool {
    let Ok(this) = std::fs::read_link("/proc/thread-self") else { return false };
    let Some(thread) = this.file_name() else { return false };
    let mut command = Command::new("chrt");
    command.args(how).arg(thread).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
