//! The lock of a data folder: one process uses a folder at a time. Never waits for it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::error::Error;
use super::redb_file::storage;

/// The name of the lock in a data folder.
pub(super) const LOCK_FILE: &str = "lock";

/// The lock of a folder, held by this process until it is dropped.
#[derive(Debug)]
pub(super) struct FolderLock(File);

impl FolderLock {
    /// Locks the folder, which it creates if necessary, and writes the process id into the lock
    /// file.
    ///
    /// # Errors
    /// [`Error::InUse`], or the file cannot be opened or locked.
    pub(super) fn acquire(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(LOCK_FILE);
        fs::create_dir_all(dir).map_err(|error| storage(dir, error))?;
        let open =
            || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open().map_err(|error| storage(&path, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The holder is only a help in the message, which may lack it.
                let _ = file.read_to_string(&mut holder);
                let holder = Some(holder.trim().to_owned()).filter(|holder| !holder.is_empty());
                return Err(Error::InUse { dir: dir.to_owned(), holder });
            }
            Err(fs::TryLockError::Error(error)) => return Err(storage(&path, error)),
        }
        let mut name_holder = || {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "process {}", std::process::id())
        };
        // Not an error either: a full disk has no room for it.
        if let Err(error) = name_holder() {
            tracing::debug!(%error, "the lock file does not name its holder");
        }
        Ok(Self(file))
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child process that was started, and has not executed
        // its program yet, shares the open file and with it the lock.
        if let Err(error) = self.0.unlock() {
            tracing::debug!(%error, "the data folder stays locked until the process ends");
        }
    }
}
