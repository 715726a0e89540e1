//! The health of the index: whether its file can be used, and the threads that wait for a repair.
//!
//! ```text
//!   in use ── an operation fails ──▶ lost ── reopened, or replaced by a rebuild ──▶ in use
//! ```
//!
//! While the index is lost, nothing is read from it: each caller gets an error or waits, and never
//! an incomplete answer. Nothing here repairs it: the engine's indexer does.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::Error;
use super::blocks::Damage;
use crate::storage::redb_file::{guarded, storage};

/// The state that all users of the index's file share.
#[derive(Debug)]
pub(super) struct IndexHealth {
    /// The name of the current file, for errors.
    name: PathBuf,
    /// The damage that reads of the open file found.
    damage: Mutex<Damage>,
    /// Whether `state` has a loss: most callers check only this.
    is_lost: AtomicBool,
    state: Mutex<HealthState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct HealthState {
    /// A thread repairs the index when it is lost.
    has_repairer: bool,
    loss: Option<IndexLoss>,
}

/// Why the index cannot be used.
#[derive(Clone, Debug)]
pub struct IndexLoss {
    /// The error, for the operator.
    pub why: String,
    /// The file does not have the bytes that were written. Otherwise its disk failed.
    pub is_damage: bool,
}

impl IndexHealth {
    pub(super) fn new(name: PathBuf, damage: Damage) -> Self {
        let (state, changed) = (Mutex::default(), Condvar::new());
        let (damage, is_lost) = (Mutex::new(damage), AtomicBool::new(false));
        Self { name, damage, is_lost, state, changed }
    }

    /// The damage that reads of the open file found.
    pub(super) fn damage(&self) -> Damage {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another file is open from now on; reads of it record their damage in `damage`.
    pub(super) fn set_damage(&self, damage: Damage) {
        *self.damage.lock().unwrap_or_else(PoisonError::into_inner) = damage;
    }

    /// Runs `use_file`. If it fails and the index has a repairer, the index is lost from then on.
    pub(super) fn guarded<T>(
        &self,
        mut use_file: impl FnMut() -> Result<T, redb::Error>,
    ) -> Result<T, Error> {
        let used = guarded(&self.name, || use_file().map_err(|error| storage(&self.name, error)));
        used.map_err(|error| {
            // The first damage: redb does not repeat it in later errors.
            let found = self.damage().found().map(str::to_owned);
            self.set_lost(match found {
                Some(what) => Error::Damaged { file: self.name.clone(), what },
                None => error,
            })
        })
    }

    /// Fails while the index is lost.
    pub(super) fn check(&self) -> Result<(), Error> {
        if !self.is_lost.load(Ordering::SeqCst) {
            return Ok(());
        }
        match &self.state().loss {
            Some(loss) => Err(self.error(loss)),
            None => Ok(()),
        }
    }

    /// Whether a thread repairs the index when it is lost.
    pub(super) fn set_has_repairer(&self, has_repairer: bool) {
        self.state().has_repairer = has_repairer;
        self.changed.notify_all();
    }

    pub(super) fn loss(&self) -> Option<IndexLoss> {
        self.state().loss.clone()
    }

    /// The index can be used again.
    pub(super) fn set_repaired(&self) {
        self.state().loss = None;
        self.is_lost.store(false, Ordering::SeqCst);
        self.changed.notify_all();
    }

    /// Waits until the index can be used. `false` if it is lost and has no repairer any more.
    pub(super) fn wait_until_repaired(&self) -> bool {
        let mut state = self.state();
        while state.loss.is_some() && state.has_repairer {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.loss.is_none()
    }

    /// Records `error` as the loss, if the index has a repairer and no loss yet. Gives the error
    /// for the caller.
    fn set_lost(&self, error: Error) -> Error {
        let mut state = self.state();
        if !state.has_repairer {
            return error;
        }
        let loss = state.loss.get_or_insert_with(|| {
            tracing::error!(%error, "the index is lost; the server goes on and repairs it");
            let is_damage = matches!(error, Error::Damaged { .. });
            IndexLoss { why: reason(&error), is_damage }
        });
        self.is_lost.store(true, Ordering::SeqCst);
        self.error(loss)
    }

    fn error(&self, loss: &IndexLoss) -> Error {
        Error::IndexLost { file: self.name.clone(), why: loss.why.clone() }
    }

    fn state(&self) -> MutexGuard<'_, HealthState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The failure without its advice, which is about the log.
pub(super) fn reason(error: &Error) -> String {
    match error {
        Error::Damaged { what, .. } => what.clone(),
        Error::Storage { source, .. } => source.to_string(),
        error => error.to_string(),
    }
}
