//! The manifest of a backup: what it has, and where. Never says what an event is.

use serde::{Deserialize, Serialize};

use super::{Destination, Error};
use crate::formats::{MANIFEST, OtherFormat, PROGRAM};

/// The part of a destination with the manifests.
pub(super) const BACKUPS: &str = "backups";
/// The part of a destination with the segments.
pub(super) const SEGMENTS: &str = "segments";
const SUFFIX: &str = ".json";

/// What a backup has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The format of the manifest.
    pub format: u32,
    /// The version of the program that took it.
    pub version: String,
    /// When it was taken, by the clock of who took it, in RFC 3339.
    pub time: String,
    /// The id of the log.
    pub log_id: String,
    /// The last revision.
    pub revision: u64,
    /// The chain of the last revision.
    pub chain: String,
    /// All segments of the log, in order.
    pub segments: Vec<ManifestSegment>,
}

/// A segment of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestSegment {
    /// The server's id of it, by which a later backup finds that it is there.
    pub segment_id: String,
    /// The revision of its first event.
    pub first_revision: u64,
    /// The revision of its last event.
    pub last_revision: u64,
    /// The number of its bytes.
    pub bytes: u64,
    /// The chain of its last revision.
    pub chain: String,
    /// The SHA-256 of its bytes, which names its object.
    pub sha256: String,
}

impl ManifestSegment {
    /// The name of its object.
    pub(super) fn object(&self) -> String {
        format!("{SEGMENTS}/{}.seg", self.sha256)
    }
}

impl Manifest {
    /// A manifest in the format of this version.
    pub(super) fn new(
        time: String,
        log: (String, u64, String),
        segments: Vec<ManifestSegment>,
    ) -> Self {
        let (format, version) = (MANIFEST.version, PROGRAM.to_owned());
        let (log_id, revision, chain) = log;
        Self { format, version, time, log_id, revision, chain, segments }
    }

    /// The name of the backup: its time and its last revision. Names are in the order of time.
    #[must_use]
    pub fn name(&self) -> String {
        let time: String = self.time.chars().filter(char::is_ascii_alphanumeric).collect();
        format!("{time}-{}", self.revision)
    }

    /// The bytes of all its segments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Writes the manifest: from now on there is the backup.
    pub(super) async fn write(&self, destination: &Destination) -> Result<(), Error> {
        let bytes = serde_json::to_vec_pretty(self);
        let bytes = bytes.unwrap_or_else(|_| unreachable!("it has texts and numbers only"));
        Ok(destination.put(&object_of_backup(&self.name()), bytes).await?)
    }

    /// The backup with this name.
    ///
    /// # Errors
    /// There is none, or its manifest is damaged or of another format.
    pub(super) async fn read(destination: &Destination, name: &str) -> Result<Self, Error> {
        let object = object_of_backup(name);
        let no_backup =
            || Error::NoBackup { name: name.to_owned(), destination: destination.to_string() };
        // It would be the path of another file.
        if name.contains(['/', '\\']) {
            return Err(no_backup());
        }
        let bytes = destination.get(&object).await?.ok_or_else(no_backup)?;
        let object = destination.object(&object);
        #[derive(Deserialize)]
        struct Head {
            format: u64,
            version: Option<String>,
        }
        let damaged = |error: serde_json::Error| Error::Damaged {
            object: object.clone(),
            what: error.to_string(),
        };
        let Head { format, version } = serde_json::from_slice(&bytes).map_err(damaged)?;
        if !MANIFEST.reads(format) {
            let other = OtherFormat::new(&MANIFEST, format).written_by(version);
            return Err(Error::OtherFormat { object, other });
        }
        let manifest: Self = serde_json::from_slice(&bytes).map_err(damaged)?;
        if manifest.name() != name {
            let what = format!("it is the manifest of {}", manifest.name());
            return Err(Error::Damaged { object, what });
        }
        Ok(manifest)
    }
}

fn object_of_backup(name: &str) -> String {
    format!("{BACKUPS}/{name}{SUFFIX}")
}

/// The names of all backups, the oldest first.
pub(super) async fn names(destination: &Destination) -> Result<Vec<String>, Error> {
    let objects = destination.list(BACKUPS).await?;
    let names = objects.iter().filter_map(|object| object.name.strip_suffix(SUFFIX));
    Ok(names.map(str::to_owned).collect())
}

/// Removes the manifest of a backup.
pub(super) async fn remove(destination: &Destination, name: &str) -> Result<(), Error> {
    Ok(destination.remove(&object_of_backup(name)).await?)
}

/// All backups, the oldest first.
///
/// # Errors
/// The destination cannot be read, or a manifest is damaged.
pub async fn manifests(destination: &Destination) -> Result<Vec<Manifest>, Error> {
    let mut manifests = Vec::new();
    for name in names(destination).await? {
        manifests.push(Manifest::read(destination, &name).await?);
    }
    Ok(manifests)
}
