//! Why a query is refused, fails, or has no answer from memory.

use crate::model::{CursorError, PostId, Revision, UserId};
use crate::state::{MissingEvent, ReadError};
use crate::storage;

/// Why a query is refused or fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The position is not one of this log.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// This server has not applied the position that the caller wants to see.
    #[error("this server is at revision {applied}, and the call asks for {wanted}: try again")]
    NodeBehind {
        /// The position that the caller wants to see.
        wanted: Revision,
        /// The newest that is applied.
        applied: Revision,
    },
    /// One of the two blocks the other.
    #[error("{user} and {other} do not see each other, because one of them blocks the other")]
    Blocked {
        /// The caller.
        user: UserId,
        /// The user whose data was asked for.
        other: UserId,
    },
    /// There is no such post, it was deleted, or the caller does not see its author.
    #[error("there is no post {post}: it never was, or it was deleted")]
    PostNotFound {
        /// Its id.
        post: PostId,
    },
    /// The log does not have what is listed.
    #[error(transparent)]
    Missing(#[from] MissingEvent),
    /// The log or the index is damaged or cannot be read.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The caller has gone away.
    #[error("the read was given up, because nobody waited for it any more")]
    Abandoned,
}

/// Why a [`Source`](super::Source) has no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// Memory does not have all that is needed, or it takes too long to go through it on a thread that
    /// must not block. Never from a source with the index.
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
