//! The built program as a server process.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};

const PROGRAM: &str = env!("CARGO_BIN_EXE_whimbrel");
const ADMIN_LISTEN: &str = "WHIMBREL_ADMIN_LISTEN";

/// A server process. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
    address: SocketAddr,
    admin: Option<SocketAddr>,
}

impl ServerProcess {
    /// Starts a server on `data_dir`, on a free port, and waits until it listens.
    pub(crate) fn start(data_dir: &Path) -> Self {
        Self::listening(spawn(data_dir))
    }

    /// Like [`ServerProcess::start`], with a disk that fails every write after so many KiB of a
    /// file.
    pub(crate) fn start_on_failing_disk(data_dir: &Path, file_kib_max: u32) -> Self {
        let limits = format!("ulimit -f {file_kib_max}; exec \"$@\"");
        let mut shell = Command::new("bash");
        shell.args(["-c", &limits, "bash", PROGRAM]);
        Self::listening(serve(shell, data_dir, "warn"))
    }

    /// Like [`ServerProcess::start`], but it refuses changes, as on a full disk, and logs warnings.
    pub(crate) fn start_on_full_disk(data_dir: &Path) -> Self {
        let mut program = Command::new(PROGRAM);
        // More free space than any disk has: a petabyte.
        program.env("WHIMBREL_DISK_FREE_MIN", (1_u32 << 30).to_string());
        Self::listening(serve(program, data_dir, "warn"))
    }

    /// Like [`ServerProcess::start`], with a log of everything.
    pub(crate) fn start_talking(data_dir: &Path) -> Self {
        Self::listening(serve(Command::new(PROGRAM), data_dir, "info"))
    }

