//! Threads that all others wait for, and which therefore never wait for the disk to read something.
//! Debug builds hold them to it.

use std::cell::Cell;

thread_local! {
    static ARE_ALLOWED: Cell<bool> = const { Cell::new(true) };
}

/// From now on the calling thread reads neither a log nor an index. It may write.
pub fn forbid_disk_reads() {
    ARE_ALLOWED.set(false);
}

/// To be asked by whatever reads a file.
pub(super) fn assert_disk_reads_allowed() {
    debug_assert!(ARE_ALLOWED.get(), "a thread that others wait for reads the disk");
}
