//! Free space on the disk: writes are refused before it runs out. Never frees any.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::Error;

/// How long a measurement stays valid. In that time a log at full speed writes some tens of MiB,
/// well below the reserve.
const MEASUREMENT_AGE_MAX: Duration = Duration::from_millis(100);

/// Refuses writes while the disk of a folder is nearly full.
#[derive(Debug)]
pub(super) struct FreeSpace {
    dir: PathBuf,
    /// The reserve: bytes that must stay free.
    bytes_min: u64,
    /// When it was measured, and the free bytes.
    last_measurement: Mutex<Option<(Instant, u64)>>,
}

impl FreeSpace {
    pub(super) fn new(dir: PathBuf, bytes_min: u64) -> Self {
        Self { dir, bytes_min, last_measurement: Mutex::new(None) }
    }

    /// Fails with [`Error::DiskFull`] while less than the reserve is free.
    pub(super) fn check(&self) -> Result<(), Error> {
        let mut last = self.last_measurement.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes_free = match *last {
            Some((at, bytes_free)) if at.elapsed() < MEASUREMENT_AGE_MAX => bytes_free,
            _ => {
                let bytes_free = self.bytes_free()?;
                *last = Some((Instant::now(), bytes_free));
                bytes_free
            }
        };
        if bytes_free < self.bytes_min {
            return Err(Error::DiskFull { bytes_free, bytes_min: self.bytes_min });
        }
        Ok(())
    }

    fn bytes_free(&self) -> Result<u64, Error> {
        let stat = rustix::fs::statvfs(&self.dir)
            .map_err(|error| Error::Storage { file: self.dir.clone(), source: error.into() })?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}
