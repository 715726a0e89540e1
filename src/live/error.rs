//! Why a stream is not opened, or cannot go on.

use crate::model::{Cursor, LogId, Revision};
use crate::state::{MissingEvent, ReadError};
use crate::storage;

/// Why a cursor cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// It is a position in another log.
    #[error("the cursor belongs to another log ({given}, this is {own}): start anew without it")]
    OfAnotherLog {
        /// The cursor's log.
        given: LogId,
        /// This log.
        own: LogId,
    },
    /// It lies beyond the newest change.
    #[error(
        "the cursor is at revision {given} but the log ends at {head}, as after a restore from an \
         older backup: start anew without it"
    )]
    BeyondHead {
        /// The cursor's revision.
        given: Revision,
        /// The newest there is.
        head: Revision,
    },
    /// What followed it is no longer kept.
    #[error("what followed the cursor is no longer kept: start anew, or from `oldest_cursor`")]
    TooOld {
        /// The oldest that can be served.
        oldest: Cursor,
    },
}

/// Why a stream is not opened, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cursor cannot be served.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// The user has too many streams.
    #[error("the user has {streams_max} open streams, and that is the most: close one")]
    TooManyStreamsOfUser {
        /// How many there may be.
        streams_max: usize,
    },
    /// The server has too many streams.
    #[error("the server has {streams_max} open streams, and that is the most: try again later")]
    TooManyStreams {
        /// How many there may be.
        streams_max: usize,
    },
    /// The log does not have what is listed.
    #[error(transparent)]
    Missing(#[from] MissingEvent),
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] storage::Error),
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Missing(missing) => Self::Missing(missing),
            ReadError::Log(error) => Self::Log(error),
            // Nobody is there to be told.
            ReadError::Abandoned => Self::Log(storage::Error::Closed),
        }
    }
}
