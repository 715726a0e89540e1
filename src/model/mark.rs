//! Marks: the entries of users' timelines. A mark never names the user whose timeline has it.

use super::Revision;

/// An event in a user's timeline: its revision and its kind in one number, ordered by revision.
///
/// ```text
///   ┌────────────────────┬───────────────┐
///   │ revision (62 bits) │ kind (2 bits) │
///   └────────────────────┴───────────────┘
/// ```
///
/// For most events the kind is enough to filter a feed, so the event itself is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark(u64);

/// The kind of a timeline event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// A post that every follower sees.
    Post,
    /// A post that some followers do not see, by their other follows, blocks and mutes, see
    /// [`super::Content::is_conditional`].
    Conditional,
    /// A repost.
    Repost,
    /// An event without a feed item: a deletion, a removed repost, or a change of the user's
    /// follows, blocks or mutes.
    Change,
}

const KIND_BITS: u32 = 2;

impl Mark {
    /// Less than or equal to every mark.
    pub const FIRST: Self = Self(0);
    /// Greater than or equal to every mark.
    pub const LAST: Self = Self(u64::MAX);

    /// The mark of `kind` at `revision`.
    ///
    /// # Panics
    /// The revision has more than 62 bits, which no log reaches.
    #[must_use]
    pub const fn new(revision: Revision, kind: MarkKind) -> Self {
        assert!(revision.get() <= Revision::MAX.get() >> KIND_BITS, "no mark can be there");
        Self(revision.get() << KIND_BITS | kind as u64)
    }

    /// The least number of a mark at `revision`: greater than all marks at earlier revisions.
    #[must_use]
    pub const fn before(revision: Revision) -> Self {
        if revision.get() > Revision::MAX.get() >> KIND_BITS {
            return Self::LAST;
        }
        Self(revision.get() << KIND_BITS)
    }

    /// The mark with this number, as from [`Mark::number`].
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The revision and the kind as one number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The next number; [`Mark::LAST`] stays the same.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number before; [`Mark::FIRST`] stays the same. A mark less than `self` is less than or
    /// equal to it.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The position of the event in the log.
    #[must_use]
    pub const fn revision(self) -> Revision {
        Revision::new(self.0 >> KIND_BITS)
    }

    /// The kind of the event.
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
