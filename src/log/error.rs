//! What can be wrong with a log.

use std::path::PathBuf;

use crate::model::Revision;

/// Why a log cannot be opened, read or written. Each says what the operator can do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has it.
    #[error(
        "the data folder {} is in use by {}; stop that one first, or use another folder",
        dir.display(),
        holder.as_deref().unwrap_or("another process")
    )]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// Who has it, as far as known.
        holder: Option<String>,
    },
    /// The file was made by another version.
    #[error(
        "{} has format {found}, and this version reads format {supported}; open it with the \
         version of whimbrel that made it",
        file.display()
    )]
    OtherFormat {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u64,
        /// The format that can be read.
        supported: u64,
    },
    /// The file is not what was written.
    #[error(
        "{} is damaged: {what}; restore the data folder from a backup, or move it away to start \
         with an empty one",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What was found.
        what: String,
    },
    /// Too little space is left. Nothing was written.
    #[error(
        "the disk is nearly full: {bytes_free} bytes are free, and writes are taken from \
         {bytes_min} up; free some space"
    )]
    DiskFull {
        /// How much is free.
        bytes_free: u64,
        /// How much must be.
        bytes_min: u64,
    },
    /// Too little space is left to write the log anew beside itself. Nothing was written.
    #[error(
        "{bytes_free} bytes are free on the disk, and the copy of the log without deleted posts \
         needs {bytes_needed}; free some space"
    )]
    NoRoomForCopy {
        /// How much is free.
        bytes_free: u64,
        /// How much must be: what the log takes, and what is kept free for it besides.
        bytes_needed: u64,
    },
    /// Somebody else appended first. Nothing was written.
    #[error("the log goes on to revision {head} already")]
    HeadMoved {
        /// Where it goes on to.
        head: Revision,
    },
    /// The storage failed.
    #[error("cannot use {}: {source}", file.display())]
    Storage {
        /// The file or folder.
        file: PathBuf,
        /// What the storage said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}
