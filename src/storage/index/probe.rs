//! Probing a file in another process: does opening it abort the process?
//!
//! Most damage makes redb return an error, or panic, and panics are caught. Some damage makes it
//! panic again while the first panic unwinds. Then the process aborts, and cannot prevent it. A
//! process that dies over the index leaves `index.busy` (see files.rs); but so does a process that
//! is killed. So the next start lets another process open the file first. It never repairs a file.
//!
//! ```text
//!   index.busy exists ──▶ probe ──┬── exits with 0     ──▶ Harmless: the file is opened
//!                                 ├── aborts, or hangs ──▶ Fatal: the file counts as damaged
//!                                 └── anything else    ──▶ Unknown: the file is opened
//! ```

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::files::{open_blocks, open_file};
use crate::storage::error::Error;
use crate::storage::redb_file::{guarded, storage};

/// Longest time of a probe. A file of any size opens far below a second on a disk that works.
const PROBE_TIME_MAX: Duration = Duration::from_secs(30);
/// Time between two checks whether the probe has exited.
const PROBE_POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Memory for pages in the process of the probe.
const CACHE_BYTES: usize = 1 << 20;

/// Signals that another process sends to stop one. An abort raises none of them.
const FOREIGN_SIGNALS: [Signal; 5] =
    [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];

/// A program that calls [`probe_index`] with the path that is its last argument.
#[derive(Clone, Debug)]
pub struct Probe {
    program: PathBuf,
    arguments: Vec<OsString>,
}

/// The result of a probe.
#[derive(Debug)]
pub(super) enum ProbeResult {
    /// A process can open the file.
    Harmless,
    /// A process that opens the file aborts or hangs.
    Fatal(String),
    /// The probe failed for another reason.
    Unknown(String),
}

impl Probe {
    /// A probe that runs `program` with `arguments`, followed by the path of the file.
    #[must_use]
    pub fn new(program: PathBuf, arguments: Vec<OsString>) -> Self {
        Self { program, arguments }
    }

    /// Runs the probe on `file` and waits for it, at most [`PROBE_TIME_MAX`].
    pub(super) fn run(&self, file: &Path) -> ProbeResult {
        let spawned = Command::new(&self.program)
            .args(&self.arguments)
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match spawned.and_then(exit_status) {
            Ok(Some(status)) => result(status),
            Ok(None) => ProbeResult::Fatal("it does not exit".to_owned()),
            Err(error) => ProbeResult::Unknown(error.to_string()),
        }
    }
}

/// The exit status of `child`; `None` if it was killed after [`PROBE_TIME_MAX`].
fn exit_status(mut child: Child) -> std::io::Result<Option<ExitStatus>> {
    let began = Instant::now();
    while began.elapsed() < PROBE_TIME_MAX {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(PROBE_POLL_INTERVAL);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn result(status: ExitStatus) -> ProbeResult {
    let Some(signal) = status.signal() else {
        return match status.code() {
            Some(0) => ProbeResult::Harmless,
            _ => ProbeResult::Unknown(status.to_string()),
        };
    };
    if FOREIGN_SIGNALS.iter().any(|foreign| foreign.as_raw() == signal) {
        ProbeResult::Unknown(status.to_string())
    } else {
        ProbeResult::Fatal(status.to_string())
    }
}

/// Opens the index in `file`, commits to it, and closes it. No row changes. The calling process may
/// abort: call it in a process of its own.
///
/// # Errors
/// The file cannot be used. For a probe that is a success: the next process gets the same error.
pub fn probe_index(file: &Path) -> Result<(), Error> {
    guarded(file, || {
        let opened = open_file(file).map_err(|error| storage(file, error))?;
        let (database, _) = open_blocks(opened, file, CACHE_BYTES)?;
        // Two commits: the second may reuse pages that the first freed.
        for _ in 0..2 {
            let commit = || -> Result<(), redb::Error> {
                let mut transaction = database.begin_write()?;
                transaction.set_quick_repair(true);
                Ok(transaction.commit()?)
            };
            commit().map_err(|error| storage(file, error))?;
        }
        Ok(())
    })
}
