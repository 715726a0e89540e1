//! Positions as clients hold them.

use std::fmt;

use super::Revision;

/// Which log a position belongs to: drawn at random when the log was made.
///
/// A log that is restored or made anew without it could give old positions a new meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogId(u64);

/// A position in a log, after which something goes on.
///
/// ```text
///              after            snapshot_until        head
///  ──────────────┼─────────────────────┼───────────────┼──▶ revisions
///                 └── the feed's items ┘└─── events ───┘
/// ```
///
/// Within a snapshot (`snapshot_until` is set and beyond `after`) what follows are the items of
/// the feed as it is read, posts from before their author was followed included; after it, and
/// everywhere in a cursor without it, the events of the feed as they happened. A stream that
/// breaks inside its snapshot can so be resumed to the same end.
///
/// # Examples
/// ```
/// use whimbrel::model::{Cursor, LogId, Revision};
///
/// // A client has seen everything up to revision 40.
/// let live = Cursor::after(LogId::new(7), Revision::new(40));
/// assert_eq!(live.needs(), Revision::new(40));
///
/// // It is in a snapshot that was taken at revision 90, and has its items up to revision 40. A
/// // server that has come only to 50 cannot go on with that.
/// let in_snapshot = Cursor { snapshot_until: Revision::new(90), ..live };
/// assert_eq!(in_snapshot.needs(), Revision::new(90));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The log.
    pub log: LogId,
    /// Everything up to and including this has been seen.
    pub after: Revision,
    /// The end of the snapshot that the position is inside of; [`Revision::ZERO`] for none.
    pub snapshot_until: Revision,
}

impl LogId {
    /// The id with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Cursor {
    /// The position after `revision`, inside no snapshot.
    #[must_use]
    pub const fn after(log: LogId, revision: Revision) -> Self {
        Self { log, after: revision, snapshot_until: Revision::ZERO }
    }

    /// The newest change that a server must have to serve what follows.
    #[must_use]
    pub fn needs(&self) -> Revision {
        self.after.max(self.snapshot_until)
    }
}
