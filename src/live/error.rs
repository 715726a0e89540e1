//! The errors of streams. A slow reader never causes one.

use crate::model::CursorError;
use crate::query;

/// The reason why a stream is not opened, or ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cursor cannot be served.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// The user has too many streams.
    #[error("the user has {streams_max} open streams, and that is the most: close one")]
    TooManyStreamsOfUser {
        /// The limit.
        streams_max: usize,
    },
    /// The server has too many streams.
    #[error("the server has {streams_max} open streams, and that is the most: try again later")]
    TooManyStreams {
        /// The limit.
        streams_max: usize,
    },
    /// The index or the log could not be read.
    #[error(transparent)]
    Read(#[from] query::Error),
}
