//! Limits that are set again while the server runs. Never reads a file.

use crate::api::CallLog;
use crate::config::CallLogSettings;
use crate::config::{LimitError, Limits, LimitsInForce};
use crate::storage::DiskReserve;

/// Sets limits of a running server again. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reloader {
    limits: LimitsInForce,
    call_log: CallLog,
    /// Of the log and of the index.
    reserves: Vec<DiskReserve>,
}

impl Reloader {
    pub(super) fn new(
        limits: LimitsInForce,
        call_log: CallLog,
        reserves: Vec<DiskReserve>,
    ) -> Self {
        Self { limits, call_log, reserves }
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

    /// Puts in force what the log has about single calls.
    pub fn log_calls(&self, settings: &CallLogSettings) {
        self.call_log.set(settings);
    }
}
