//! Files in memory, which outlive the log that is opened on them.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;
use whimbrel::storage::StorageFiles;

/// The file in use, and a copy of it in the making. Clones share both.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    current: Arc<Mutex<Bytes>>,
    copy: Arc<Mutex<Bytes>>,
}

/// The content of one file. Clones share it.
type Bytes = Arc<Mutex<Vec<u8>>>;

impl Disk {
    /// A disk with this content.
    pub(crate) fn holding(bytes: Vec<u8>) -> Self {
        Self::of(Arc::new(Mutex::new(bytes)))
    }

    /// A copy of the content of the file in use.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        locked(&self.file()).clone()
    }

    fn of(file: Bytes) -> Self {
        Self { current: Arc::new(Mutex::new(file)), copy: Arc::default() }
    }

    fn file(&self) -> Bytes {
        Arc::clone(&locked(&self.current))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StorageFiles for Disk {
    type File = Self;

    fn current(&self) -> Self {
        Self::of(self.file())
    }

    fn make_copy(&self) -> io::Result<Self> {
        let copy = Self::default();
        *locked(&self.copy) = copy.file();
        Ok(copy)
    }

    fn exchange(&self) -> io::Result<()> {
        *locked(&self.current) = Arc::clone(&locked(&self.copy));
        Ok(())
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Disk({} bytes)", locked(&self.file()).len())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(locked(&self.file()).len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let file = self.file();
        let content = locked(&file);
        let part = usize::try_from(offset)
            .ok()
            .and_then(|start| content.get(start..start.checked_add(out.len())?))
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        out.copy_from_slice(part);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        locked(&self.file()).resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        locked(&self.file())[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
}
