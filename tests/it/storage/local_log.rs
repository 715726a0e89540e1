//! The local log passes the conformance suite of all logs, locks its folder, opens with little
//! memory, and is read while its segments are rewritten.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use whimbrel::model::{Change, Content, Event, Revision, Timestamp};
use whimbrel::storage::conformance::{self, LogUnderTest};
use whimbrel::storage::{EraseOutcome, Erasure, LocalLog, Log, LogOptions};

use crate::harness::core::{post, user};
use crate::harness::{LOG_OPTIONS, MemoryFolder};

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

/// A start after a kill holds a part of the newest segment in memory, whatever its size.
#[test]
fn an_opening_reads_a_segment_in_parts() {
    const PART_BYTES: usize = 1 << 20;
    let folder = MemoryFolder::default();
    let options = LogOptions { segment_bytes_max: 8 << 20, ..LOG_OPTIONS };
    let log = LocalLog::with_folder(folder.clone(), options).unwrap();
    let batch = vec![published(&"a long text ".repeat(20)); 100];
    let bytes_at_least = |log: &LocalLog| log.head().get() as usize * 240;
    while bytes_at_least(&log) < 3 * PART_BYTES {
        log.append(log.head(), batch.clone()).unwrap();
    }
    let head = log.head();
    // As a kill leaves it: a stop would seal the segment.
    let left = folder.files();
    drop(log);

    let folder = MemoryFolder::holding(left);
    let log = LocalLog::with_folder(folder.clone(), options).unwrap();
    assert_eq!(log.head(), head);
    let read = folder.take_read_bytes_max();
    assert!((1..=PART_BYTES).contains(&read), "{read} bytes were read at once");
}

/// A read during a rewrite is of the old file or of the new one, never a mixture.
#[test]
fn a_rewrite_disturbs_no_read() {
    const POSTS: u64 = 600;
    let log = LocalLog::with_folder(MemoryFolder::default(), LOG_OPTIONS).unwrap();
    log.append(Revision::ZERO, vec![published("a text"); POSTS as usize]).unwrap();

    let all_erased = AtomicBool::new(false);
    let read = |number| {
        while !all_erased.load(Ordering::SeqCst) {
            assert!(log.get(Revision::new(number)).unwrap().is_some());
        }
    };
    let erase = |number| {
        let number = Revision::new(number);
        log.erase(&Erasure { posts: vec![number], until: number }, &|| true)
    };
    std::thread::scope(|scope| {
        // The more readers, the more often one opens a file while it is replaced.
        scope.spawn(|| read(1));
        scope.spawn(|| read(POSTS / 2));
        let failed = (1..=POSTS).rev().map(erase).find(|it| !matches!(it, Ok(EraseOutcome::Done)));
        all_erased.store(true, Ordering::SeqCst);
        assert!(failed.is_none(), "{failed:?}");
    });
}

fn published(text: &str) -> Event {
    let content = Content::from_text(post(text));
    let change = Change::Publish { author: user("alice"), content, request_id: None };
    Event::new(Timestamp::default(), change)
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
