//! A [`Disk`] that counts what is done with it. It never changes an outcome.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;
use whimbrel::storage::StorageFiles;

use super::Disk;

/// The offset of block 0, which follows the block of the first checks. Each commit writes it.
const HEAD: u64 = 4_096;

/// A disk that counts its reads, its flushes, and the writes of a file's head, and keeps the files of
/// spilled rows. Clones and copies share all of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct CountedDisk {
    disk: Disk,
    done: Arc<Done>,
}

#[derive(Debug, Default)]
struct Done {
    reads: AtomicUsize,
    syncs: AtomicUsize,
    head_writes: AtomicUsize,
    spills: Mutex<Vec<File>>,
}

impl CountedDisk {
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(crate) fn reads(&self) -> usize {
        self.done.reads.load(Ordering::SeqCst)
    }

    pub(crate) fn syncs(&self) -> usize {
        self.done.syncs.load(Ordering::SeqCst)
    }

    pub(crate) fn head_writes(&self) -> usize {
        self.done.head_writes.load(Ordering::SeqCst)
    }

    /// The files that were made for spilled rows.
    pub(crate) fn spills(&self) -> MutexGuard<'_, Vec<File>> {
        self.done.spills.lock().unwrap()
    }
}

impl StorageFiles for CountedDisk {
    type File = Self;

    fn current(&self) -> Self {
        Self { disk: self.disk.current(), ..self.clone() }
    }

    fn make_copy(&self) -> io::Result<Self> {
        Ok(Self { disk: self.disk.make_copy()?, ..self.clone() })
    }

    fn exchange(&self) -> io::Result<()> {
        self.disk.exchange()
    }

    fn make_spill(&self) -> io::Result<File> {
        let file = tempfile::tempfile()?;
        self.spills().push(file.try_clone()?);
        Ok(file)
    }
}

impl StorageBackend for CountedDisk {
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.done.reads.fetch_add(1, Ordering::SeqCst);
        self.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.done.syncs.fetch_add(1, Ordering::SeqCst);
        self.disk.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset == HEAD {
            self.done.head_writes.fetch_add(1, Ordering::SeqCst);
        }
        self.disk.write(offset, data)
    }
}
