//! The files of the index: the current one, and a new one that replaces it. Never reads a table.
//!
//! ```text
//!   index.redb        the current file
//!   index.redb.new    a rebuild; renamed to index.redb when it is complete, or when there is no
//!                     index.redb
//!   index.busy        exists while one of them is opened or written, see probe.rs
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use redb::backends::FileBackend;
use redb::{Database, StorageBackend};

use super::Error;
use super::blocks::{self, CheckedBlocks, Damage};
use super::probe::{Probe, ProbeResult};
use crate::formats::{INDEX, INDEX_BLOCKS, OtherFormat};
use crate::storage::redb_file::{builder, storage};

/// How long to wait until another process closes a file: the probe of a start that was killed may
/// still have it open.
const RELEASE_TIME_MAX: Duration = Duration::from_secs(2);
/// The last version of the tables in a file without checked blocks, which is a plain redb file.
const LAST_WITHOUT_BLOCKS: u64 = 2;
/// Time between two attempts to open such a file.
const RELEASE_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// One of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileRole {
    /// The file in use.
    Current,
    /// The file of a rebuild.
    New,
}

/// Storage that the caller provides for the file of an index, without a folder.
pub trait StorageFiles: Send + Sync + std::fmt::Debug + 'static {
    /// A file.
    type File: StorageBackend;

    /// The current file; empty for a new index.
    fn current(&self) -> Self::File;

    /// Creates an empty copy. Earlier copies are not used any more.
    ///
    /// # Errors
    /// It cannot be created.
    fn make_copy(&self) -> io::Result<Self::File>;

    /// Makes the last copy the current file. Durable when it returns.
    ///
    /// # Errors
    /// Either file may be the current one.
    fn exchange(&self) -> io::Result<()>;

    /// Creates a file without a name, for rows that are too many for memory; in the system's folder
    /// for temporary files, unless the caller has another place.
    ///
    /// # Errors
    /// It cannot be created.
    fn make_spill(&self) -> io::Result<File> {
        tempfile::tempfile()
    }
}

/// The two files of an index.
pub(super) trait IndexFiles: Send + Sync + std::fmt::Debug {
    /// The path of a file.
    fn name(&self, role: FileRole) -> &Path;

    /// Whether a file exists.
    fn exists(&self, role: FileRole) -> Result<bool, Error>;

    /// Opens a file; `None` if it does not exist.
    fn open(&self, role: FileRole) -> Result<Option<OpenDatabase>, Error>;

    /// Creates an empty new file. An unfinished new file is removed.
    fn create_new(&self) -> Result<OpenDatabase, Error>;

    /// Makes the new file the current one. It replaces the current file, if there is one.
    fn install_new(&self) -> Result<(), Error>;

    /// Removes a file, which may be open.
    fn remove(&self, role: FileRole) -> Result<(), Error>;

    /// Creates a file without a name, for rows that are too many for memory.
    fn make_spill(&self) -> io::Result<File>;

    /// Records on disk that a file is about to be used: a damaged file may abort the process.
    fn mark_busy(&self);

    /// Removes the record of [`IndexFiles::mark_busy`].
    fn clear_busy(&self);
}

/// An open file, and the damage that reads of it find.
pub(super) type OpenDatabase = (Database, Damage);

/// Opens a file that exists, for reading and writing.
pub(super) fn open_file(file: &Path) -> Result<FileBackend, redb::DatabaseError> {
    FileBackend::new(File::options().read(true).write(true).open(file)?)
}

/// Opens the database in `backend`, which is the storage of `file`; an empty one gets a new
/// database.
pub(super) fn open_blocks(
    backend: impl StorageBackend,
    file: &Path,
    cache_bytes: usize,
) -> Result<OpenDatabase, Error> {
    let mut magic = blocks::MAGIC;
    if backend.len().map_err(|error| storage(file, error))? >= magic.len() as u64 {
        backend.read(0, &mut magic).map_err(|error| storage(file, error))?;
    }
    let other = if magic.starts_with(b"redb") {
        Some(OtherFormat::new(&INDEX, LAST_WITHOUT_BLOCKS))
    } else if magic.starts_with(&blocks::MAGIC[..7]) && magic != blocks::MAGIC {
        // A rotten bit in this byte has the same end as a later version: the index is rebuilt.
        Some(OtherFormat { format: &INDEX_BLOCKS, found: None, writer: None })
    } else {
        None
    };
    if let Some(other) = other {
        return Err(Error::OtherFormat { file: file.to_owned(), other });
    }
    let damage = Damage::default();
    let backend = CheckedBlocks::new(backend, damage.clone());
    let opened = builder(cache_bytes).create_with_backend(backend);
    Ok((opened.map_err(|error| storage(file, error))?, damage))
}

/// While it lives, the files are marked busy.
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

/// The index's files in a data folder that the log has locked.
#[derive(Debug)]
pub(super) struct IndexFolder {
    dir: PathBuf,
    current: PathBuf,
    new: PathBuf,
    busy: PathBuf,
    cache_bytes: usize,
    /// `None` unless `index.busy` existed at the start: then a process died over a file.
    probe: Option<Probe>,
}

impl IndexFolder {
    pub(super) fn new(dir: &Path, cache_bytes: usize, probe: Option<Probe>) -> Self {
        let [current, new] = super::FILES.map(|name| dir.join(name));
        let busy = dir.join("index.busy");
        let probe = probe.filter(|_| busy.exists());
        Self { dir: dir.to_owned(), current, new, busy, cache_bytes, probe }
    }

