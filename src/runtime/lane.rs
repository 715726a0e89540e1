//! Which worker this thread is.

use std::cell::Cell;

thread_local! {
    static LANE: Cell<usize> = const { Cell::new(0) };
}

/// The number of the worker that this thread is, from 1; 0 for every other thread.
#[must_use]
pub fn lane() -> usize {
    LANE.get()
}

/// From now on this thread is the worker with this number.
pub(super) fn enter_lane(lane: usize) {
    LANE.set(lane);
}
