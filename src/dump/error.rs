//! Why a log cannot be dumped or loaded. Never names a line's content.

use crate::{client, storage};

/// Why a log cannot be dumped or loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused, or cannot be reached.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The log is damaged, or cannot be read or written.
    #[error(transparent)]
    Log(#[from] storage::Error),
    /// The server sent what is no segment of its log.
    #[error("the server sent another segment than it listed ({what}): try again")]
    NotAsListed {
        /// The difference.
        what: String,
    },
    /// The server rewrites its segments all the time.
    #[error("the server replaced a segment {times} times while it was read: try again later")]
    AlwaysReplaced {
        /// How often.
        times: u32,
    },
    /// A line is no event that may follow those before it.
    #[error("line {line}: {what}; nothing was loaded")]
    Line {
        /// The number of the line, from 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
}
