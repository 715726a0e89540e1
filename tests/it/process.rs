//! The built program, run as its users run it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_whimbrel");

/// A server process. Killed when dropped.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
    address: SocketAddr,
}

impl ServerProcess {
    /// Starts one on `data_dir`, on a free port, and waits until it listens.
    pub(crate) fn start(data_dir: &Path) -> Self {
        Self::listening(spawn(data_dir))
    }

    /// The same, if it comes to listen before it ends.
    pub(crate) fn try_start(data_dir: &Path) -> Option<Self> {
        let mut child = spawn(data_dir);
        let mut first_line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first_line).unwrap();
        if first_line.is_empty() {
            kill(&mut child);
            return None;
        }
        Some(Self { address: address_in(&first_line), child })
    }

    /// The same, but its disk fails every write beyond so many KiB of a file.
    pub(crate) fn start_on_failing_disk(data_dir: &Path, file_kib_max: u32) -> Self {
        // The signal has to be ignored for the write to fail instead of the process to be killed.
        let limits = format!("trap '' XFSZ; ulimit -f {file_kib_max}; exec \"$@\"");
        let mut shell = Command::new("bash");
        shell.args(["-c", &limits, "bash", PROGRAM]);
        Self::listening(serve(shell, data_dir))
    }

    fn listening(mut child: Child) -> Self {
        let mut first_line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first_line).unwrap();
        Self { address: address_in(&first_line), child }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it ends by itself, and gives its exit code and what it said.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }

    /// Kills it as kill -9 does, wherever it is.
    pub(crate) fn kill(mut self) {
        kill(&mut self.child);
    }

    /// Ends it as an operator does, and gives its exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

fn address_in(first_line: &str) -> SocketAddr {
    let said: serde_json::Value = serde_json::from_str(first_line).unwrap();
    said["listen"].as_str().unwrap().parse().unwrap()
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        kill(&mut self.child);
    }
}

/// Starts one and kills it again at some moment of its start.
pub(crate) fn kill_while_starting(data_dir: &Path, after: std::time::Duration) {
    let mut child = spawn(data_dir);
    std::thread::sleep(after);
    kill(&mut child);
}

fn spawn(data_dir: &Path) -> Child {
    serve(Command::new(PROGRAM), data_dir)
}

fn serve(mut command: Command, data_dir: &Path) -> Child {
    command
        .args(["serve", "--json", "--listen", "127.0.0.1:0", "--log", "error", "--data"])
        .arg(data_dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn kill(child: &mut Child) {
    // It may have ended by itself, which the next start shows.
    let _ = child.kill();
    child.wait().unwrap();
}
