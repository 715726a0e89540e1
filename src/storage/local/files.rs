//! The files of the log: the current one, and a copy that replaces it. Never reads a table.
//!
//! ```text
//!   log.redb             the current file
//!   log.redb.new         a new log; renamed to log.redb when its tables are durable
//!   log.redb.compacted   a copy by a compaction; renamed over log.redb when it is complete
//! ```

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{Database, StorageBackend};

use super::StorageOptions;
use crate::storage::error::Error;
use crate::storage::folder_lock::FolderLock;
use crate::storage::free_space::FreeSpace;
use crate::storage::index::FILES;
use crate::storage::redb_file::{builder, storage};

/// The current file of a log, and a copy of it during a compaction.
pub(super) trait LogFiles: Send + Sync + std::fmt::Debug {
    /// The path of the copy, for errors.
    fn copy_name(&self) -> &Path;

    /// Fails with [`Error::DiskFull`] while less than the reserve is free.
    fn check_room(&self) -> Result<(), Error>;

    /// Creates an empty copy, if the disk has room for a copy of the whole log. No other copy may
    /// be open.
    fn make_copy(&self) -> Result<Database, Error>;

    /// Makes the copy the current file. The content of the copy must be durable; the exchange is
    /// durable when it returns. After a failure or a crash the next opening finds either file.
    fn exchange(&self) -> Result<(), Error>;

    /// Removes the copy, which must not be open.
    fn remove_copy(&self) -> Result<(), Error>;

    /// Fails if the next opening would not find the current file.
    fn check(&self) -> Result<(), Error>;
}

/// Storage that the caller provides for the file of a log or an index, without a folder.
pub trait StorageFiles: Send + Sync + std::fmt::Debug + 'static {
    /// A file.
    type File: StorageBackend;

    /// The current file; empty for a new log or index.
    fn current(&self) -> Self::File;

    /// Creates an empty copy. Earlier copies are not used any more.
    fn make_copy(&self) -> io::Result<Self::File>;

    /// Makes the last copy the current file. Durable when it returns.
    fn exchange(&self) -> io::Result<()>;
}

/// The log's files in a folder, which is locked by this process.
#[derive(Debug)]
pub(super) struct LogFolder {
    dir: PathBuf,
    file: PathBuf,
    copy: PathBuf,
    cache_bytes: usize,
    space: FreeSpace,
    /// The device and the inode of the current file, once it is open. Locked during an exchange.
    in_use: Mutex<Option<(u64, u64)>>,
    _lock: FolderLock,
}

/// The log's file in storage that the caller provides.
#[derive(Debug)]
pub(super) struct CustomLogFiles<F> {
    files: F,
    file: PathBuf,
    copy: PathBuf,
    cache_bytes: usize,
}

impl LogFolder {
    /// Locks the folder, which it creates if necessary, and removes an unfinished copy.
    ///
    /// Fails with [`Error::Missing`] if the folder has a file that is derived from a log, but no
    /// log.
    pub(super) fn open(dir: &Path, options: StorageOptions) -> Result<Self, Error> {
        let folder = Self {
            _lock: FolderLock::acquire(dir)?,
            dir: dir.to_owned(),
            file: dir.join("log.redb"),
            copy: dir.join("log.redb.compacted"),
            cache_bytes: options.cache_bytes,
            space: FreeSpace::new(dir.to_owned(), options.disk_free_bytes_min),
            in_use: Mutex::default(),
        };
        if !is_there(&folder.file)? {
            let made_from_it = FILES.iter().map(|name| dir.join(name));
            for made_from_it in made_from_it.chain([folder.copy.clone()]) {
                if is_there(&made_from_it)? {
                    return Err(Error::Missing { file: folder.file, made_from_it });
                }
            }
        }
        folder.remove_copy()?;
        Ok(folder)
    }

