//! The folder of a log in memory, which outlives the log that is opened on it. Never loses anything.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use whimbrel::storage::{Folder, IndexOptions, LogOptions, StorageFile};

/// Options for the logs of tests: small segments, so that most logs have several.
pub(crate) const LOG_OPTIONS: LogOptions =
    LogOptions { disk_free_bytes_min: 0, segment_bytes_max: 256 << 10 };
/// Options for the indexes of tests.
pub(crate) const INDEX_OPTIONS: IndexOptions =
    IndexOptions { cache_bytes: 4 << 20, disk_free_bytes_min: 0 };

/// Files in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryFolder {
    files: Arc<Mutex<BTreeMap<String, Arc<MemoryFile>>>>,
    /// The most bytes that were read at once.
    read_bytes_max: Arc<AtomicUsize>,
}

struct MemoryFile {
    id: u64,
    content: Mutex<Vec<u8>>,
    read_bytes_max: Arc<AtomicUsize>,
}

impl MemoryFolder {
    /// A folder with these files.
    pub(crate) fn holding(files: BTreeMap<String, Vec<u8>>) -> Self {
        let folder = Self::default();
        for (name, content) in files {
            let file = MemoryFile::new(content, &folder.read_bytes_max);
            locked(&folder.files).insert(name, Arc::new(file));
        }
        folder
    }

    /// The most bytes that were read at once since the last call.
    pub(crate) fn take_read_bytes_max(&self) -> usize {
        self.read_bytes_max.swap(0, Ordering::Relaxed)
    }

    /// A copy of all files.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let files = locked(&self.files);
        files.iter().map(|(name, file)| (name.clone(), locked(&file.content).clone())).collect()
    }
}

impl MemoryFile {
    fn new(content: Vec<u8>, read_bytes_max: &Arc<AtomicUsize>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, content: Mutex::new(content), read_bytes_max: Arc::clone(read_bytes_max) }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_there() -> io::Error {
    ErrorKind::NotFound.into()
}

impl Folder for MemoryFolder {
    fn path(&self) -> &Path {
        Path::new("memory")
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(locked(&self.files).keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = locked(&self.files).get(name).map(Arc::clone).ok_or_else(not_there)?;
        Ok(file)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let mut files = locked(&self.files);
        if files.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let file = Arc::new(MemoryFile::new(Vec::new(), &self.read_bytes_max));
        files.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = locked(&self.files);
        let file = files.remove(from).ok_or_else(not_there)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        locked(&self.files).remove(name).map(drop).ok_or_else(not_there)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn is_name_of(&self, name: &str, file: &dyn StorageFile) -> io::Result<bool> {
        Ok(locked(&self.files).get(name).is_some_and(|named| named.id() == file.id()))
    }

    fn bytes_free(&self) -> io::Result<Option<u64>> {
        Ok(None)
    }
}

impl StorageFile for MemoryFile {
    fn id(&self) -> (u64, u64) {
        (0, self.id)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(locked(&self.content).len() as u64)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_bytes_max.fetch_max(bytes.len(), Ordering::Relaxed);
        let content = locked(&self.content);
        let part = usize::try_from(offset)
            .ok()
            .and_then(|start| content.get(start..start.checked_add(bytes.len())?))
            .ok_or_else(|| io::Error::from(ErrorKind::UnexpectedEof))?;
        bytes.copy_from_slice(part);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut content = locked(&self.content);
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start + bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        locked(&self.content).resize(usize::try_from(bytes).map_err(io::Error::other)?, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for MemoryFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemoryFile({} bytes)", locked(&self.content).len())
    }
}
