//! HealthState with the index: what is met while it is used, who hears of it, and who waits until it is
//! over.
//!
//! ```text
//!   in use ── a use fails ──▶ lost ── mended: opened again, or rebuilt ──▶ in use
//! ```
//!
//! While it is lost nothing is read from it, so whoever needs it is refused or waits, and nothing is
//! ever left out. Nothing here mends it: the engine's indexer does.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::Error;
use super::blocks::Damage;
use crate::storage::redb_file::{guarded, storage};

/// The file as those who read it know it.
#[derive(Debug)]
pub(super) struct IndexHealth {
    name: PathBuf,
    /// What was found to be damaged in the file that is open.
    damage: Mutex<Damage>,
    /// So that most need not look into `trouble`.
    is_lost: AtomicBool,
    trouble: Mutex<HealthState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct HealthState {
    /// Somebody mends it.
    is_repaired: bool,
    loss: Option<IndexLoss>,
}

/// Why the index cannot be used.
#[derive(Clone, Debug)]
pub struct IndexLoss {
    /// What failed.
    pub why: String,
    /// What is in the file is not what was written. Else the disk failed.
    pub is_damage: bool,
}

impl IndexHealth {
    pub(super) fn new(name: PathBuf, damage: Damage) -> Self {
        let (trouble, changed) = (Mutex::default(), Condvar::new());
        let (damage, is_lost) = (Mutex::new(damage), AtomicBool::new(false));
        Self { name, damage, is_lost, trouble, changed }
    }

    /// What is found to be damaged in the file that is open now.
    pub(super) fn damage(&self) -> Damage {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another file is open now, in which damage is found so.
    pub(super) fn exchanged(&self, damage: Damage) {
        *self.damage.lock().unwrap_or_else(PoisonError::into_inner) = damage;
    }

    /// Uses the file. If that fails it is lost from then on, if somebody mends it.
    pub(super) fn guarded<T>(
        &self,
        mut use_file: impl FnMut() -> Result<T, redb::Error>,
    ) -> Result<T, Error> {
        let used = guarded(&self.name, || use_file().map_err(|error| storage(&self.name, error)));
        used.map_err(|error| {
            // What was found first: the storage library says no more of it after that.
            let found = self.damage().found().map(str::to_owned);
            self.met(match found {
                Some(what) => Error::Damaged { file: self.name.clone(), what },
                None => error,
            })
        })
    }

    /// Fails while the file is lost.
    pub(super) fn check(&self) -> Result<(), Error> {
        if !self.is_lost.load(Ordering::SeqCst) {
            return Ok(());
        }
        match &self.trouble().loss {
            Some(loss) => Err(self.error(loss)),
            None => Ok(()),
        }
    }

    /// From now on somebody mends it, or nobody does any more.
    pub(super) fn set_repairing(&self, is_repaired: bool) {
        self.trouble().is_repaired = is_repaired;
        self.changed.notify_all();
    }

    pub(super) fn loss(&self) -> Option<IndexLoss> {
        self.trouble().loss.clone()
    }

    pub(super) fn mended(&self) {
        self.trouble().loss = None;
        self.is_lost.store(false, Ordering::SeqCst);
        self.changed.notify_all();
    }

    /// Waits until it can be used. Whether it can: not if nobody mends it any more.
    pub(super) fn wait_until_repaired(&self) -> bool {
        let mut trouble = self.trouble();
        while trouble.loss.is_some() && trouble.is_repaired {
            trouble = self.changed.wait(trouble).unwrap_or_else(PoisonError::into_inner);
        }
        trouble.loss.is_none()
    }

    fn met(&self, error: Error) -> Error {
        let mut trouble = self.trouble();
        if !trouble.is_repaired {
            return error;
        }
        let loss = trouble.loss.get_or_insert_with(|| {
            tracing::error!(%error, "the index is lost; the server goes on, and mends it");
            let is_damage = matches!(error, Error::Damaged { .. });
            IndexLoss { why: why(&error), is_damage }
        });
        self.is_lost.store(true, Ordering::SeqCst);
        self.error(loss)
    }

    fn error(&self, loss: &IndexLoss) -> Error {
        Error::IndexLost { file: self.name.clone(), why: loss.why.clone() }
    }

    fn trouble(&self) -> MutexGuard<'_, HealthState> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What failed, without the advice that is for logs.
pub(super) fn why(error: &Error) -> String {
    match error {
        Error::Damaged { what, .. } => what.clone(),
        Error::Storage { source, .. } => source.to_string(),
        error => error.to_string(),
    }
}
