//! The table of API keys as bytes, and where it is kept: in the file of a data folder, or where the nodes of a log share
//! it. Never has a secret, and never says who a caller is.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::api_keys::{ApiKey, KEYS_MAX, KeyId, NAME_CHARS_MAX};
use super::key_time::KeyTimeError;
use crate::formats::{API_KEYS, OtherFormat};
use crate::model::{UserId, UserIdError};
use crate::runtime::files::{self, FileError};

/// The name of the file in the data folder.
pub(super) const FILE: &str = "api-keys.json";
const LOCK: &str = "api-keys.lock";

/// What makes a table of the one that is there.
pub type TableChange<'a> = &'a mut dyn FnMut(Option<&[u8]>) -> Result<Vec<u8>, KeyTableError>;

/// A place that keeps one table of API keys. A data folder is one.
pub trait KeyTable {
    /// What is there; `None` if there never was a key.
    ///
    /// # Errors
    /// The place cannot be read.
    fn read(&self) -> Result<Option<Vec<u8>>, KeyTableError>;

    /// Puts there what `make` makes of what is there, which nobody else changes meanwhile: it may be asked again.
    ///
    /// # Errors
    /// The place cannot be changed, or the first error of `make`.
    fn change(&self, make: TableChange<'_>) -> Result<(), KeyTableError>;

    /// Its name, for errors.
    fn name(&self) -> String;
}

/// Why the table of keys cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyTableError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The place that nodes share cannot be used.
    #[error(transparent)]
    Shared(Box<dyn std::error::Error + Send + Sync>),
    /// The table is damaged.
    #[error(
        "{place} is no table of API keys: {problem}; put a copy back, or remove it and make new keys"
    )]
    Damaged {
        /// Where it is.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The table has a version of its format that this program does not read.
    #[error("{place} {other}")]
    OtherFormat {
        /// Where it is.
        place: String,
        /// The version, and what to do.
        other: OtherFormat,
    },
    /// The name of a new key is not usable.
    #[error("the name of a key has 1 to {NAME_CHARS_MAX} characters, without control characters")]
    Name,
    /// A role for one user needs a user, and others have none.
    #[error("{0}")]
    User(&'static str),
    /// There are as many keys as there may be.
    #[error("there are {KEYS_MAX} keys, the most there may be: delete revoked ones")]
    TooMany,
    /// No key has that id.
    #[error("there is no API key {id}: list them with `whimbrel key list`")]
    NotFound {
        /// The id.
        id: KeyId,
    },
    /// A time of a key is out of range.
    #[error(transparent)]
    Time(#[from] KeyTimeError),
    /// The operating system has no random numbers.
    #[error("no random numbers: {0}")]
    Random(std::io::Error),
}

/// The table, as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKeys {
    format: u32,
    keys: Vec<ApiKey>,
}

/// In the data folder with this path.
impl<P: AsRef<Path> + ?Sized> KeyTable for P {
    fn read(&self) -> Result<Option<Vec<u8>>, KeyTableError> {
        match files::read_secret(&self.as_ref().join(FILE)) {
            Err(FileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(None)
            }
            bytes => Ok(Some(bytes?.to_vec())),
        }
    }

    fn change(&self, make: TableChange<'_>) -> Result<(), KeyTableError> {
        let data_dir = self.as_ref();
        let failed = |source| FileError::Io { path: data_dir.to_owned(), source };
        std::fs::create_dir_all(data_dir).map_err(failed)?;
        let _lock = files::lock(&data_dir.join(LOCK))?;
        let bytes = make(self.read()?.as_deref())?;
        Ok(files::write_secret(&data_dir.join(FILE), &bytes)?)
    }

    fn name(&self) -> String {
        self.as_ref().join(FILE).display().to_string()
    }
}

/// The keys of `table`.
pub(super) fn read(table: &(impl KeyTable + ?Sized)) -> Result<Vec<ApiKey>, KeyTableError> {
    parse_at(table, table.read()?.as_deref())
}

/// Changes the keys of `table`.
pub(super) fn change<T>(
    table: &(impl KeyTable + ?Sized),
    mut change: impl FnMut(&mut Vec<ApiKey>) -> Result<T, KeyTableError>,
) -> Result<T, KeyTableError> {
    let mut changed = None;
    table.change(&mut |bytes| {
        let mut keys = parse_at(table, bytes)?;
        changed = Some(change(&mut keys)?);
        let damaged = |problem: String| KeyTableError::Damaged { place: table.name(), problem };
        written(keys).map_err(|error| damaged(error.to_string()))
    })?;
    Ok(changed.unwrap_or_else(|| unreachable!("a table is changed by what it is asked to do")))
}

/// The keys in the bytes of `table`; none if it has none.
fn parse_at(
    table: &(impl KeyTable + ?Sized),
    bytes: Option<&[u8]>,
) -> Result<Vec<ApiKey>, KeyTableError> {
    let Some(bytes) = bytes else { return Ok(Vec::new()) };
    if let Some(other) = other_format(bytes) {
        return Err(KeyTableError::OtherFormat { place: table.name(), other });
    }
    parse(bytes).map_err(|problem| KeyTableError::Damaged { place: table.name(), problem })
}

/// The version of a table that this program does not read.
fn other_format(bytes: &[u8]) -> Option<OtherFormat> {
    #[derive(Deserialize)]
    struct Head {
        format: u64,
    }
    let Head { format } = serde_json::from_slice(bytes).ok()?;
    (!API_KEYS.reads(format)).then(|| OtherFormat::new(&API_KEYS, format))
}

/// Parses the bytes of a table.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<ApiKey>, String> {
    let table: WrittenKeys = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if !API_KEYS.reads(table.format.into()) {
        return Err(format!("it {}", OtherFormat::new(&API_KEYS, table.format.into())));
    }
    for key in &table.keys {
        let user = key.user.as_deref().map(UserId::parse).transpose();
        let user =
            user.map_err(|error: UserIdError| format!("key {}: the user {error}", key.id))?;
        if key.role.is_one_user() != user.is_some() {
            return Err(format!("key {}: only a role for one user has a user", key.id));
        }
    }
    Ok(table.keys)
}

/// The bytes of a table with these keys.
pub(super) fn written(keys: Vec<ApiKey>) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec_pretty(&WrittenKeys { format: API_KEYS.version, keys })
}
