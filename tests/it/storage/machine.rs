//! A machine with several disks, whose power is cut at one moment for all of them. Never knows what a
//! disk holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the operations of all disks of a machine. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    moments: Arc<AtomicUsize>,
}

impl Machine {
    /// The moment of the next operation, which no other operation has.
    pub(super) fn next_moment(&self) -> usize {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }

    /// The number of operations of all disks.
    pub(crate) fn moments(&self) -> usize {
        self.moments.load(Ordering::SeqCst)
    }
}
