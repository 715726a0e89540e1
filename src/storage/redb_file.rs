//! Opening and closing a redb file, and the meaning of redb's errors and panics. The log and the
//! index share it. It never reads a table.

use std::any::Any;
use std::cell::Cell;
use std::hash::BuildHasher;
use std::ops::Deref;
use std::panic::{self, AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{Builder, Database};

use super::error::Error;

thread_local! {
    /// Depth of nested [`guarded`] calls on this thread.
    static GUARD_DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Runs `use_file` and turns a panic into [`Error::Damaged`]: redb may panic over a file that
/// another program changed, which is damage and no bug. The panic's message is in the error and is
/// not printed to standard error.
pub(super) fn guarded<T>(
    file: &Path,
    use_file: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    catch_silently(use_file).unwrap_or_else(|panic| {
        let what = format!("its pages contradict each other: {}", message(panic.as_ref()));
        Err(Error::Damaged { file: file.to_owned(), what })
    })
}

/// An open redb file, and how it is closed. redb commits when a database is dropped, except during
/// a panic; a panic over damage during that commit aborts the process.
///
/// ```text
///   new ──▶ closed with a commit ── found_damaged ──▶ closed without a commit
///                                                            ▲
///   closed_unwritten ────────────────────────────────────────┘
/// ```
#[derive(Debug)]
pub(super) struct OpenFile {
    database: Option<Database>,
    is_closed_unwritten: AtomicBool,
}

impl OpenFile {
    /// A file that redb commits to when it is closed, so that the last two commits are equal.
    /// [`OpenFile::found_damaged`] switches that off.
    pub(super) fn new(database: Database) -> Self {
        Self { database: Some(database), is_closed_unwritten: AtomicBool::new(false) }
    }

    /// A file that is closed without a commit. Nothing is lost only if every commit of the file
    /// can be opened after a crash ([`redb::WriteTransaction::set_quick_repair`]).
    pub(super) fn closed_unwritten(database: Database) -> Self {
        let file = Self::new(database);
        file.found_damaged();
        file
    }

    /// The file is damaged: closing it does not write to it.
    pub(super) fn found_damaged(&self) {
        self.is_closed_unwritten.store(true, Ordering::SeqCst);
    }
}

impl Deref for OpenFile {
    type Target = Database;

    fn deref(&self) -> &Database {
        let Some(database) = &self.database else { unreachable!("only drop takes the database") };
        database
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let database = self.database.take();
        if std::thread::panicking() {
            return;
        }
        let is_closed_unwritten = self.is_closed_unwritten.load(Ordering::SeqCst);
        let _ = catch_silently(move || {
            let _dropped_then = database;
            if is_closed_unwritten {
                // Unwinding makes redb skip the commit. It runs no panic hook.
                resume_unwind(Box::new(()));
            }
        });
    }
}

fn catch_silently<T>(act: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    hook_panics();
    GUARD_DEPTH.set(GUARD_DEPTH.get() + 1);
    let done = catch_unwind(AssertUnwindSafe(act));
    debug_assert!(GUARD_DEPTH.get() > 0, "the depth falls only here");
    GUARD_DEPTH.set(GUARD_DEPTH.get() - 1);
    done
}

/// Logs panics on threads inside [`guarded`] at level debug. All other panics go to the hook that
/// was installed before.
fn hook_panics() {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if GUARD_DEPTH.try_with(Cell::get).unwrap_or(0) > 0 {
                tracing::debug!(%panic, "the storage library panicked over a file");
            } else {
                previous(panic);
            }
        }));
    });
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given")
}

pub(super) fn builder(cache_bytes: usize) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes);
    builder
}

/// The storage error of `file` for an error of redb or of the file system.
pub(super) fn storage(file: &Path, error: impl Into<redb::Error>) -> Error {
    let file = file.to_owned();
    match error.into() {
        redb::Error::Corrupted(what) => Error::Damaged { file, what },
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Error::Damaged { file, what: error.to_string() }
        }
        redb::Error::Io(error) => Error::Storage { file, source: error.into() },
        error => Error::Storage { file, source: error.into() },
    }
}

/// A random number, from the keys that the standard library draws for its maps.
pub(super) fn random() -> u64 {
    std::hash::RandomState::new().hash_one(std::process::id())
}
