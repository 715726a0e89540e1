//! Free space on the disk, looked at before it runs out.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::Error;

/// How long an answer is trusted. In that time a log at full speed writes some tens of MiB, well
/// below the reserve.
const TRUSTED_FOR: Duration = Duration::from_millis(100);

/// Refuses writes while the disk that holds a folder is nearly full.
#[derive(Debug)]
pub(super) struct Space {
    dir: PathBuf,
    bytes_min: u64,
    last_look: Mutex<Option<(Instant, u64)>>,
}

impl Space {
    pub(super) fn new(dir: PathBuf, bytes_min: u64) -> Self {
        Self { dir, bytes_min, last_look: Mutex::new(None) }
    }

    /// Fails with [`Error::DiskFull`] while less than the reserve is free.
    pub(super) fn check(&self) -> Result<(), Error> {
        let mut last_look = self.last_look.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let bytes_free = match *last_look {
            Some((at, bytes_free)) if at.elapsed() < TRUSTED_FOR => bytes_free,
            _ => {
                let stat = rustix::fs::statvfs(&self.dir).map_err(|error| Error::Storage {
                    file: self.dir.clone(),
                    source: error.into(),
                })?;
                let bytes_free = stat.f_bavail.saturating_mul(stat.f_frsize);
                *last_look = Some((Instant::now(), bytes_free));
                bytes_free
            }
        };
        if bytes_free < self.bytes_min {
            return Err(Error::DiskFull { bytes_free, bytes_min: self.bytes_min });
        }
        Ok(())
    }
}
