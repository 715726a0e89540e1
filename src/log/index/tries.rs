//! Starts that died while they opened the index. A damaged file can make redb end the process, which
//! no error can tell of; so each try is noted before it begins, and after some the file is given up.
//! Knows nothing of what is in it.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::Error;
use super::super::redb_file::storage;

/// Tries that may die before the index is given up: more than one, because a start can be killed for
/// other reasons.
const TRIES_MAX: usize = 2;

/// The tries at opening the index of one folder: a file that has a byte for each that is not over.
#[derive(Debug)]
pub(super) struct Tries(PathBuf);

impl Tries {
    pub(super) fn of(dir: &Path) -> Self {
        Self(dir.join("index.opening"))
    }

    /// Notes that one begins. Whether it should: not if too many have died.
    pub(super) fn begin(&self) -> Result<bool, Error> {
        // Without the file, or if it cannot be read, none has.
        let died = fs::read(&self.0).map_or(0, |noted| noted.len());
        if died < TRIES_MAX {
            fs::write(&self.0, vec![b'.'; died + 1]).map_err(|error| storage(&self.0, error))?;
        }
        Ok(died < TRIES_MAX)
    }

    /// The process has outlived it, and so forgets all.
    pub(super) fn over(&self) -> Result<(), Error> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(storage(&self.0, error))
            }
            _ => Ok(()),
        }
    }
}
