//! Where the index's files are: the one in use, and one that is being made to take its place. Knows
//! nothing of what is in them.
//!
//! ```text
//!   index.redb        in use, until another is whole
//!   index.redb.new    being made, from the log; renamed once it is whole, or if there is none
//!   index.busy        while one of them is opened or written, see probe.rs
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use redb::backends::FileBackend;
use redb::{Database, StorageBackend};

use super::blocks::{self, CheckedBlocks, Damage};
use super::probe::{Probe, ProbeResult};
use super::{Error, FORMAT, FORMAT_WITHOUT_BLOCKS};
use crate::storage::StorageFiles;
use crate::storage::redb_file::{builder, storage};

/// How long to wait for another process to let go of a file: one that looked into it for a start
/// that was killed.
const RELEASE_TIME_MAX: Duration = Duration::from_secs(2);
/// How often is looked whether it has.
const RELEASE_LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// FileRole of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileRole {
    /// The one in use.
    Current,
    /// The one that is being made.
    New,
}

/// Where the files are.
pub(super) trait IndexFiles: Send + Sync + std::fmt::Debug {
    /// The name of a file, for messages.
    fn name(&self, which: FileRole) -> &Path;

    /// Whether a file is there.
    fn is_there(&self, which: FileRole) -> Result<bool, Error>;

    /// Opens a file; `None` if it is not there.
    fn open(&self, which: FileRole) -> Result<Option<OpenDatabase>, Error>;

    /// Makes an empty new file, in the place of one that was being made.
    fn make(&self) -> Result<OpenDatabase, Error>;

    /// Puts the new file in the place of the one in use.
    fn put_in_place(&self) -> Result<(), Error>;

    /// Removes a file, which may be open.
    fn remove(&self, which: FileRole) -> Result<(), Error>;

    /// Notes that something begins over which the process may die by a damaged file.
    fn mark_busy(&self);

    /// It is over, and the process lives.
    fn clear_busy(&self);
}

/// An open file, and what is found to be damaged in it.
pub(super) type OpenDatabase = (Database, Damage);

/// The file, which is there.
pub(super) fn open_file(file: &Path) -> Result<FileBackend, redb::DatabaseError> {
    FileBackend::new(File::options().read(true).write(true).open(file)?)
}

/// Opens what is in `backend`, the storage of `file`, or begins it.
pub(super) fn open_blocks(
    backend: impl StorageBackend,
    file: &Path,
    cache_bytes: usize,
) -> Result<OpenDatabase, Error> {
    let mut magic = blocks::MAGIC;
    if backend.len().map_err(|error| storage(file, error))? >= magic.len() as u64 {
        backend.read(0, &mut magic).map_err(|error| storage(file, error))?;
    }
    if magic.starts_with(b"redb") {
        let (file, found) = (file.to_owned(), FORMAT_WITHOUT_BLOCKS);
        return Err(Error::OtherFormat { file, found, supported: FORMAT });
    }
    let damage = Damage::default();
    let backend = CheckedBlocks::new(backend, damage.clone());
    let opened = builder(cache_bytes).create_with_backend(backend);
    Ok((opened.map_err(|error| storage(file, error))?, damage))
}

/// What may end the process, while this lives.
pub(super) struct BusyMark<'a>(&'a dyn IndexFiles);

impl<'a> BusyMark<'a> {
    pub(super) fn new(files: &'a dyn IndexFiles) -> Self {
        files.mark_busy();
        Self(files)
    }
}

impl Drop for BusyMark<'_> {
    fn drop(&mut self) {
        self.0.clear_busy();
    }
}

/// A folder, which the log holds.
#[derive(Debug)]
pub(super) struct IndexFolder {
    dir: PathBuf,
    current: PathBuf,
    new: PathBuf,
    busy: PathBuf,
    cache_bytes: usize,
    /// Only if a process has died over a file before this one began.
    probe: Option<Probe>,
}

impl IndexFolder {
    pub(super) fn new(dir: &Path, cache_bytes: usize, probe: Option<Probe>) -> Self {
        let [current, new] = super::FILES.map(|name| dir.join(name));
        let busy = dir.join("index.busy");
        let probe = probe.filter(|_| busy.exists());
        Self { dir: dir.to_owned(), current, new, busy, cache_bytes, probe }
    }

    /// Whether a file may be opened. One over which a process has died is opened by another first:
    /// mostly it was killed, and the file is whole.
    fn may_open(&self, file: &Path) -> bool {
        let Some(probe) = &self.probe else { return true };
        match probe.run(file) {
            ProbeResult::Harmless => true,
            ProbeResult::Deadly(how) => {
                let file = file.display();
                tracing::warn!(%file, how, "the index ends the process that opens it");
                false
            }
            ProbeResult::Unknown(why) => {
                let file = file.display();
                tracing::warn!(%file, why, "whether the index can be opened is not known");
                true
            }
        }
    }
}

impl IndexFiles for IndexFolder {
    fn name(&self, which: FileRole) -> &Path {
        match which {
            FileRole::Current => &self.current,
            FileRole::New => &self.new,
        }
    }

