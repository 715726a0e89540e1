//! The built program as a server process, with all that a fault needs: a data folder that outlives it, a
//! log to read, and signals.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::patience::eventually;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_whimbrel");

/// How a server is started. Clones start the same.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    data: PathBuf,
    /// What all its lives log.
    log: PathBuf,
    listen: String,
    /// A command that runs its arguments, as `sh -c … sh`.
    before: Vec<String>,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
}

/// A running server. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    log: PathBuf,
    /// Where the log of this life begins.
    begins: usize,
    _stdout: BufReader<ChildStdout>,
}

/// A server that ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) log: String,
}

impl Setup {
    /// A server with its data in `folder/data`. It takes changes however little space is free.
    pub(crate) fn new(folder: &Path) -> Self {
        Self::with_log(&folder.join("data"), &folder.join("log"))
    }

    /// A server with its data and its log in these places.
    pub(crate) fn with_log(data: &Path, log: &Path) -> Self {
        Self {
            data: data.to_owned(),
            log: log.to_owned(),
            listen: "127.0.0.1:0".to_owned(),
            before: Vec::new(),
            arguments: Vec::new(),
            variables: Vec::new(),
        }
        .variable("WHIMBREL_DISK_FREE_MIN", "0")
        // Many servers run at once.
        .variable("WHIMBREL_ADMIN_LISTEN", "none")
        .variable("WHIMBREL_LOG", "info")
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn listen(self, listen: &str) -> Self {
        Self { listen: listen.to_owned(), ..self }
    }

    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Sets a variable, instead of what it was set to.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(set, _)| set != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets a shell run `script` first, in the process that the server will be.
    pub(crate) fn after(self, script: &str) -> Self {
        let script = format!("{script}; exec \"$@\"");
        Self { before: ["bash", "-c", &script, "bash"].map(str::to_owned).into(), ..self }
    }

    /// Runs it by these words, which run the words after them.
    pub(crate) fn on(self, before: Vec<String>) -> Self {
        Self { before, ..self }
    }

    /// Starts it, and waits until it listens.
    pub(crate) fn start(&self) -> Server {
        self.try_start().unwrap_or_else(|ended| panic!("it does not start: {ended:?}"))
    }

    /// Starts it, and waits until it listens or has ended.
    pub(crate) fn try_start(&self) -> Result<Server, Ended> {
        let begins = fs::read(&self.log).map_or(0, |log| log.len());
        let mut child = self.spawn();
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it prints UTF-8");
        if line.is_empty() {
            let status = child.wait().expect("it is our child");
            return Err(Ended { status, log: log_from(&self.log, begins) });
        }
        let words = line.split_whitespace().map(|word| word.trim_end_matches(','));
        let address = words.filter_map(|word| word.parse().ok()).next();
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}"));
        Ok(Server { child, address, log: self.log.clone(), begins, _stdout: stdout })
    }

    /// Starts the process, and waits for nothing.
    pub(crate) fn spawn(&self) -> Child {
        let words = self.before.iter().map(String::as_str).chain([PROGRAM]).collect::<Vec<_>>();
        let mut command = Command::new(words[0]);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"WHIMBREL_") {
                command.env_remove(name);
            }
        }
        command.args(&words[1..]).args(["serve", "--listen", &self.listen]);
        command.args(&self.arguments).arg("--data").arg(&self.data);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let log = File::options().create(true).append(true).open(&self.log);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.expect("a file for its log"));
        command.spawn().expect("the program is built")
    }
}

impl Server {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it is our child");
    }

    /// Kills it as kill -9 does.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }

    /// Stops it in order.
    pub(crate) async fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        let ended = self.end().await;
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        ended
    }

    /// Waits until it ends by itself.
    pub(crate) async fn end(mut self) -> Ended {
        let status =
            eventually("the end of the server", || self.child.try_wait().expect("it is our child"));
        Ended { status: status.await, log: self.log() }
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// What it has logged in this life.
    pub(crate) fn log(&self) -> String {
        log_from(&self.log, self.begins)
    }

    /// The most memory that it has had so far, in bytes: with the pages of its program's file.
    pub(crate) fn memory_most(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux");
        let kib = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
        kib << 10
    }

    /// What its descriptors are of.
    pub(crate) fn files(&self) -> Vec<String> {
        let files = fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs");
        let targets = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
        targets.map(|target| target.to_string_lossy().into_owned()).collect()
    }

    /// The names of its threads, as the kernel has them: 15 bytes at most.
    pub(crate) fn threads(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        let names =
            tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        names.map(|name| name.trim().to_owned()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a verb of the program that must succeed. Gives what it printed.
pub(crate) fn program(arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM).args(arguments).output().expect("the program is built");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("it prints UTF-8")
}

/// The log of a data folder has no damage, and its index has what the log gives, by the verb that reads all
/// of both.
pub(crate) fn check_data(data: &Path) {
    program(&["check", "--data", data.to_str().expect("a path in UTF-8")]);
}

fn log_from(log: &Path, begins: usize) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(bytes.get(begins..).unwrap_or_default()).into_owned()
}
