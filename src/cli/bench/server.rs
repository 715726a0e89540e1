//! The bench's own server: this program, in another process and a temporary folder. Never leaves
//! either behind when it is dropped.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tempfile::TempDir;
use tokio::time::timeout;

use super::machine;
use crate::cli::{Error, Output};

/// Longest wait until the server listens. An empty log takes milliseconds, a busy machine longer.
const START_TIME_MAX: Duration = Duration::from_secs(30);

/// A server in another process.
#[derive(Debug)]
pub(super) struct OwnServer {
    process: ServerProcess,
    address: String,
    /// After `process`, so that it is dropped later.
    _data: TempDir,
}

/// A process that is killed when dropped: the data that it wrote is not needed.
#[derive(Debug)]
struct ServerProcess(Child);

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Both fail if it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The line that the server prints once it listens.
#[derive(Deserialize)]
struct ServingLine {
    serving: ServingObject,
}

#[derive(Deserialize)]
struct ServingObject {
    listen: String,
}

impl OwnServer {
    /// Starts a server on a new folder in `data_in`.
    pub(super) async fn start(data_in: &Path) -> Result<Self, Error> {
        let data = tempfile::Builder::new()
            .prefix("whimbrel-bench-")
            .tempdir_in(data_in)
            .map_err(|source| Error::File { file: data_in.to_owned(), source })?;
        let (process, stdout) = spawn(data.path()).map_err(|error| failed(&error))?;
        let listening = tokio::task::spawn_blocking(|| first_line(stdout));
        let line = match timeout(START_TIME_MAX, listening).await {
            Ok(Ok(line)) => line.map_err(|error| failed(&error))?,
            Ok(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
            Err(_) => return Err(failed(&"it does not print where it listens")),
        };
        let ServingLine { serving: ServingObject { listen: address } } =
            serde_json::from_str(&line)
                .map_err(|_| failed(&"it ended before it listened; its error is above"))?;
        Ok(Self { process, address, _data: data })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.0.id()
    }
}

/// The folder for the data: `wanted`, or one on a disk if possible, because in memory a flush costs
/// nothing and the figures are too good. Prints the choice.
pub(super) fn data_in(wanted: Option<&Path>, output: Output) -> Result<PathBuf, Error> {
    let here = || PathBuf::from(".");
    let dir = match wanted {
        Some(dir) => dir.to_owned(),
        None => Some(std::env::temp_dir())
            .filter(|dir| !machine::is_in_memory(dir))
            .unwrap_or_else(here),
    };
    let unusable = |source| Error::File { file: dir.clone(), source };
    let dir = fs::canonicalize(&dir).map_err(unusable)?;
    output.note(&format!("server: one of its own, data in {}", dir.display()));
    if machine::is_in_memory(&dir) {
        output.note(
            "warning: that folder is in memory, where flushing costs nothing: the figures \
                     are not those of a durable server; choose another with --data-in",
        );
    }
    Ok(dir)
}

fn spawn(data: &Path) -> std::io::Result<(ServerProcess, ChildStdout)> {
    let mut serve = Command::new(std::env::current_exe()?);
    serve.args(["serve", "--json", "--listen", "127.0.0.1:0", "--log", "warn", "--data"]).arg(data);
    // It uses the default settings, whatever the environment of the bench sets.
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"WHIMBREL_") {
            serve.env_remove(name);
        }
    }
    // The port may be in use by another server.
    serve.env("WHIMBREL_ADMIN_LISTEN", "none");
    let mut child = serve.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take();
    let process = ServerProcess(child);
    Ok((process, stdout.ok_or(std::io::ErrorKind::BrokenPipe)?))
}

fn first_line(stdout: ChildStdout) -> std::io::Result<String> {
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    Ok(line)
}

fn failed(why: &dyn std::fmt::Display) -> Error {
    Error::OwnServer(why.to_string())
}
