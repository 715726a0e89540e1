//! Cursors: positions in the log that clients hold. A cursor never names a feed or a user.

use std::fmt;

use super::Revision;

/// The id of a log: a random number, drawn when the log is created.
///
/// It keeps the cursors of one log from being used on another, where they mean something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogId(u64);

/// A position in a log, from which a page or a stream continues.
///
/// ```text
///              after            snapshot_until        head
///  ──────────────┼─────────────────────┼───────────────┼──▶ revisions
///                 └── the feed's items ┘└─── events ───┘
/// ```
///
/// Inside a snapshot (`snapshot_until` > `after`) the items of the feed's page follow, with posts
/// from before the follow of their author. After the snapshot, and in a cursor without one, the
/// events of the feed follow. So a stream that breaks inside its snapshot resumes inside it.
///
/// # Examples
/// ```
/// use whimbrel::model::{Cursor, LogId, Revision};
///
/// // A client has seen all events up to revision 40.
/// let live = Cursor::after(LogId::new(7), Revision::new(40));
/// assert_eq!(live.required_revision(), Revision::new(40));
///
/// // A client is inside a snapshot of revision 90, and has its items up to revision 40. A server
/// // that has applied only revision 50 cannot continue it.
/// let in_snapshot = Cursor { snapshot_until: Revision::new(90), ..live };
/// assert_eq!(in_snapshot.required_revision(), Revision::new(90));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The log.
    pub log: LogId,
    /// The last revision that the client has seen.
    pub after: Revision,
    /// The last revision of the snapshot; [`Revision::ZERO`] without a snapshot.
    pub snapshot_until: Revision,
}

impl LogId {
    /// The id with this number, as from [`LogId::get`].
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number of the id.
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
    /// The position after `revision`, without a snapshot.
    #[must_use]
    pub const fn after(log: LogId, revision: Revision) -> Self {
        Self { log, after: revision, snapshot_until: Revision::ZERO }
    }

    /// The newest revision that a server must have applied to serve the cursor.
    #[must_use]
    pub fn required_revision(&self) -> Revision {
        self.after.max(self.snapshot_until)
    }

    /// Checks that a log with the extent `log` can serve the cursor.
    ///
    /// # Errors
    /// The reason why it cannot.
    pub fn check(&self, log: &LogExtent) -> Result<(), CursorError> {
        if self.log != log.id {
            return Err(CursorError::OfAnotherLog { given: self.log, own: log.id });
        }
        if self.required_revision() > log.head {
            return Err(CursorError::BeyondHead {
                given: self.required_revision(),
                head: log.head,
            });
        }
        if self.after < log.oldest {
            return Err(CursorError::TooOld { oldest: Self::after(log.id, log.oldest) });
        }
        Ok(())
    }
}

/// The range of revisions that a log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogExtent {
    /// The log.
    pub id: LogId,
    /// The revision before the oldest event in the log.
    pub oldest: Revision,
    /// The revision of the newest durable event.
    pub head: Revision,
}

/// Why a cursor cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// The cursor is a position in another log.
    #[error("the cursor belongs to another log ({given}, this is {own}): start again without it")]
    OfAnotherLog {
        /// The log of the cursor.
        given: LogId,
        /// This log.
        own: LogId,
    },
    /// The cursor is a position in a history of this log that was lost: the log went on from an
    /// earlier position.
    #[error(
        "the cursor is at revision {given} of a history of this log that is lost, as after an older \
         backup was put back: start again without it"
    )]
    HistoryLost {
        /// The revision of the cursor.
        given: Revision,
    },
    /// The cursor is after the newest event.
    #[error(
        "the cursor is at revision {given} but the log ends at {head}, as after a restore from an \
         older backup: start again without it"
    )]
    BeyondHead {
        /// The revision of the cursor.
        given: Revision,
        /// The revision of the newest event.
        head: Revision,
    },
    /// The log no longer has all events after the cursor.
    #[error(
        "the changes after the cursor are no longer kept: start again without it, or from \
         `oldest_cursor`"
    )]
    TooOld {
        /// The oldest position that can be served.
        oldest: Cursor,
    },
}