    /// The path of the current file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Opens the current file. If there is none, `begin` fills a new file under another name first:
    /// a power cut must not leave an unfinished `log.redb`.
    pub(super) fn open_file(
        &self,
        begin: impl FnOnce(&Database, &Path) -> Result<(), Error>,
    ) -> Result<Database, Error> {
        if !is_there(&self.file)? {
            let new = self.dir.join("log.redb.new");
            remove(&new)?;
            let database =
                builder(self.cache_bytes).create(&new).map_err(|error| storage(&new, error))?;
            begin(&database, &new)?;
            drop(database);
            self.put_in_place(&new)?;
        }
        let opened = builder(self.cache_bytes).open(&self.file);
        let opened = opened.map_err(|error| storage(&self.file, error))?;
        let number = number_of(&self.file).map_err(|error| storage(&self.file, error))?;
        *self.in_use() = Some(number);
        Ok(opened)
    }

    fn put_in_place(&self, new: &Path) -> Result<(), Error> {
        let mut in_use = self.in_use();
        let rename = || {
            let number = number_of(new)?;
            File::open(new)?.sync_all()?;
            fs::rename(new, &self.file)?;
            File::open(&self.dir)?.sync_all()?;
            Ok(number)
        };
        *in_use = Some(rename().map_err(|error: io::Error| storage(&self.file, error))?);
        Ok(())
    }

    fn in_use(&self) -> MutexGuard<'_, Option<(u64, u64)>> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogFiles for LogFolder {
    fn copy_name(&self) -> &Path {
        &self.copy
    }

    fn check_room(&self) -> Result<(), Error> {
        self.space.check()
    }

    fn make_copy(&self) -> Result<Database, Error> {
        let file = fs::metadata(&self.file).map_err(|error| storage(&self.file, error))?;
        self.space.check_for_copy(file.len())?;
        // A copy that an earlier call could not remove has the posts that are to be erased.
        self.remove_copy()?;
        builder(self.cache_bytes).create(&self.copy).map_err(|error| storage(&self.copy, error))
    }

    fn exchange(&self) -> Result<(), Error> {
        self.put_in_place(&self.copy)
    }

    fn remove_copy(&self) -> Result<(), Error> {
        remove(&self.copy)
    }

    fn check(&self) -> Result<(), Error> {
        let in_use = self.in_use();
        match number_of(&self.file) {
            Ok(found) if *in_use == Some(found) => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(storage(&self.file, error))
            }
            _ => Err(Error::Replaced { file: self.file.clone() }),
        }
    }
}

impl<F: StorageFiles> CustomLogFiles<F> {
    pub(super) fn new(files: F, name: &str, options: StorageOptions) -> Self {
        let (file, copy) = (PathBuf::from(name), PathBuf::from(format!("{name}.compacted")));
        Self { files, file, copy, cache_bytes: options.cache_bytes }
    }

    /// The name of the current file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Opens the current file.
    pub(super) fn open_file(&self) -> Result<Database, Error> {
        builder(self.cache_bytes)
            .create_with_backend(self.files.current())
            .map_err(|error| storage(&self.file, error))
    }
}

impl<F: StorageFiles> LogFiles for CustomLogFiles<F> {
    fn copy_name(&self) -> &Path {
        &self.copy
    }

    fn check_room(&self) -> Result<(), Error> {
        Ok(())
    }

    fn make_copy(&self) -> Result<Database, Error> {
        let file = self.files.make_copy().map_err(|error| storage(&self.copy, error))?;
        builder(self.cache_bytes)
            .create_with_backend(file)
            .map_err(|error| storage(&self.copy, error))
    }

    fn exchange(&self) -> Result<(), Error> {
        self.files.exchange().map_err(|error| storage(&self.file, error))
    }

    fn remove_copy(&self) -> Result<(), Error> {
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}

fn is_there(file: &Path) -> Result<bool, Error> {
    file.try_exists().map_err(|error| storage(file, error))
}

/// The device and the inode of a file. Together they identify it.
fn number_of(file: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(file)?;
    Ok((metadata.dev(), metadata.ino()))
}

fn remove(file: &Path) -> Result<(), Error> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(storage(file, error)),
        _ => Ok(()),
    }
}
