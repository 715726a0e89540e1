//! Limits that are set again while the server runs. Never reads a file.

use crate::config::{LimitError, Limits, LimitsInForce};
use crate::storage::DiskReserve;

/// Sets limits of a running server again. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reloader {
    limits: LimitsInForce,
    /// Of the log and of the index.
    reserves: Vec<DiskReserve>,
}

impl Reloader {
    pub(super) fn new(limits: LimitsInForce, reserves: Vec<DiskReserve>) -> Self {
        Self { limits, reserves }
    }

    /// Puts in force what `limits` has for those limits that may change while a server runs, as
    /// [`LimitsInForce::replace`] does.
    ///
    /// # Errors
    /// A limit is refused: then nothing is changed.
    pub fn replace(&self, limits: &Limits) -> Result<(), LimitError> {
        self.limits.replace(limits)?;
        self.reserves.iter().for_each(|reserve| reserve.set(limits.disk_free_bytes_min));
        Ok(())
    }
}
