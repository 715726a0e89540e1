//! What the log's file and the index's file have in common: how redb is opened and closed, and what
//! its errors and panics mean. Knows nothing of tables.

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
    /// How many [`guarded`] the thread is in.
    static GUARDED: Cell<usize> = const { Cell::new(0) };
}

/// redb may panic over a file that was changed behind its back; that is damage, not a bug. What it
/// has to say of it is in the error, and does not go to standard error.
pub(super) fn guarded<T>(
    file: &Path,
    use_file: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    quietly(use_file).unwrap_or_else(|panic| {
        let what = format!("its pages contradict each other: {}", message(panic.as_ref()));
        Err(Error::Damaged { file: file.to_owned(), what })
    })
}

/// An open file, and how it is closed. redb commits when it closes, and ends the process if it panics
/// over damage there; but not while a panic unwinds.
#[derive(Debug)]
pub(super) struct OpenFile {
    database: Option<Database>,
    is_closed_unwritten: AtomicBool,
}

impl OpenFile {
    /// One that is closed as redb does it, so that both of its last commits are the same; unless it
    /// is [found damaged](OpenFile::found_damaged).
    pub(super) fn new(database: Database) -> Self {
        Self { database: Some(database), is_closed_unwritten: AtomicBool::new(false) }
    }

    /// One that is closed without being written to. Only for a file of which every commit can be
    /// opened after a crash ([`redb::WriteTransaction::set_quick_repair`]), which so loses nothing.
    pub(super) fn closed_unwritten(database: Database) -> Self {
        let file = Self::new(database);
        file.found_damaged();
        file
    }

    /// What is in it is not what was written, so it is not written to any more when it is closed.
    pub(super) fn found_damaged(&self) {
        self.is_closed_unwritten.store(true, Ordering::SeqCst);
    }
}

impl Deref for OpenFile {
    type Target = Database;

    fn deref(&self) -> &Database {
        let Some(database) = &self.database else {
            unreachable!("it is taken only when it is dropped")
        };
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
        let _ = quietly(move || {
            let _dropped_then = database;
            if is_closed_unwritten {
                // What unwinds is nobody's panic, so no hook hears of it.
                resume_unwind(Box::new(()));
            }
        });
    }
}

fn quietly<T>(act: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    keep_panics_from_standard_error();
    GUARDED.set(GUARDED.get() + 1);
    let done = catch_unwind(AssertUnwindSafe(act));
    GUARDED.set(GUARDED.get() - 1);
    done
}

/// Those of threads that are in [`guarded`]; all others go where they went before.
fn keep_panics_from_standard_error() {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if GUARDED.try_with(Cell::get).unwrap_or(0) > 0 {
                tracing::debug!(%panic, "the storage library gave up on a file");
            } else {
                others(panic);
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

/// A number that nobody else draws, from the keys that the standard library draws for its maps.
pub(super) fn random() -> u64 {
    std::hash::RandomState::new().hash_one(std::process::id())
}
