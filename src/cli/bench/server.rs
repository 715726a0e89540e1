//! A server of the bench's own: this same program, in a process and a folder of its own, both gone
//! when it is dropped.

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

/// How long the server has to listen: an empty log takes milliseconds, a busy machine longer.
const START_TIME_MAX: Duration = Duration::from_secs(30);

/// A process that serves.
#[derive(Debug)]
pub(super) struct Server {
    process: Process,
    address: String,
    /// Dropped after the process, as fields are in order.
    _data: TempDir,
}

/// Is killed when dropped: nothing that it has written is wanted.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the server says once it listens.
#[derive(Deserialize)]
struct FirstLine {
    serving: Serving,
}

#[derive(Deserialize)]
struct Serving {
    listen: String,
}

impl Server {
    /// Starts a server on an empty folder in `data_in`.
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
            Err(_) => return Err(failed(&"it does not say where it listens")),
        };
        let FirstLine { serving: Serving { listen: address } } = serde_json::from_str(&line)
            .map_err(|_| failed(&"it ended before it listened; it has said above why"))?;
        Ok(Self { process, address, _data: data })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.0.id()
    }
}

/// Where the data goes: on a disk if there is one at hand, because in memory a flush is free and
/// every figure too good. Says what was chosen.
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

fn spawn(data: &Path) -> std::io::Result<(Process, ChildStdout)> {
    let mut serve = Command::new(std::env::current_exe()?);
    serve.args(["serve", "--json", "--listen", "127.0.0.1:0", "--log", "warn", "--data"]).arg(data);
    // Its settings are the defaults, whatever those of the bench's surroundings are.
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"WHIMBREL_") {
            serve.env_remove(name);
        }
    }
    let mut child = serve.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take();
    let process = Process(child);
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
