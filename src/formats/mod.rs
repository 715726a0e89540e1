//! The formats of all that is kept on disks: their versions, what this program reads of them, and the text
//! with which it refuses others. Never reads or writes a file.
//!
//! Raise a version when an older program could not read, or would read wrongly, what is written from now on:
//! also for one more kind of change. `docs/upgrades.md` has a row for each format, and `CONTRIBUTING.md` says
//! what else belongs to a new version.

use std::fmt;

/// The version of this program, as it leaves it in what it writes.
pub const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// The format of one kind of file or text.
#[derive(Debug, PartialEq, Eq)]
pub struct DiskFormat {
    /// What has it.
    pub name: &'static str,
    /// The version that is written; of what is not written any more, the last.
    pub version: u32,
    /// The oldest version that is read.
    pub oldest: u32,
    /// The last release that reads versions before `oldest`, if there were any.
    pub migrated_by: Option<&'static str>,
    /// What becomes of a file of another version.
    pub other: OtherVersion,
}

/// What becomes of a file of a version that is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherVersion {
    /// It is refused, and stays as it is.
    Refused,
    /// It is made again from the log.
    Rebuilt,
    /// It is fetched again.
    FetchedAgain,
}

impl DiskFormat {
    const fn first(name: &'static str) -> Self {
        Self { name, version: 1, oldest: 1, migrated_by: None, other: OtherVersion::Refused }
    }

    /// Whether a version is read.
    #[must_use]
    pub const fn reads(&self, found: u64) -> bool {
        self.oldest as u64 <= found && found <= self.version as u64
    }
}

/// Segments of the log with all their parts: heads, frames, records, tables and feet. Versions 1 and 2 were
/// those of [`LOG_FILE`].
pub static SEGMENT: DiskFormat =
    DiskFormat { version: 3, oldest: 3, ..DiskFormat::first("segment") };
/// The log in one file, which is taken over and not written any more. Records of version 1 do not name the
/// users that a mention notifies.
pub static LOG_FILE: DiskFormat = DiskFormat { version: 2, ..DiskFormat::first("log.redb") };
/// The checkpoint of the log.
pub static CHECKPOINT: DiskFormat = DiskFormat::first("checkpoint");
/// The tables of the index. Up to version 2 their blocks have no checks.
pub static INDEX: DiskFormat = DiskFormat {
    version: 6,
    oldest: 6,
    other: OtherVersion::Rebuilt,
    ..DiskFormat::first("index")
};
/// The blocks in which the index is.
pub static INDEX_BLOCKS: DiskFormat =
    DiskFormat { other: OtherVersion::Rebuilt, ..DiskFormat::first("index blocks") };
/// `api-keys.json`.
pub static API_KEYS: DiskFormat = DiskFormat::first("API keys");
/// `provider-keys/`.
pub static PROVIDER_KEYS: DiskFormat =
    DiskFormat { other: OtherVersion::FetchedAgain, ..DiskFormat::first("provider keys") };
/// The manifest of a backup.
pub static MANIFEST: DiskFormat = DiskFormat::first("backup manifest");
/// The tables of a log in PostgreSQL. Their records are those of [`SEGMENT`]. Version 1 has no table of nodes.
pub static STORE: DiskFormat = DiskFormat { version: 3, ..DiskFormat::first("log in PostgreSQL") };
/// Cursors and page tokens, which clients keep. Those of version 0 have no epoch.
pub static TOKEN: DiskFormat =
    DiskFormat { oldest: 0, ..DiskFormat::first("cursor and page token") };

/// All formats that have a version.
pub static ALL: [&DiskFormat; 10] = [
    &SEGMENT,
    &LOG_FILE,
    &CHECKPOINT,
    &INDEX,
    &INDEX_BLOCKS,
    &API_KEYS,
    &PROVIDER_KEYS,
    &MANIFEST,
    &STORE,
    &TOKEN,
];

/// A version that is not read: what it is, who wrote it, and what to do. Its text follows the name of the
/// file in an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherFormat {
    /// The format.
    pub format: &'static DiskFormat,
    /// The version that was found; `None` if only a later program can tell it.
    pub found: Option<u64>,
    /// The version of the program that wrote it, if that is known.
    pub writer: Option<String>,
}

impl OtherFormat {
    /// A version of a format that is not read. One that has a version which is read, and something that this
    /// version never has, is of a later program.
    #[must_use]
    pub fn new(format: &'static DiskFormat, found: u64) -> Self {
        Self { format, found: (!format.reads(found)).then_some(found), writer: None }
    }

    /// With the version of the program that wrote it, if that is known.
    #[must_use]
    pub fn written_by(self, writer: Option<String>) -> Self {
        Self { writer, ..self }
    }

    fn is_later(&self) -> bool {
        self.found.is_none_or(|found| found > u64::from(self.format.version))
    }
}

impl fmt::Display for OtherFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DiskFormat { name, version, oldest, migrated_by, other } = self.format;
        match self.found {
            Some(found) => write!(f, "has version {found} of the format `{name}`")?,
            None => write!(f, "has a later version of the format `{name}`")?,
        }
        match &self.writer {
            Some(writer) => write!(f, ", written by whimbrel {writer}")?,
            None if self.is_later() => f.write_str(", written by a later whimbrel")?,
            None => {}
        }
        write!(f, "; this is whimbrel {PROGRAM}, which reads ")?;
        match oldest == version {
            true => write!(f, "version {version}")?,
            false => write!(f, "versions {oldest} to {version}")?,
        }
        match (other, self.is_later(), migrated_by) {
            (OtherVersion::Rebuilt, ..) => f.write_str("; it is rebuilt from the log"),
            (OtherVersion::FetchedAgain, ..) => f.write_str("; it is fetched again"),
            (OtherVersion::Refused, true, _) => {
                match &self.writer {
                    Some(writer) => write!(f, ": use whimbrel {writer} or a later one")?,
                    None => f.write_str(": use the version that wrote it, or a later one")?,
                }
                f.write_str(", or go back to a backup from before the upgrade; nothing was changed")
            }
            (OtherVersion::Refused, false, Some(release)) => write!(
                f,
                ": whimbrel {release} is the last that reads it, so start that one on it first; \
                 nothing was changed"
            ),
            (OtherVersion::Refused, false, None) => {
                f.write_str(": no whimbrel wrote that one, so it is damaged; nothing was changed")
            }
        }
    }
}
