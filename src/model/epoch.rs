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

/// The epochs of a log, with the one of this opening. Cheap to clone.
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
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epochs(Arc<[EpochStart]>);

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
        let starts: Arc<[_]> = starts.into_iter().collect();
        debug_assert!(
            starts.is_sorted_by(|one, next| one.first < next.first),
            "they come in order"
        );
        Self(starts)
    }

    /// The epoch of the event at `revision`. After the newest event it is the one of the next.
    #[must_use]
    pub fn at(&self, revision: Revision) -> Epoch {
        let after = self.0.partition_point(|start| start.first <= revision);
        self.0[..after].last().map_or(Epoch::UNRECORDED, |start| start.epoch)
    }
}
