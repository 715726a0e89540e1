//! ProbeResult out whether a file ends the process that opens it, by another process.
//!
//! Most damage makes redb give an error, or panic, which is caught. Some makes it panic once more
//! while the first panic unwinds, and then the process aborts, which nothing in it can prevent. A
//! process that dies over the index leaves a note (see files.rs); but it may just as well have been
//! killed. So the next one lets another process open the file before it does so itself.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::files::{open_blocks, open_file};
use crate::storage::error::Error;
use crate::storage::redb_file::{guarded, storage};

/// How long a look may take: opening takes the same time at any size of the file, far below a
/// second on a disk that works.
const LOOK_TIME_MAX: Duration = Duration::from_secs(30);
/// How often is asked whether it is over.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// Memory of the process that looks.
const CACHE_BYTES: usize = 1 << 20;

/// Signals by which a process is ended from outside.
const FROM_OUTSIDE: [Signal; 5] =
    [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];

/// A program that, given the name of a file, does to it what [`probe_index`] does, and ends.
#[derive(Clone, Debug)]
pub struct Probe {
    program: PathBuf,
    arguments: Vec<OsString>,
}

/// What came of a look.
#[derive(Debug)]
pub(super) enum ProbeResult {
    /// Whoever opens the file lives.
    Harmless,
    /// Whoever opens the file dies.
    Deadly(String),
    /// The look itself failed.
    Unknown(String),
}

impl Probe {
    /// Runs `program` with `arguments`, and the name of the file after them.
    #[must_use]
    pub fn new(program: PathBuf, arguments: Vec<OsString>) -> Self {
        Self { program, arguments }
    }

    pub(super) fn run(&self, file: &Path) -> ProbeResult {
        let spawned = Command::new(&self.program)
            .args(&self.arguments)
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match spawned.and_then(ended) {
            Ok(Some(status)) => finding(status),
            Ok(None) => ProbeResult::Deadly("it does not come to an end".to_owned()),
            Err(error) => ProbeResult::Unknown(error.to_string()),
        }
    }
}

/// How `child` ended; `None` if it did not in time.
fn ended(mut child: Child) -> std::io::Result<Option<ExitStatus>> {
    let began = Instant::now();
    while began.elapsed() < LOOK_TIME_MAX {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn finding(status: ExitStatus) -> ProbeResult {
    let Some(signal) = status.signal() else {
        return match status.code() {
            Some(0) => ProbeResult::Harmless,
            _ => ProbeResult::Unknown(status.to_string()),
        };
    };
    if FROM_OUTSIDE.iter().any(|outside| outside.as_raw() == signal) {
        ProbeResult::Unknown(status.to_string())
    } else {
        ProbeResult::Deadly(status.to_string())
    }
}

/// Opens the index in `file`, commits to it, and closes it, all without changing what is in it: to
/// be called in a process of its own, which may die of it.
///
/// # Errors
/// The file cannot be used. That is for whoever opens it afterwards to find: here it is good news.
pub fn probe_index(file: &Path) -> Result<(), Error> {
    guarded(file, || {
        let opened = open_file(file).map_err(|error| storage(file, error))?;
        let (database, _) = open_blocks(opened, file, CACHE_BYTES)?;
        // Two: what one has freed the next may take.
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
