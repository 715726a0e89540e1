//! Free space on the disk: writes are refused before it runs out. Never frees any.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::Error;

/// Bytes that writers without privileges may still write to the disk of `dir`.
pub(super) fn bytes_free(dir: &Path) -> std::io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Bytes of a disk that must stay free. Cheap to clone: all clones are the same reserve.
#[derive(Clone, Debug)]
pub struct DiskReserve(Arc<AtomicU64>);

impl DiskReserve {
    pub(super) fn new(bytes: u64) -> Self {
        Self(Arc::new(AtomicU64::new(bytes)))
    }

    /// Sets another number of bytes, for the next write.
    pub fn set(&self, bytes: u64) {
        // A write that is under way may use either.
        self.0.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Refuses writes while the disk of a folder is nearly full.
#[derive(Clone, Debug)]
pub(super) struct FreeSpace {
    pub(super) dir: PathBuf,
    pub(super) reserve: DiskReserve,
    /// So many times the reserve must stay free.
    pub(super) times: u64,
}

impl FreeSpace {
    /// Fails with [`Error::DiskFull`] while less than that is free.
    pub(super) fn check(&self) -> Result<(), Error> {
        let bytes_min = self.reserve.bytes().saturating_mul(self.times);
        let bytes_free = bytes_free(&self.dir)
            .map_err(|error| Error::Storage { file: self.dir.clone(), source: error.into() })?;
        if bytes_free < bytes_min {
            return Err(Error::DiskFull { bytes_free, bytes_min });
        }
        Ok(())
    }
}
