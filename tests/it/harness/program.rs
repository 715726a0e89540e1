//! The built program, run to its end with arguments, as a shell does.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::patience::PATIENCE;

/// The outcome of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A run that is being prepared. Of the variables `WHIMBREL_…` it has only those that are set here.
#[derive(Debug)]
pub(crate) struct Program(Command);

impl Program {
    pub(crate) fn new() -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_whimbrel"));
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"WHIMBREL_") {
                program.env_remove(name);
            }
        }
        // Nor does it see what the person who runs the tests has kept.
        program.env("XDG_CONFIG_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/nobody"));
        Self(program)
    }

    /// Calls the server at `address`.
    pub(crate) fn calling(address: SocketAddr) -> Self {
        Self::new().with("WHIMBREL_ADDR", &address.to_string())
    }

    /// Sets an environment variable.
    pub(crate) fn with(mut self, variable: &str, value: &str) -> Self {
        self.0.env(variable, value);
        self
    }

    /// Runs it with `arguments`, separated by spaces.
    pub(crate) fn run(self, arguments: &str) -> Ran {
        self.run_with(&arguments.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs it with `arguments`.
    pub(crate) fn run_with(self, arguments: &[&str]) -> Ran {
        self.run_on("", arguments)
    }

    /// Runs it with `arguments` and this standard input.
    pub(crate) fn run_on(mut self, stdin: &str, arguments: &[&str]) -> Ran {
        self.0.args(arguments);
        self.0.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.0.spawn().expect("the program is built");
        // It may end without reading its input, which its exit code shows.
        let _ = child.stdin.take().expect("it is piped").write_all(stdin.as_bytes());
        // A run that does not end is killed, and has no exit code.
        let pid = Pid::from_child(&child);
        let (ended, end) = mpsc::channel::<()>();
        let guard = thread::spawn(move || {
            if end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                kill_process(pid, Signal::KILL).expect("it still runs");
            }
        });
        let output = child.wait_with_output().expect("the program ends");
        drop(ended);
        guard.join().expect("no panic");
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("it prints UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("it prints UTF-8"),
        }
    }
}

impl Ran {
    /// The standard output of a run that must succeed.
    #[track_caller]
    pub(crate) fn printed(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        &self.stdout
    }

    /// The lines of its standard output, parsed as JSON, whatever its exit code.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Panics unless it ended with `code` and has `why` on standard error.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, why: &str) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stderr.contains(why), "{why:?} is not in {}", self.stderr);
        self
    }
}
