//! What can be wrong with a log.

use std::io::{self, ErrorKind};
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
    /// The log ends before what was made from it. It may have lost its end, so it is not gone on with.
    #[error(
        "the log ends at revision {head}, but {} was made from it up to revision {indexed_until}: if \
         you put an older copy of the log there on purpose, remove that file and start again; else \
         the log is damaged: restore it from a backup",
        index.display()
    )]
    EndsEarly {
        /// Where the log ends.
        head: Revision,
        /// Up to where the index has it.
        indexed_until: Revision,
        /// The index.
        index: PathBuf,
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
    /// An index is not one of the log, or not of the log as it is now.
    #[error("{} does not fit its log: {what}", file.display())]
    OfAnotherLog {
        /// The file.
        file: PathBuf,
        /// What was found.
        what: String,
    },
    /// The index cannot be used, so what only the index has cannot be read.
    #[error(
        "{} cannot be used ({why}), and what only it has is not served until it is mended; if that \
         does not come about, look at its disk",
        file.display()
    )]
    IndexLost {
        /// The file.
        file: PathBuf,
        /// What failed.
        why: String,
    },
    /// There is no log, but something that was made from one.
    #[error(
        "{} is missing, but {} was made from it: put the log back from a backup; or, to start with \
         an empty log, move the whole data folder away",
        file.display(),
        made_from_it.display()
    )]
    Missing {
        /// The file of the log.
        file: PathBuf,
        /// What is there.
        made_from_it: PathBuf,
    },
    /// The file was removed, or another was put in its place, while it was in use.
    #[error(
        "{} was removed or replaced while it was in use, so what is written would not be found \
         again; leave the data folder alone while a server runs, and put the log back from a \
         backup if it is gone",
        file.display()
    )]
    Replaced {
        /// The file.
        file: PathBuf,
    },
    /// The storage failed.
    #[error("cannot use {}: {source}; {}", file.display(), way_out(source.as_ref()))]
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

/// What an operator can do about an error of the storage.
fn way_out(source: &(dyn std::error::Error + Send + Sync + 'static)) -> &'static str {
    match source.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(ErrorKind::PermissionDenied) => {
            "let the user that the server runs as read and write the data folder"
        }
        Some(ErrorKind::StorageFull) => "free some space on its disk",
        Some(ErrorKind::QuotaExceeded) => "raise the quota, or free some space",
        Some(ErrorKind::FileTooLarge) => {
            "raise the limit on the size of files (ulimit -f), or use a file system that takes larger \
             ones"
        }
        Some(ErrorKind::ReadOnlyFilesystem) => "mount its file system for writing",
        Some(ErrorKind::IsADirectory | ErrorKind::NotADirectory) => {
            "it should be a file in a folder: move away what is there"
        }
        _ => {
            "look at the disk, of which the system's log may say more, and start again; if it \
             cannot be read any more, restore the data folder from a backup"
        }
    }
}
