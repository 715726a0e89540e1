//! Threads that must not block on a disk read, because all other threads wait for them. Debug
//! builds assert it. Never forbids a write.

use std::cell::Cell;

thread_local! {
    static ARE_ALLOWED: Cell<bool> = const { Cell::new(true) };
}

/// Forbids the calling thread to read a log or an index, until the thread ends. Writes stay
/// allowed.
pub fn forbid_disk_reads() {
    ARE_ALLOWED.set(false);
}

/// Every function that reads a storage file calls this first.
///
/// # Panics
/// In debug builds: disk reads are forbidden on the calling thread.
pub(super) fn assert_disk_reads_allowed() {
    debug_assert!(ARE_ALLOWED.get(), "a thread that others wait for reads the disk");
}
