//! Revisions: positions in the log. Never bound to one log; a [`Cursor`](super::Cursor) is.

use std::fmt;

/// The position of an event in the log: 1 for the first event, and one more for each next one.
///
/// [`Revision::ZERO`] is the position before the first event. No event has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision(u64);

impl Revision {
    /// The position before the first event.
    pub const ZERO: Self = Self(0);
    /// The greatest position.
    pub const MAX: Self = Self(u64::MAX);

    /// The position with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number of the position.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next position; [`Revision::MAX`] stays the same.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The position before; [`Revision::ZERO`] stays the same.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
