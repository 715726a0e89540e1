//! Places in a user's lists.

use super::Revision;

/// One of the events by which a user concerns feeds, their followers' or their own: where it is in
/// the log, and of what kind, in one number. In order of their revisions.
///
/// The kind tells most readers all they need, so that the event itself need not be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark(u64);

/// What a [`Mark`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// A post that every follower sees.
    Post,
    /// A post that a follower sees or not by whom else they follow and hide, as
    /// [`super::Content::is_conditional`] says.
    Conditional,
    /// A repost.
    Repost,
    /// Nothing to be seen, but something to be told: a deletion, a repost taken back, or a change
    /// of whom the user follows or hides.
    Change,
}

const KIND_BITS: u32 = 2;

impl Mark {
    /// Before every other.
    pub const FIRST: Self = Self(0);
    /// After every other.
    pub const LAST: Self = Self(u64::MAX);

    /// The mark of `kind` at `revision`.
    ///
    /// # Panics
    /// The revision has more than 62 bits: no log has come so far.
    #[must_use]
    pub const fn new(revision: Revision, kind: MarkKind) -> Self {
        assert!(revision.get() <= Revision::MAX.get() >> KIND_BITS, "no mark can be there");
        Self(revision.get() << KIND_BITS | kind as u64)
    }

    /// Before any mark at `revision`, and after all at the revisions before it.
    #[must_use]
    pub const fn before(revision: Revision) -> Self {
        if revision.get() > Revision::MAX.get() >> KIND_BITS {
            return Self::LAST;
        }
        Self(revision.get() << KIND_BITS)
    }

    /// The mark with this number.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The place right after; [`Mark::LAST`] has none and stays.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The place right before; [`Mark::FIRST`] has none and stays. A mark that is before `self` is
    /// there or before that.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// Where it is.
    #[must_use]
    pub const fn revision(self) -> Revision {
        Revision::new(self.0 >> KIND_BITS)
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(self) -> MarkKind {
        match self.0 & ((1 << KIND_BITS) - 1) {
            0 => MarkKind::Post,
            1 => MarkKind::Conditional,
            2 => MarkKind::Repost,
            _ => MarkKind::Change,
        }
    }
}
