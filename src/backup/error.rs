//! Why a backup cannot be taken, used or restored. Each message says what to do.

use std::path::PathBuf;

use super::DestinationError;
use crate::formats::OtherFormat;
use crate::{client, storage};

/// Why a backup cannot be taken, used or restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused, or cannot be reached.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The destination cannot be read or written.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// A segment is damaged, or the data folder cannot be written.
    #[error(transparent)]
    Log(#[from] storage::Error),
    /// An object is not what its name or its manifest says.
    #[error("{object} is damaged: {what}; use another backup, or another copy of this one")]
    Damaged {
        /// The object, with the destination.
        object: String,
        /// The damage.
        what: String,
    },
    /// A segment as the server sent it is not what it said before.
    #[error("the server sent another segment than it listed ({what}): try again")]
    NotAsListed {
        /// The difference.
        what: String,
    },
    /// The server rewrites its segments all the time.
    #[error("the server replaced segments {times} times while they were read: try again later")]
    AlwaysReplaced {
        /// How often.
        times: u32,
    },
    /// An object has a version of its format that this program does not read.
    #[error("{object} {other}")]
    OtherFormat {
        /// The object, with the destination.
        object: String,
        /// The version, and what to do.
        other: OtherFormat,
    },
    /// There is no such backup.
    #[error("there is no backup {name} in {destination}: `whimbrel backup list` shows them")]
    NoBackup {
        /// The name that was given, or `at all`.
        name: String,
        /// Where it was looked for.
        destination: String,
    },
    /// The backup ends before the wanted place.
    #[error("the backup {name} ends at revision {head}: take a later one, or an earlier revision")]
    EndsEarly {
        /// The backup.
        name: String,
        /// Its last revision.
        head: u64,
    },
    /// No event came until the wanted time.
    #[error(
        "the backup {name} has no event up to that time: take an earlier backup or a later time"
    )]
    NothingUntil {
        /// The backup.
        name: String,
    },
    /// A prune removes segments at this moment.
    #[error(
        "segments are being removed from {destination} by `whimbrel backup prune`; try again when it \
         is done; if it was killed, remove pruning.json there"
    )]
    Pruning {
        /// The destination.
        destination: String,
    },
    /// A backup is being taken, and may need any segment.
    #[error(
        "a backup to {destination} is under way ({marker}); try again when it is done; if it was \
         killed, that is known a quarter of an hour later"
    )]
    BackupRunning {
        /// The destination.
        destination: String,
        /// The object that says so.
        marker: String,
    },
    /// Segments of the new backup are gone, or only a part of them is there.
    #[error(
        "segments of the new backup are not in {destination}, or not whole: they were removed while it \
         was taken, or the destination does not keep what it says; take it again"
    )]
    SegmentsGone {
        /// The destination.
        destination: String,
    },
    /// Backups are named by time.
    #[error("the clock of this machine shows a time before 1970: set it")]
    Clock,
    /// The data folder cannot be looked at.
    #[error("cannot use {}: {source}", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
}
