//! Makes calls of the C library fail inside of a server, and shifts its clock: by `shim.c`, which is loaded
//! before the library, and which a page of memory controls.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::case::Missing;
use crate::machine::compile;
use crate::server::Setup;

/// Where the fields of `struct control` in `shim.c` begin.
const SYNC_ERRNO: u64 = 0;
const WRITE_ERRNO: u64 = 8;
const FAILED: u64 = 16;
const CLOCK_S: u64 = 24;
const CALLS: u64 = 32;
const KILL_AT: u64 = 40;
const IS_LATE: u64 = 48;
const PATH: u64 = 56;
const THREAD: u64 = PATH + TEXT_BYTES as u64;
const TEXT_BYTES: usize = 64;
const BYTES: u64 = THREAD + TEXT_BYTES as u64;

/// A call that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Write,
    Flush,
}

/// The control of the servers that it was set up for. All succeeds until it is used.
pub(crate) struct Shim {
    library: PathBuf,
    page: File,
    folder: TempDir,
}

impl Shim {
    pub(crate) fn new() -> Result<Self, Missing> {
        let folder = tempfile::tempdir().expect("a folder");
        let library = compile(folder.path(), "shim.c", &["-shared", "-fPIC", "-ldl"])?;
        let page = File::create_new(folder.path().join("control")).expect("a file");
        page.set_len(BYTES).expect("a few bytes");
        Ok(Self { library, page, folder })
    }

    /// Loads it into servers of `setup`.
    pub(crate) fn in_servers(&self, setup: Setup) -> Setup {
        let control = self.folder.path().join("control");
        let setup = setup.variable("LD_PRELOAD", self.library.to_str().expect("UTF-8"));
        setup.variable("FAULTS_CONTROL", control.to_str().expect("UTF-8"))
    }

    /// From now on such calls fail with `error` on files whose paths have `path` in them.
    pub(crate) fn fail(&self, call: Call, error: i32, path: &str) {
        self.put_text(PATH, path);
        self.put(if call == Call::Write { WRITE_ERRNO } else { SYNC_ERRNO }, error.into());
    }

    /// All succeeds again. How many calls have failed.
    pub(crate) fn heal(&self) -> u64 {
        self.put(WRITE_ERRNO, 0);
        self.put(SYNC_ERRNO, 0);
        let failed = self.failed();
        self.put(FAILED, 0);
        failed
    }

    /// How many calls have failed since it was healed.
    pub(crate) fn failed(&self) -> u64 {
        self.get(FAILED)
    }

    /// Counts calls that write, flush, rename or remove files whose paths have `path` in them, from now on.
    pub(crate) fn count(&self, path: &str) {
        self.kill_at(0, path);
    }

    /// The process is killed at the `number`th such call from now on, before it or after it; never if it
    /// is 0. Before a write, half of it is written.
    pub(crate) fn kill_at(&self, number: u64, path: &str) {
        self.put(KILL_AT, 0);
        self.put_text(PATH, path);
        self.put(IS_LATE, i64::from(fastrand::bool()));
        self.put(CALLS, 0);
        self.put(KILL_AT, number.cast_signed());
    }

    /// How many such calls there were.
    pub(crate) fn calls(&self) -> u64 {
        self.get(CALLS)
    }

    /// Shifts the time of day by so many seconds.
    pub(crate) fn shift_clock(&self, seconds: i64) {
        self.put(CLOCK_S, seconds);
    }

    /// The next reading of the monotonic clock by a thread of this name fails, so that it panics. It is not
    /// any more once that has happened.
    pub(crate) fn panic_in(&self, thread: &str) {
        self.put_text(THREAD, thread);
    }

    /// Whether the thread has not panicked yet.
    pub(crate) fn waits_for_panic(&self) -> bool {
        let mut byte = [0];
        self.page.read_exact_at(&mut byte, THREAD).expect("it is there");
        byte != [0]
    }

    fn get(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.page.read_exact_at(&mut bytes, at).expect("it is there");
        u64::from_le_bytes(bytes)
    }

    fn put(&self, at: u64, value: i64) {
        self.page.write_all_at(&value.to_le_bytes(), at).expect("it is there");
    }

    fn put_text(&self, at: u64, text: &str) {
        let mut bytes = [0; TEXT_BYTES];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        self.page.write_all_at(&bytes, at).expect("it is there");
    }
}
