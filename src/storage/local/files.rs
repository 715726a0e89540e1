//! Where a log's file is, and how another takes its files. Knows nothing of what is in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{Database, StorageBackend};

use super::StorageOptions;
use crate::storage::error::Error;
use crate::storage::free_space::FreeSpace;
use crate::storage::index::FILES;
use crate::storage::redb_file::{builder, storage};

/// Where the file in use is, and a copy of it while one is being made.
pub(super) trait LogFiles: Send + Sync + std::fmt::Debug {
    /// The name of the copy, for errors.
    fn copy_name(&self) -> &Path;

    /// Fails with [`Error::DiskFull`] while so little space is left that nothing more is written.
    fn check_room(&self) -> Result<(), Error>;

    /// Makes an empty copy, if there is room for all of it. Nobody has another.
    fn make_copy(&self) -> Result<Database, Error>;

    /// Puts the copy, whose content is durable, in the place of the file in use. That is durable
    /// when it returns. If it fails, or is cut off, either of them is in use from then on.
    fn exchange(&self) -> Result<(), Error>;

    /// Removes the copy, which nobody has open.
    fn remove_copy(&self) -> Result<(), Error>;

    /// Fails if the file in use is not where the next opening looks for it.
    fn check(&self) -> Result<(), Error>;
}

/// Storage of a caller's for the file of a log, for where there is no folder.
pub trait StorageFiles: Send + Sync + std::fmt::Debug + 'static {
    /// A file.
    type File: StorageBackend;

    /// The one in use; empty, if the log is new.
    fn current(&self) -> Self::File;

    /// Another, empty one beside it. Those that were made before are not needed any more.
    fn make_copy(&self) -> io::Result<Self::File>;

    /// Puts the copy that was made last in the place of the file in use, which is durable when
    /// it returns.
    fn exchange(&self) -> io::Result<()>;
}

/// A folder, locked for this process.
#[derive(Debug)]
pub(super) struct LogFolder {
    dir: PathBuf,
    file: PathBuf,
    copy: PathBuf,
    cache_bytes: usize,
    space: FreeSpace,
    /// The device and the number of the file in use, once it is open. Held while another takes its
    /// files.
    in_use: Mutex<Option<(u64, u64)>>,
    /// Held for its lock, which ends with the process or with this.
    _lock: File,
}

/// Storage of the caller's.
#[derive(Debug)]
pub(super) struct CustomLogFiles<F> {
    files: F,
    file: PathBuf,
    copy: PathBuf,
    cache_bytes: usize,
}

impl LogFolder {
    /// Takes the folder, making it if it is not there, and removes what a crash left in it. Not if
    /// the log is gone from it: what is made from a log is never there without one.
    pub(super) fn take(dir: &Path, options: StorageOptions) -> Result<Self, Error> {
        let folder = Self {
            _lock: lock(dir)?,
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

    /// The name of the file in use.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// The file in use. A new one gets its content from `begin` under another name first: a power
    /// cut must not leave half a file under its own.
    pub(super) fn open(
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
        // One that could not be removed has what is to be erased in it.
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

    /// The name of the file in use.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// The file in use.
    pub(super) fn open(&self) -> Result<Database, Error> {
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

/// The device that a file is on, and its number there: another file has others.
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

/// Takes the folder for this process, and writes into the lock file who has it.
fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join("lock");
    fs::create_dir_all(dir).map_err(|error| storage(dir, error))?;
    let open =
        || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = open().map_err(|error| storage(&path, error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who has it is a help in the message, and may be missing from it.
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
    // Likewise: on a full disk there is no room for it.
    if let Err(error) = name_holder() {
        tracing::debug!(%error, "the lock does not say who has it");
    }
    Ok(file)
}
