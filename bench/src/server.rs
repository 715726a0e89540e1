//! A server process that the bench started, with a folder of its own. Both are removed when it is
//! dropped. It never calls the server.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::{NamedTempFile, TempDir};
use tokio::time::sleep;

use crate::error::Error;
use crate::load::lock;
use crate::machine;

/// Longest time of a process to end after its signal.
const STOP_TIME_MAX: Duration = Duration::from_secs(60);
/// Time between two checks whether it has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Makes the command that starts the process with a data folder.
type Recipe = Box<dyn Fn(&Path) -> Command + Send + Sync>;

/// A server process and its data folder.
pub(crate) struct Server {
    recipe: Recipe,
    child: Mutex<Option<Child>>,
    /// Its standard error.
    stderr: NamedTempFile,
    /// Dropped after the process has ended.
    data: TempDir,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("pid", &self.pid()).finish_non_exhaustive()
    }
}

impl Server {
    /// A server with its data in `data`. [`Server::start`] starts the process.
    pub(crate) fn new(
        data: TempDir,
        recipe: impl Fn(&Path) -> Command + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let stderr = NamedTempFile::new()?;
        Ok(Self { recipe: Box::new(recipe), child: Mutex::new(None), stderr, data })
    }

    /// Starts the process. It may not serve yet.
    pub(crate) fn start(&self) -> Result<(), Error> {
        let mut command = (self.recipe)(self.data.path());
        let stderr = self.stderr.reopen()?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let child = command.spawn().map_err(|error| {
            let program = command.get_program().display();
            Error::Failed(format!("cannot run {program}: {error}"))
        })?;
        *lock(&self.child) = Some(child);
        Ok(())
    }

    /// The process id; 0 if no process runs.
    pub(crate) fn pid(&self) -> u32 {
        lock(&self.child).as_ref().map_or(0, Child::id)
    }

    /// The data folder.
    pub(crate) fn dir(&self) -> PathBuf {
        self.data.path().to_owned()
    }

    /// Whether the process has ended by itself.
    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.child).as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// Sends `signal` to the process, and waits until it ends.
    pub(crate) async fn stop(&self, signal: Signal) -> Result<(), Error> {
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            // Fails if the process has ended by itself.
            let _ = kill_process(pid, signal);
        }
        let asked = Instant::now();
        while !self.has_ended() {
            if asked.elapsed() > STOP_TIME_MAX {
                return Err(Error::Failed("it does not stop".to_owned()));
            }
            sleep(LOOK_INTERVAL).await;
        }
        *lock(&self.child) = None;
        Ok(())
    }

    /// Kills the process and its children, as a power cut would end them.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = lock(&self.child).take() {
            for pid in machine::family(child.id()) {
                if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            let _ = child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(Ok(Some(status))) = lock(&self.child).as_mut().map(Child::try_wait) {
            let stderr = fs::read_to_string(self.stderr.path()).unwrap_or_default();
            let last = stderr.lines().next_back().unwrap_or_default();
            eprintln!("a server ended by itself ({status}); its last words: {last}");
        }
        self.kill();
    }
}

/// A port that is free at this moment.
pub(crate) fn free_port() -> Result<u16, Error> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
