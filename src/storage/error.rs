//! Errors of the log and the index. Each message names the file and the next step of the operator,
//! and never has content of a post.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use crate::formats::OtherFormat;
use crate::model::{LogId, Revision};

/// Why a log or an index cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has locked the data folder.
    #[error(
        "the data folder {} is in use by {}; stop that one first, or use another folder",
        dir.display(),
        holder.as_deref().unwrap_or("another process")
    )]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// The process that holds the lock, as it wrote into the lock file.
        holder: Option<String>,
    },
    /// The file has a version of its format that this program does not read.
    #[error("{} {other}", file.display())]
    OtherFormat {
        /// The file.
        file: PathBuf,
        /// The version, and what to do.
        other: OtherFormat,
    },
    /// The file does not have the bytes that were written.
    #[error(
        "{} is damaged: {what}; restore the data folder from a backup, or move it away to start \
         with an empty one",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The damage, for the operator.
        what: String,
    },
    /// The log ends before a file that was written after it. The log may have lost its end, so
    /// nothing is appended to it.
    #[error(
        "the log ends at revision {head}, but {} says that it had events up to revision \
         {durable_until}: if you put an older copy of the log there on purpose, remove that file \
         and start again; else the log is damaged: restore it from a backup",
        file.display()
    )]
    EndsEarly {
        /// The last revision of the log.
        head: Revision,
        /// The last revision that the log had.
        durable_until: Revision,
        /// The file that says so: the index, or the checkpoint of the log.
        file: PathBuf,
    },
    /// Less than the reserve is free on the disk. Nothing was written.
    #[error(
        "the disk is nearly full: {bytes_free} bytes are free, and writes need at least \
         {bytes_min}; free some space"
    )]
    DiskFull {
        /// Free bytes.
        bytes_free: u64,
        /// Bytes that must be free.
        bytes_min: u64,
    },
    /// The disk has no room for a second copy of a segment of the log. Nothing was written.
    #[error(
        "{bytes_free} bytes are free on the disk, and the copy of a part of the log without deleted \
         posts needs {bytes_needed}; free some space"
    )]
    NoRoomForCopy {
        /// Free bytes.
        bytes_free: u64,
        /// Bytes that must be free: the size of the copy and the reserve.
        bytes_needed: u64,
    },
    /// The disk has no room for the log in its new form. Nothing was changed.
    #[error(
        "{bytes_free} bytes are free on the disk, and {bytes_needed} are needed to take over {} of \
         an earlier version; free some space",
        file.display()
    )]
    NoRoomToTakeOver {
        /// The file of the earlier version.
        file: PathBuf,
        /// Free bytes.
        bytes_free: u64,
        /// Bytes that must be free.
        bytes_needed: u64,
    },
    /// The folder has a log, and a file of an earlier version with another one.
    #[error(
        "there are two logs: {} and, of an earlier version, {}, which has other events; move away \
         the one that you do not want",
        folder.display(),
        file.display()
    )]
    TwoLogs {
        /// The folder of the log.
        folder: PathBuf,
        /// The file of an earlier version.
        file: PathBuf,
    },
    /// Another append came first. Nothing was written.
    #[error("the log has events up to revision {head} already")]
    HeadMoved {
        /// The last revision of the log.
        head: Revision,
    },
    /// The index was built from another log, or from another state of this log.
    #[error("{} does not match its log: {what}", file.display())]
    OfAnotherLog {
        /// The file.
        file: PathBuf,
        /// The difference, for the operator.
        what: String,
    },
    /// The index cannot be used. Data that only the index has cannot be read.
    #[error(
        "{} cannot be used ({why}), and data that only it has is not served until it is repaired; \
         if it stays so, look at its disk",
        file.display()
    )]
    IndexLost {
        /// The file.
        file: PathBuf,
        /// What failed.
        why: String,
    },
    /// The folder has no log.
    #[error(
        "there is no log in {}: give a data folder, or a folder with a copy of its folder log; a \
         log.redb of an earlier version is taken over when a server starts",
        dir.display()
    )]
    NoLog {
        /// The data folder.
        dir: PathBuf,
    },
    /// A log is restored only into a folder without anything.
    #[error(
        "{} is not empty: it has {}; restore into an empty folder, or into one that does not exist, and \
         move files such as api-keys.json back afterwards",
        dir.display(),
        found.display()
    )]
    NotEmpty {
        /// The data folder.
        dir: PathBuf,
        /// A file in it.
        found: PathBuf,
    },
    /// A restore into the folder did not come to its end.
    #[error(
        "a restore into {} was interrupted: run it again; or, to start with an empty log, remove {}",
        dir.display(),
        unfinished.display()
    )]
    RestoreUnfinished {
        /// The data folder.
        dir: PathBuf,
        /// What was restored so far.
        unfinished: PathBuf,
    },
    /// The folder has files that are derived from a log, but no log.
    #[error(
        "{} is missing, but {} was made from it: put the log back from a backup; or, to start with \
         an empty log, move the whole data folder away",
        file.display(),
        made_from_it.display()
    )]
    Missing {
        /// The file of the log.
        file: PathBuf,
        /// The file that is derived from it.
        made_from_it: PathBuf,
    },
    /// The file was removed, or another file took its name, while it was in use.
    #[error(
        "{} was removed or replaced while it was in use, so the next start would not find new \
         events; leave the data folder alone while a server runs, and put the log back from a \
         backup if it is gone",
        file.display()
    )]
    Replaced {
        /// The file.
        file: PathBuf,
    },
    /// The folder has a copy of a log that is kept elsewhere.
    #[error(
        "the log in {} is a copy of one that PostgreSQL keeps: give --store, or another data folder",
        dir.display()
    )]
    IsACopy {
        /// The data folder.
        dir: PathBuf,
    },
    /// The folder has a log that was decided here, where a copy is to be.
    #[error(
        "{} has a log of its own, which PostgreSQL does not have: `whimbrel log copy` copies it there; or give another data \
         folder, or leave --store out",
        dir.display()
    )]
    IsNoCopy {
        /// The data folder.
        dir: PathBuf,
    },
    /// The folder has a copy of another log.
    #[error(
        "{} has a copy of log {own}, and --store has log {store}: give the store of the former, or another data folder",
        dir.display()
    )]
    OfAnotherStore {
        /// The data folder.
        dir: PathBuf,
        /// The log that it is a copy of.
        own: LogId,
        /// The log of the store.
        store: LogId,
    },
    /// The copy and the log that it is of have different events.
    #[error(
        "the log in PostgreSQL and the copy in the data folder, which ends at revision {head}, have different events \
         after revision {after}: one of them was put back from a backup, or lost its end in a fail-over. If PostgreSQL \
         has what you want, stop this node, move its data folder away and start it again"
    )]
    Forked {
        /// Up to where they may be equal.
        after: Revision,
        /// The end of the copy.
        head: Revision,
    },
    /// PostgreSQL cannot be reached, refuses, or has settings under which acknowledged changes could be lost.
    #[error("PostgreSQL at {server}: {what}")]
    Store {
        /// Its address, without a password.
        server: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// The operating system or the storage library reported an error.
    #[error("cannot use {}: {source}; {}", file.display(), advice(source.as_ref()))]
    Storage {
        /// The file or folder.
        file: PathBuf,
        /// The error that was reported.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// The operator's next step after [`Error::Storage`].
fn advice(source: &(dyn std::error::Error + Send + Sync + 'static)) -> &'static str {
    match source.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(ErrorKind::PermissionDenied) => {
            "let the user that the server runs as read and write the data folder"
        }
        Some(ErrorKind::StorageFull) => "free some space on its disk",
        Some(ErrorKind::QuotaExceeded) => "raise the quota, or free some space",
        Some(ErrorKind::FileTooLarge) => {
            "raise the limit on the size of files (ulimit -f), or use a file system that allows \
             larger ones"
        }
        Some(ErrorKind::ReadOnlyFilesystem) => "mount its file system for writing",
        Some(ErrorKind::IsADirectory) => "a folder is where a file should be: move it away",
        Some(ErrorKind::NotADirectory) => {
            "a part of its path is a file: give a folder, or move the file away"
        }
        _ => {
            "look at the disk, of which the system's log may say more, and start again; if it \
             cannot be read any more, restore the data folder from a backup"
        }
    }
}