    fn is_there(&self, which: FileRole) -> Result<bool, Error> {
        let file = self.name(which);
        file.try_exists().map_err(|error| storage(file, error))
    }

    fn open(&self, which: FileRole) -> Result<Option<OpenDatabase>, Error> {
        let file = self.name(which);
        if !self.is_there(which)? {
            return Ok(None);
        }
        if !self.may_open(file) {
            let what = "opening it ends the process".to_owned();
            return Err(Error::Damaged { file: file.to_owned(), what });
        }
        let began = Instant::now();
        loop {
            match open_file(file) {
                Err(redb::DatabaseError::DatabaseAlreadyOpen)
                    if began.elapsed() < RELEASE_TIME_MAX =>
                {
                    std::thread::sleep(RELEASE_LOOK_INTERVAL);
                }
                opened => {
                    let opened = opened.map_err(|error| storage(file, error))?;
                    return open_blocks(opened, file, self.cache_bytes).map(Some);
                }
            }
        }
    }

    fn make(&self) -> Result<OpenDatabase, Error> {
        self.remove(FileRole::New)?;
        let file = File::options().read(true).write(true).create_new(true).open(&self.new);
        let file = file.map_err(|error| storage(&self.new, error))?;
        let file = FileBackend::new(file).map_err(|error| storage(&self.new, error))?;
        open_blocks(file, &self.new, self.cache_bytes)
    }

    fn put_in_place(&self) -> Result<(), Error> {
        let rename = || {
            File::open(&self.new)?.sync_all()?;
            fs::rename(&self.new, &self.current)?;
            File::open(&self.dir)?.sync_all()
        };
        rename().map_err(|error| storage(&self.current, error))
    }

    fn remove(&self, which: FileRole) -> Result<(), Error> {
        let file = self.name(which);
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(storage(file, error)),
            _ => Ok(()),
        }
    }

    fn mark_busy(&self) {
        // Where it cannot be noted, a death is not noticed, and nothing else is lost.
        if let Err(error) = fs::write(&self.busy, "") {
            tracing::debug!(%error, "the index is used without a note of it");
        }
    }

    fn clear_busy(&self) {
        if let Err(error) = fs::remove_file(&self.busy) {
            tracing::debug!(%error, "the note that the index is used is left");
        }
    }
}

/// Storage of the caller's, for where there is no folder. What was being made is not found again.
#[derive(Debug)]
pub(super) struct CustomIndexFiles<F> {
    files: F,
    file: PathBuf,
    new: PathBuf,
    cache_bytes: usize,
    /// What is in use is not to be used any more.
    is_removed: AtomicBool,
    /// What was made last is a copy; else it is the one in use, which was empty.
    is_copy: AtomicBool,
}

impl<F: StorageFiles> CustomIndexFiles<F> {
    pub(super) fn new(files: F, name: &str, cache_bytes: usize) -> Self {
        let (file, new) = (PathBuf::from(name), PathBuf::from(format!("{name}.new")));
        let (is_removed, is_copy) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { files, file, new, cache_bytes, is_removed, is_copy }
    }

    fn is_empty(&self) -> Result<bool, Error> {
        let bytes = self.files.current().len().map_err(|error| storage(&self.file, error))?;
        Ok(bytes == 0)
    }
}

impl<F: StorageFiles> IndexFiles for CustomIndexFiles<F> {
    fn name(&self, which: FileRole) -> &Path {
        match which {
            FileRole::Current => &self.file,
            FileRole::New => &self.new,
        }
    }

    fn is_there(&self, which: FileRole) -> Result<bool, Error> {
        let is_gone = which == FileRole::New || self.is_removed.load(Ordering::SeqCst);
        Ok(!is_gone && !self.is_empty()?)
    }

    fn open(&self, which: FileRole) -> Result<Option<OpenDatabase>, Error> {
        if !self.is_there(which)? {
            return Ok(None);
        }
        open_blocks(self.files.current(), &self.file, self.cache_bytes).map(Some)
    }

    fn make(&self) -> Result<OpenDatabase, Error> {
        let is_copy = self.is_removed.load(Ordering::SeqCst) || !self.is_empty()?;
        self.is_copy.store(is_copy, Ordering::SeqCst);
        if !is_copy {
            return open_blocks(self.files.current(), &self.file, self.cache_bytes);
        }
        let file = self.files.make_copy().map_err(|error| storage(&self.new, error))?;
        open_blocks(file, &self.new, self.cache_bytes)
    }

    fn put_in_place(&self) -> Result<(), Error> {
        if self.is_copy.swap(false, Ordering::SeqCst) {
            self.files.exchange().map_err(|error| storage(&self.file, error))?;
            self.is_removed.store(false, Ordering::SeqCst);
        }
        Ok(())
    }

    fn remove(&self, which: FileRole) -> Result<(), Error> {
        if which == FileRole::Current {
            self.is_removed.store(true, Ordering::SeqCst);
        }
        Ok(())
    }

    fn mark_busy(&self) {}

    fn clear_busy(&self) {}
}
