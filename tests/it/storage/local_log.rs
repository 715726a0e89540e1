//! The local log passes the conformance suite of all logs, and locks its folder.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use whimbrel::storage::conformance::{self, LogUnderTest};
use whimbrel::storage::{LocalLog, Log};

use crate::harness::LOG_OPTIONS;

struct Folder {
    dir: PathBuf,
    _kept: tempfile::TempDir,
}

impl LogUnderTest for Folder {
    fn open(&self) -> Arc<dyn Log> {
        Arc::new(LocalLog::open(&self.dir, LOG_OPTIONS).unwrap())
    }
}

/// The suite that every implementation of `Log` passes.
#[test]
fn the_local_log_conforms() {
    conformance::check(|| {
        let kept = tempfile::tempdir().unwrap();
        Folder { dir: kept.path().join("data"), _kept: kept }
    });
}

/// The folder is free once the log is closed, even while a child process shares the open lock file,
/// as each child does between its start and the execution of its program.
#[test]
fn a_closed_log_frees_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let log = LocalLog::open(folder.path(), LOG_OPTIONS).unwrap();
    let _shared = duplicate_of(&folder.path().join("lock"));
    drop(log);
    LocalLog::open(folder.path(), LOG_OPTIONS).unwrap();
}

/// Another descriptor of a file that this process has open.
fn duplicate_of(file: &Path) -> OwnedFd {
    let open = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap());
    let of_file = |entry: &fs::DirEntry| fs::read_link(entry.path()).is_ok_and(|path| path == file);
    let entry = open.into_iter().find(of_file).expect("the file is open");
    let number = entry.file_name().to_str().unwrap().parse().unwrap();
    let process = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    pidfd_getfd(process, number, PidfdGetfdFlags::empty()).unwrap()
}
