//! The threads of the attackers, and what takes precedence on the machine: attackers and callers have
//! machines of their own, and here they share one with the server. So attackers run only when nobody
//! else does, or on a core that they have to themselves, and callers run before the server, where the
//! machine allows that.

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
        Self::start_on(None, flood, to)
    }

    /// The same, on `core` only.
    pub(crate) fn start_on(core: Option<Core>, flood: Flood, to: Attacked) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            // Where that is not possible, callers notice more than the server is the cause of.
            let _ = schedule(LAST);
            if let Some(Core(core)) = core {
                assert!(run_on(&core.to_string()), "it was possible for the others");
            }
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

/// A core of the machine that attackers have to themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Core(usize);

impl Core {
    /// Keeps the calling thread, and all that it starts, off the last core of the machine. `None` if it has
    /// one only, or the thread may not choose.
    pub(crate) fn leave_one() -> Option<Self> {
        let last = std::thread::available_parallelism().ok()?.get() - 1;
        (last > 0 && run_on(&format!("0-{}", last - 1))).then_some(Self(last))
    }
}

/// Lets the calling thread, and those that it starts, go before the server. Whether it may: that takes a
/// right.
pub(crate) fn go_first() -> bool {
    schedule(FIRST)
}

/// Changes how the calling thread is scheduled, by the program `chrt` of util-linux.
fn schedule(how: [&str; 3]) -> bool {
    change_thread("chrt", how)
}

/// Changes on which cores the calling thread runs, by the program `taskset` of util-linux.
fn run_on(cores: &str) -> bool {
    change_thread("taskset", ["--cpu-list", "--pid", cores])
}

/// Runs a program that changes the thread whose number is its last argument.
fn change_thread(program: &str, how: [&str; 3]) -> bool {
    let Ok(this) = std::fs::read_link("/proc/thread-self") else { return false };
    let Some(thread) = this.file_name() else { return false };
    let mut command = Command::new(program);
    command.args(how).arg(thread).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
