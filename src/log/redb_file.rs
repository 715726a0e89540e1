//! What the log's file and the index's file have in common: how redb is opened, and what its errors
//! mean. Knows nothing of tables.

use std::hash::BuildHasher;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::Builder;

use super::Error;

/// redb may panic over a file that was changed behind its back; that is damage, not a bug.
pub(super) fn guarded<T>(
    file: &Path,
    use_file: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(use_file)).unwrap_or_else(|_| {
        let what = "its pages contradict each other".to_owned();
        Err(Error::Damaged { file: file.to_owned(), what })
    })
}

/// Drops what belongs to a file that is damaged, which may panic too. To be kept outside of what
/// [`guarded`] runs: a second panic while the first unwinds would end the process.
pub(super) fn drop_guarded<T>(damaged: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(damaged)));
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
        error => Error::Storage { file, source: error.into() },
    }
}

/// A number that nobody else draws, from the keys that the standard library draws for its maps.
pub(super) fn random() -> u64 {
    std::hash::RandomState::new().hash_one(std::process::id())
}
