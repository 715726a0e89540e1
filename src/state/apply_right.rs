//! Whose turn it is to change the state: one caller's at a time.
//!
//! What only the applier may call takes an [`ApplyRight`], of which a state has one. So nothing that
//! reads can come there, and what is there need not be safe against a second writer.

use std::sync::{Mutex, MutexGuard, TryLockError};

/// The right to change the state.
#[derive(Debug)]
pub(crate) struct ApplyRight(());

/// Where the right is while nobody has it.
#[derive(Debug)]
pub(crate) struct ApplyTurn(Mutex<ApplyRight>);

impl Default for ApplyTurn {
    fn default() -> Self {
        Self(Mutex::new(ApplyRight(())))
    }
}

impl ApplyTurn {
    /// Takes the right, until what is given is dropped.
    ///
    /// # Panics
    /// Somebody has it, or panicked while they had it: then it is not known what they did by then.
    pub(crate) fn take(&self) -> MutexGuard<'_, ApplyRight> {
        match self.0.try_lock() {
            Ok(applying) => applying,
            Err(TryLockError::WouldBlock) => panic!("the state is being changed by somebody else"),
            Err(TryLockError::Poisoned(_)) => panic!("a change of the state ended in a panic"),
        }
    }
}
