//! The errors of queries. They never depend on gRPC: [`api`](crate::api) maps them to a status.

use crate::model::{CursorError, PostId, Revision, UserId};
use crate::state::{MissingEvent, ReadError};
use crate::storage;

/// The reason why a query is refused or fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cursor is not of this log.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// The server has not applied the revision that the call requires.
    #[error("this server is at revision {applied}, and the call asks for {wanted}: try again")]
    NodeBehind {
        /// The required revision.
        wanted: Revision,
        /// The revision that was applied last.
        applied: Revision,
    },
    /// The revision is after the newest that this server has applied.
    #[error("revision {revision} is after the newest, which is {newest}")]
    AfterNewest {
        /// The requested revision.
        revision: Revision,
        /// The revision that was applied last.
        newest: Revision,
    },
    /// One of the two users blocks the other.
    #[error("{user} and {other} do not see each other, because one of them blocks the other")]
    Blocked {
        /// The caller.
        user: UserId,
        /// The user whose data was requested.
        other: UserId,
    },
    /// The post does not exist, was deleted, or is of an author whom the caller does not see.
    #[error("there is no post at revision {}: it never was, or it was deleted", post.revision())]
    PostNotFound {
        /// The requested id.
        post: PostId,
    },
    /// The log does not have a listed event.
    #[error(transparent)]
    Missing(#[from] MissingEvent),
    /// The log or the index is damaged or cannot be read.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// Too many calls of this caller wait for their turn to read the disk.
    #[error(
        "the server is busy, and {waiting_max} calls of yours wait to read the disk already: try \
         again in a moment"
    )]
    TooManyWait {
        /// So many may wait now. There are fewer when others wait, too.
        waiting_max: usize,
    },
    /// The call was cancelled.
    #[error("the read was stopped, because its call was cancelled")]
    Abandoned,
}

/// The reason why a [`Source`](super::Source) gave no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// Memory does not have all that the answer needs, or to scan it takes too long on a thread
    /// that must not block. A source with the index never returns this.
    NotInMemory,
    /// The query is refused, or the log or the index cannot be read.
    Failed(Error),
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Missing(missing) => Self::Missing(missing),
            ReadError::Storage(error) => Self::Storage(error),
        }
    }
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<CursorError> for Unanswered {
    fn from(error: CursorError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<MissingEvent> for Unanswered {
    fn from(error: MissingEvent) -> Self {
        Self::Failed(error.into())
    }
}

impl From<ReadError> for Unanswered {
    fn from(error: ReadError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<storage::Error> for Unanswered {
    fn from(error: storage::Error) -> Self {
        Self::Failed(error.into())
    }
}
