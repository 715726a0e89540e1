//! Free space on the disk, looked at before it runs out.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::Error;

/// How long an answer is trusted. In that time a log at full speed writes some tens of MiB, well
/// below the reserve.
const TRUSTED_FOR: Duration = Duration::from_millis(100);

/// Refuses writes while the disk that holds a folder is nearly full.
#[derive(Debug)]
pub(super) struct FreeSpace {
    dir: PathBuf,
    bytes_min: u64,
    last_look: Mutex<Option<(Instant, u64)>>,
}

impl FreeSpace {
    pub(super) fn new(dir: PathBuf, bytes_min: u64) -> Self {
        Self { dir, bytes_min, last_look: Mutex::new(None) }
    }

    /// Fails with [`Error::DiskFull`] while less than the reserve is free.
    pub(super) fn check(&self) -> Result<(), Error> {
        let mut last_look = self.last_look.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes_free = match *last_look {
            Some((at, bytes_free)) if at.elapsed() < TRUSTED_FOR => bytes_free,
            _ => {
                let bytes_free = self.bytes_free()?;
                *last_look = Some((Instant::now(), bytes_free));
                bytes_free
            }
        };
        if bytes_free < self.bytes_min {
            return Err(Error::DiskFull { bytes_free, bytes_min: self.bytes_min });
        }
        Ok(())
    }

    /// Fails with [`Error::NoRoomForCopy`] if less than the reserve would be left beside a copy of
    /// so many bytes.
    pub(super) fn check_for_copy(&self, bytes: u64) -> Result<(), Error> {
        let bytes_free = self.bytes_free()?;
        let bytes_needed = self.bytes_min.saturating_add(bytes);
        if bytes_free < bytes_needed {
            return Err(Error::NoRoomForCopy { bytes_free, bytes_needed });
        }
        Ok(())
    }

    fn bytes_free(&self) -> Result<u64, Error> {
        let stat = rustix::fs::statvfs(&self.dir)
            .map_err(|error| Error::Storage { file: self.dir.clone(), source: error.into() })?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}
