//! The bytes that all connections, or those of one address, hold together, and the share that one
//! connection has of them. Never knows whose a share is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes of unfinished requests that the connections of one address hold. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct AddressPot(Arc<AtomicUsize>);

impl AddressPot {
    /// The counted bytes.
    pub(super) fn bytes(&self) -> &AtomicUsize {
        &self.0
    }
}

/// The bytes of one kind that all connections hold.
#[derive(Debug)]
pub(super) struct Pot {
    bytes_max: usize,
    bytes: AtomicUsize,
    /// What of them connections hold that are being closed: so one excess closes one connection.
    written_off: AtomicUsize,
}

/// What one connection has in a [`Pot`].
#[derive(Debug, Default)]
pub(super) struct Share {
    bytes: AtomicUsize,
    written_off: AtomicUsize,
}

impl Pot {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: AtomicUsize::new(0), written_off: AtomicUsize::new(0) }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether more is held than may be, without what is written off.
    pub(super) fn is_too_full(&self) -> bool {
        let held = self.bytes();
        held > self.bytes_max
            && held.saturating_sub(self.written_off.load(Ordering::Relaxed)) > self.bytes_max
    }
}

impl Share {
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Adds `bytes`. Gives how many there are then.
    pub(super) fn add(&self, pot: &Pot, bytes: usize) -> usize {
        pot.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    /// Subtracts `bytes`. Gives how many there were before.
    pub(super) fn subtract(&self, pot: &Pot, bytes: usize) -> usize {
        let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "{bytes} of {before} bytes are freed");
        pot.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if self.written_off.load(Ordering::Relaxed) > 0 {
            self.take_back(pot, bytes);
        }
        before
    }

    /// Counts what there is as free, because its connection is being closed.
    pub(super) fn write_off(&self, pot: &Pot) {
        let bytes = self.bytes();
        self.written_off.fetch_add(bytes, Ordering::Relaxed);
        pot.written_off.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Ends what was written off, for at most so many `bytes`: they are free, or nobody holds any.
    pub(super) fn take_back(&self, pot: &Pot, bytes: usize) {
        let less = |left: usize| Some(left.saturating_sub(bytes));
        let before = self.written_off.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        let before = before.unwrap_or_else(|unchanged| unchanged);
        pot.written_off.fetch_sub(before.min(bytes), Ordering::Relaxed);
    }
}