    /// Whether this process may open `file`. After a process died over a file, a probe opens it
    /// first. Mostly the process was killed, and the file is undamaged.
    fn may_open(&self, file: &Path) -> bool {
        let Some(probe) = &self.probe else { return true };
        match probe.run(file) {
            ProbeResult::Harmless => true,
            ProbeResult::Fatal(how) => {
                let file = file.display();
                tracing::warn!(%file, how, "the index aborts each process that opens it");
                false
            }
            ProbeResult::Unknown(why) => {
                let file = file.display();
                tracing::warn!(%file, why, "the probe of the index failed; the index is opened");
                true
            }
        }
    }
}

impl IndexFiles for IndexFolder {
    fn name(&self, role: FileRole) -> &Path {
        match role {
            FileRole::Current => &self.current,
            FileRole::New => &self.new,
        }
    }

    fn exists(&self, role: FileRole) -> Result<bool, Error> {
        let file = self.name(role);
        file.try_exists().map_err(|error| storage(file, error))
    }

    fn open(&self, role: FileRole) -> Result<Option<OpenDatabase>, Error> {
        let file = self.name(role);
        if !self.exists(role)? {
            return Ok(None);
        }
        if !self.may_open(file) {
            let what = "a process that opens it aborts".to_owned();
            return Err(Error::Damaged { file: file.to_owned(), what });
        }
        let began = Instant::now();
        loop {
            match open_file(file) {
                Err(redb::DatabaseError::DatabaseAlreadyOpen)
                    if began.elapsed() < RELEASE_TIME_MAX =>
                {
                    std::thread::sleep(RELEASE_POLL_INTERVAL);
                }
                opened => {
                    let opened = opened.map_err(|error| storage(file, error))?;
                    return open_blocks(opened, file, self.cache_bytes).map(Some);
                }
            }
        }
    }

    fn create_new(&self) -> Result<OpenDatabase, Error> {
        self.remove(FileRole::New)?;
        let file = File::options().read(true).write(true).create_new(true).open(&self.new);
        let file = file.map_err(|error| storage(&self.new, error))?;
        let file = FileBackend::new(file).map_err(|error| storage(&self.new, error))?;
        open_blocks(file, &self.new, self.cache_bytes)
    }

    fn install_new(&self) -> Result<(), Error> {
        let rename = || {
            File::open(&self.new)?.sync_all()?;
            fs::rename(&self.new, &self.current)?;
            File::open(&self.dir)?.sync_all()
        };
        rename().map_err(|error| storage(&self.current, error))
    }

    fn remove(&self, role: FileRole) -> Result<(), Error> {
        let file = self.name(role);
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(storage(file, error)),
            _ => Ok(()),
        }
    }

    fn make_spill(&self) -> io::Result<File> {
        match tempfile::tempfile_in(&self.dir) {
            // A folder that is mounted for reading is checked, too.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => tempfile::tempfile(),
            made => made,
        }
    }

    fn mark_busy(&self) {
        // Without the mark a crash over the index is not noticed; nothing else is lost.
        if let Err(error) = fs::write(&self.busy, "") {
            tracing::debug!(%error, "the index is used without its busy mark");
        }
    }

    fn clear_busy(&self) {
        if let Err(error) = fs::remove_file(&self.busy) {
            tracing::debug!(%error, "the busy mark of the index cannot be removed");
        }
    }
}

/// The index's files in storage that the caller provides, without a folder. An unfinished new file
/// is not found again by the next opening.
#[derive(Debug)]
pub(super) struct CustomIndexFiles<F> {
    files: F,
    file: PathBuf,
    new: PathBuf,
    cache_bytes: usize,
    /// The current file counts as removed.
    is_removed: AtomicBool,
    /// The last new file is a copy; else it is the current file, which was empty.
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
    fn name(&self, role: FileRole) -> &Path {
        match role {
            FileRole::Current => &self.file,
            FileRole::New => &self.new,
        }
    }

    fn exists(&self, role: FileRole) -> Result<bool, Error> {
        let is_gone = role == FileRole::New || self.is_removed.load(Ordering::SeqCst);
        Ok(!is_gone && !self.is_empty()?)
    }

    fn open(&self, role: FileRole) -> Result<Option<OpenDatabase>, Error> {
        if !self.exists(role)? {
            return Ok(None);
        }
        open_blocks(self.files.current(), &self.file, self.cache_bytes).map(Some)
    }

    fn create_new(&self) -> Result<OpenDatabase, Error> {
        let is_copy = self.is_removed.load(Ordering::SeqCst) || !self.is_empty()?;
        self.is_copy.store(is_copy, Ordering::SeqCst);
        if !is_copy {
            return open_blocks(self.files.current(), &self.file, self.cache_bytes);
        }
        let file = self.files.make_copy().map_err(|error| storage(&self.new, error))?;
        open_blocks(file, &self.new, self.cache_bytes)
    }

    fn install_new(&self) -> Result<(), Error> {
        if self.is_copy.swap(false, Ordering::SeqCst) {
            self.files.exchange().map_err(|error| storage(&self.file, error))?;
            self.is_removed.store(false, Ordering::SeqCst);
        }
        Ok(())
    }

    fn remove(&self, role: FileRole) -> Result<(), Error> {
        if role == FileRole::Current {
            self.is_removed.store(true, Ordering::SeqCst);
        }
        Ok(())
    }

    fn make_spill(&self) -> io::Result<File> {
        self.files.make_spill()
    }

    fn mark_busy(&self) {}

    fn clear_busy(&self) {}
}
