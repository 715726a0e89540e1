//! Free space on the disk: writes are refused before it runs out. Never frees any.

use std::path::{Path, PathBuf};

use super::error::Error;

/// Bytes that writers without privileges may still write to the disk of `dir`.
pub(super) fn bytes_free(dir: &Path) -> std::io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Refuses writes while the disk of a folder is nearly full.
#[derive(Clone, Debug)]
pub(super) struct FreeSpace {
    pub(super) dir: PathBuf,
    /// The reserve: bytes that must stay free.
    pub(super) bytes_min: u64,
}

impl FreeSpace {
    /// Fails with [`Error::DiskFull`] while less than the reserve is free.
    pub(super) fn check(&self) -> Result<(), Error> {
        let bytes_free = bytes_free(&self.dir)
            .map_err(|error| Error::Storage { file: self.dir.clone(), source: error.into() })?;
        if bytes_free < self.bytes_min {
            return Err(Error::DiskFull { bytes_free, bytes_min: self.bytes_min });
        }
        Ok(())
    }
}
