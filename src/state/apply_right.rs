//! The right to change the state, which one caller has at a time.
//!
//! Functions that only the applier may call take an [`ApplyRight`], and a state has exactly one. So
//! a reader can never call them, and they need no protection against a second writer.

use std::sync::{Mutex, MutexGuard, TryLockError};

/// The right to change the state.
#[derive(Debug)]
pub(crate) struct ApplyRight(());

/// Holds the right while no caller has it.
#[derive(Debug)]
pub(crate) struct ApplyTurn(Mutex<ApplyRight>);

impl Default for ApplyTurn {
    fn default() -> Self {
        Self(Mutex::new(ApplyRight(())))
    }
}

impl ApplyTurn {
    /// Acquires the right until the guard is dropped. Never waits.
    ///
    /// # Panics
    /// Another caller has the right, or panicked while it had it: then the state may be half
    /// changed.
    pub(crate) fn acquire(&self) -> MutexGuard<'_, ApplyRight> {
        match self.0.try_lock() {
            Ok(right) => right,
            Err(TryLockError::WouldBlock) => panic!("another caller is changing the state"),
            Err(TryLockError::Poisoned(_)) => panic!("a change of the state ended in a panic"),
        }
    }
}