    /// Like [`ServerProcess::start`], with a limit of open files, and a log of warnings.
    pub(crate) fn start_with_few_files(
        data_dir: &Path,
        files_max: u32,
        connections_max: Option<u32>,
    ) -> Self {
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("ulimit -n {files_max}; exec \"$@\""), "bash", PROGRAM]);
        if let Some(max) = connections_max {
            shell.env("WHIMBREL_CONNECTIONS_MAX", max.to_string());
        }
        Self::listening(serve(shell, data_dir, "warn"))
    }

    /// Like [`ServerProcess::start_with_few_files`], with a limit that the process itself may raise.
    pub(crate) fn start_with_few_files_at_first(data_dir: &Path, files: u32) -> Self {
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("ulimit -Sn {files}; exec \"$@\""), "bash", PROGRAM]);
        shell.env("WHIMBREL_CONNECTIONS_MAX", "200");
        Self::listening(serve(shell, data_dir, "warn"))
    }

    /// Like [`ServerProcess::start`], with a limit of connections, and a log of warnings.
    pub(crate) fn start_for_few(data_dir: &Path, connections_max: u32) -> Self {
        let mut program = Command::new(PROGRAM);
        program.env("WHIMBREL_CONNECTIONS_MAX", connections_max.to_string());
        Self::listening(serve(program, data_dir, "warn"))
    }

    /// Like [`ServerProcess::start`], with a variable of its settings.
    pub(crate) fn start_with(data_dir: &Path, (variable, value): (&str, &str)) -> Self {
        let mut program = Command::new(PROGRAM);
        program.env(variable, value);
        Self::listening(serve(program, data_dir, "warn"))
    }

    /// Like [`ServerProcess::start`], with variables of its settings. All that it can log goes to
    /// `file`.
    pub(crate) fn start_tracing(data_dir: &Path, variables: &[(&str, &str)], file: &Path) -> Self {
        let mut shell = Command::new("bash");
        shell.args(["-c", "exec \"$@\" 2>\"$LOG\"", "bash", PROGRAM]);
        shell.env("LOG", file).envs(variables.iter().copied());
        Self::listening(serve(shell, data_dir, "trace"))
    }

    /// A server with the settings in `file`, which has its data folder, too. What it logs goes to
    /// `log`.
    pub(crate) fn start_configured(file: &Path, log: &Path) -> Self {
        let mut shell = Command::new("bash");
        shell.args(["-c", "exec \"$@\" 2>\"$LOG\"", "bash", PROGRAM, "serve", "--json"]);
        shell.env("LOG", log).env(ADMIN_LISTEN, "none");
        shell.args(["--listen", "127.0.0.1:0", "--config"]).arg(file);
        Self::listening(shell.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap())
    }

    /// Like [`ServerProcess::start`], but it erases deleted posts every second.
    pub(crate) fn start_compacting(data_dir: &Path) -> Self {
        let mut program = Command::new(PROGRAM);
        program.env("WHIMBREL_COMPACT_EVERY", "1");
        Self::listening(serve(program, data_dir, "error"))
    }

    /// Like [`ServerProcess::start`], with an access log, this filter of other lines, and an admin
    /// listener.
    pub(crate) fn start_logging_calls(data_dir: &Path, filter: &str) -> Self {
        let mut program = Command::new(PROGRAM);
        program.env("WHIMBREL_ACCESS_LOG", "true").env(ADMIN_LISTEN, "127.0.0.1:0");
        Self::listening(serve(program, data_dir, filter))
    }

    /// Like [`ServerProcess::start`]; `None` if the process ends instead.
    pub(crate) fn try_start(data_dir: &Path) -> Option<Self> {
        Self::try_start_or_say(data_dir).ok()
    }

    /// Like [`ServerProcess::start`]; or its output if the process ends instead.
    pub(crate) fn try_start_or_say(data_dir: &Path) -> Result<Self, String> {
        let mut child = serve(Command::new(PROGRAM), data_dir, "off");
        let mut first_line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first_line).unwrap();
        if first_line.is_empty() {
            let mut output = String::new();
            child.stderr.take().unwrap().read_to_string(&mut output).unwrap();
            child.wait().unwrap();
            return Err(output);
        }
        Ok(Self::of(child, &first_line))
    }

    /// Starts a server that must refuse to start, listening on `listen`. Returns its exit code and
    /// output.
    pub(crate) fn refuses(data_dir: &Path, listen: SocketAddr) -> (Option<i32>, String) {
        let mut program = Command::new(PROGRAM);
        program.env(ADMIN_LISTEN, "none");
        program.args(["serve", "--log", "warn", "--listen", &listen.to_string(), "--data"]);
        program.arg(data_dir).stdin(Stdio::null());
        let mut child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first_line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first_line).unwrap();
        if !first_line.is_empty() {
            kill(&mut child);
            panic!("it listens");
        }
        let ended = child.wait_with_output().unwrap();
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
    }

    fn listening(mut child: Child) -> Self {
        let mut first_line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first_line).unwrap();
        Self::of(child, &first_line)
    }

    /// A process that has said where it listens.
    fn of(child: Child, first_line: &str) -> Self {
        let output: serde_json::Value = serde_json::from_str(first_line).unwrap();
        let address = |name: &str| Some(output["serving"][name].as_str()?.parse().unwrap());
        Self { address: address("listen").unwrap(), admin: address("admin"), child }
    }

    /// The address that it listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of its admin listener.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin.expect("it has none")
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As [`ServerProcess::terminate`], without blocking this thread. Returns the output, too.
    pub(crate) async fn terminated(self) -> (Option<i32>, String) {
        self.begin_to_terminate();
        tokio::task::spawn_blocking(move || self.ended()).await.unwrap()
    }

    /// Waits until it ends by itself. Returns its exit code and output.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let mut output = String::new();
        // Of one that logs to a file there is none.
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut output).unwrap();
        }
        (self.child.wait().unwrap().code(), output)
    }

    /// Kills it with SIGKILL, at any moment.
    pub(crate) fn kill(mut self) {
        kill(&mut self.child);
    }

    /// Terminates it with SIGTERM, and returns its exit code.
    pub(crate) fn terminate(self) -> Option<i32> {
        self.begin_to_terminate();
        self.ended().0
    }

    /// As [`ServerProcess::terminate`], but nobody takes its output.
    pub(crate) fn terminate_unread(mut self) -> Option<i32> {
        self.begin_to_terminate();
        self.child.wait().unwrap().code()
    }

    /// Sends SIGTERM, and does not wait.
    pub(crate) fn begin_to_terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// It may not open another file, until what this gives is dropped.
    pub(crate) fn without_files(&self) -> WithoutFiles {
        let pid = Pid::from_child(&self.child);
        let none = Rlimit { current: Some(0), maximum: getrlimit(Resource::Nofile).maximum };
        WithoutFiles { pid, before: prlimit(Some(pid), Resource::Nofile, none).unwrap() }
    }

    /// Waits until it logs a line that contains `text`.
    pub(crate) fn wait_for_line(&mut self, text: &str) {
        let mut log = BufReader::new(self.child.stderr.as_mut().unwrap());
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended without {text:?}");
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

/// A server that may not open another file.
#[derive(Debug)]
pub(crate) struct WithoutFiles {
    pid: Pid,
    before: Rlimit,
}

impl Drop for WithoutFiles {
    fn drop(&mut self) {
        // It fails if the server has ended, which the test finds out itself.
        let _ = prlimit(Some(self.pid), Resource::Nofile, self.before);
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        kill(&mut self.child);
    }
}

/// Starts a server, and kills it during its start.
pub(crate) fn kill_while_starting(data_dir: &Path, after: std::time::Duration) {
    let mut child = spawn(data_dir);
    std::thread::sleep(after);
    kill(&mut child);
}

/// The address in the first line that a server prints.
fn spawn(data_dir: &Path) -> Child {
    serve(Command::new(PROGRAM), data_dir, "error")
}

fn serve(mut command: Command, data_dir: &Path, log: &str) -> Child {
    if !command.get_envs().any(|(name, _)| name == ADMIN_LISTEN) {
        // Many servers run at once, and the default port is one.
        command.env(ADMIN_LISTEN, "none");
    }
    command
        .env("WHIMBREL_LOG_FORMAT", "text")
        .args(["serve", "--json", "--listen", "127.0.0.1:0", "--log", log, "--data"])
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
