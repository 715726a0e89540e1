//! Epochs: which opening of a log appended which events. Never says anything about time.
//!
//! ```text
//!   revisions   1 ─────────── 100 ─────── 150           the log, copied at 100
//!   epochs      └─── 7c01 ────┘└── 19e4 ──┘
//!                              101 ──────────── 180     the copy, put back
//!                              └───── 5b3f ─────┘
//! ```
//!
//! A position in a log is in the epoch of the event at it. Up to there two logs have the same history
//! if they have the same epoch there: so a position of a history that was lost is found by its epoch.

use std::fmt;
use std::sync::Arc;

use super::Revision;

/// A random number, drawn by each opening of a log for all that it appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(u32);

/// The first event of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The revision of the event.
    pub first: Revision,
    /// The epoch.
    pub epoch: Epoch,
}

/// The epochs of a log, with the one of this opening. Cheap to clone: all clones have what begins later.
///
/// # Examples
/// ```
/// use whimbrel::model::{Epoch, Epochs, EpochStart, Revision};
///
/// let start = |first, epoch| EpochStart {
///     first: Revision::new(first),
///     epoch: Epoch::new(epoch),
/// };
/// let epochs = Epochs::new([start(1, 7), start(101, 8)]);
/// assert_eq!(epochs.at(Revision::new(100)), Epoch::new(7));
/// assert_eq!(epochs.at(Revision::new(101)), Epoch::new(8));
/// assert_eq!(epochs.at(Revision::ZERO), Epoch::UNRECORDED);
///
/// epochs.begin(start(150, 9));
/// assert_eq!(epochs.at(Revision::new(149)), Epoch::new(8));
/// assert_eq!(epochs.at(Revision::new(150)), Epoch::new(9));
/// ```
#[derive(Clone, Debug)]
pub struct Epochs(Arc<boxcar::Vec<EpochStart>>);

impl Epoch {
    /// The epoch of position zero, and of all events from before epochs were recorded.
    pub const UNRECORDED: Self = Self(0);

    /// The epoch with this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number of the epoch.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl Epochs {
    /// The epochs with these starts, in the order of their revisions.
    #[must_use]
    pub fn new(starts: impl IntoIterator<Item = EpochStart>) -> Self {
        let epochs = Self(Arc::default());
        starts.into_iter().for_each(|start| epochs.begin(start));
        epochs
    }

    /// Adds one that begins after all others. Only the one writer of a log calls it.
    pub fn begin(&self, start: EpochStart) {
        let last = self.0.count().checked_sub(1).and_then(|last| self.0.get(last));
        debug_assert!(last.is_none_or(|last| last.first < start.first), "they come in order");
        if last.is_none_or(|last| last.epoch != start.epoch) {
            self.0.push(start);
        }
    }

    /// The epoch of the event at `revision`. After the newest event it is the one of the next.
    #[must_use]
    pub fn at(&self, revision: Revision) -> Epoch {
        let (mut from, mut until) = (0, self.0.count());
        while from < until {
            let middle = from.midpoint(until);
            match self.0.get(middle) {
                Some(start) if start.first <= revision => from = middle + 1,
                // One that is being added begins later than what is read.
                _ => until = middle,
            }
        }
        let found = from.checked_sub(1).and_then(|at| self.0.get(at));
        found.map_or(Epoch::UNRECORDED, |start| start.epoch)
    }
}
