//! The keys of identity providers as they were last fetched, kept in the data folder for a start at
//! which the provider is down. Never has keys that this server knows to be withdrawn: a set is kept
//! before it is used, and what cannot be replaced is removed.
//!
//! ```text
//!   DATA/provider-keys/SHA-256 of issuer and address.json
//!     { format, issuer, url, fetched, keys }      keys: as the provider published them
//! ```

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::keys::{KeyError, KeySet};
use super::settings::IssuerSettings;
use crate::formats::{OtherFormat, PROVIDER_KEYS};
use crate::runtime::files::{self, FILE_BYTES_MAX, FileError};

/// How long keys are good that only a file has, counted from when they were fetched: a key that the
/// provider withdrew since then is good for as long, if the provider stays down. Most outages are
/// over before.
pub(super) const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How far in the future keys may have been fetched, as after a clock was corrected a little.
const CLOCK_ERROR_MAX: Duration = Duration::from_secs(60);
/// The folder in the data folder.
const FOLDER: &str = "provider-keys";
/// It is for the server alone: who could write to it could make tokens.
const FOLDER_MODE: u32 = 0o700;

/// Why keys are not kept, or kept ones not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeptError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} is damaged: {problem}", path.display())]
    Damaged { path: PathBuf, problem: String },
    #[error("{} {other}", path.display())]
    OtherFormat { path: PathBuf, other: OtherFormat },
    #[error("{} has keys that cannot be used: {problem}", path.display())]
    Keys { path: PathBuf, problem: KeyError },
    #[error("{} is of another issuer or address", path.display())]
    OfAnother { path: PathBuf },
    #[error("the keys in {} are older than a day, so some may have been withdrawn", path.display())]
    TooOld { path: PathBuf },
    #[error("the keys in {} were fetched in the future: this machine's clock is or was wrong", path.display())]
    InTheFuture { path: PathBuf },
    #[error("the keys have more than {FILE_BYTES_MAX} bytes as a file")]
    TooLarge,
    #[error("this machine's clock shows a time before 1970")]
    Clock,
    #[error("keys that may be withdrawn stay there: {0}; remove it before the next start")]
    NotRemoved(FileError),
}

/// The file with the keys of one issuer.
#[derive(Debug)]
pub(super) struct KeptKeys {
    path: PathBuf,
    issuer: String,
    url: String,
}

/// Keys from the file.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) keys: KeySet,
    /// Until when they are good, as the time since 1970.
    pub(super) until: Duration,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptFile {
    format: u32,
    issuer: String,
    url: String,
    /// Seconds since 1970.
    fetched: u64,
    keys: Value,
}

impl KeptKeys {
    /// The file for the keys of `issuer` at `url` in `data_dir`.
    pub(super) fn new(data_dir: &Path, issuer: &str, url: &str) -> Self {
        // An issuer has no line break: it is one line of a TOML string or an address.
        let digits = Sha256::digest(format!("{issuer}\n{url}"));
        let digits: String = digits.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = data_dir.join(FOLDER).join(format!("{digits}.json"));
        Self { path, issuer: issuer.to_owned(), url: url.to_owned() }
    }

    /// The keys in the file, if they are good at `now`, a time since 1970. `None` if there is no file.
    ///
    /// # Errors
    /// Why they are not used.
    pub(super) fn load(
        &self,
        settings: &IssuerSettings,
        now: Duration,
    ) -> Result<Option<Kept>, KeptError> {
        let path = || self.path.clone();
        let bytes = match files::read_secret(&self.path) {
            Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            bytes => bytes?,
        };
        let damaged = |problem| KeptError::Damaged { path: path(), problem };
        #[derive(Deserialize)]
        struct Head {
            format: u64,
        }
        let Head { format } =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if !PROVIDER_KEYS.reads(format) {
            let other = OtherFormat::new(&PROVIDER_KEYS, format);
            return Err(KeptError::OtherFormat { path: path(), other });
        }
        let file: KeptFile =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if file.issuer != self.issuer || file.url != self.url {
            return Err(KeptError::OfAnother { path: path() });
        }
        let fetched = Duration::from_secs(file.fetched);
        if fetched > now + CLOCK_ERROR_MAX {
            return Err(KeptError::InTheFuture { path: path() });
        }
        let until = fetched + AGE_MAX;
        if until <= now {
            return Err(KeptError::TooOld { path: path() });
        }
        let keys = KeySet::from_jwks(file.keys.to_string().as_bytes(), settings.algorithm);
        let keys = keys.map_err(|problem| KeptError::Keys { path: path(), problem })?;
        Ok(Some(Kept { keys, until }))
    }

    /// Keeps the JSON Web Key Set `json`, fetched at `now`, in the place of the former one. When that
    /// fails, the former one is removed, because a key of it may be withdrawn.
    ///
    /// # Errors
    /// It is not kept.
    pub(super) fn keep(&self, json: &[u8], now: Option<Duration>) -> Result<(), KeptError> {
        let kept = now.ok_or(KeptError::Clock).and_then(|now| self.write(json, now));
        if kept.is_err() {
            files::remove(&self.path).map_err(KeptError::NotRemoved)?;
        }
        kept
    }

    fn write(&self, json: &[u8], now: Duration) -> Result<(), KeptError> {
        let damaged = |error: serde_json::Error| KeptError::Damaged {
            path: self.path.clone(),
            problem: error.to_string(),
        };
        let file = KeptFile {
            format: PROVIDER_KEYS.version,
            issuer: self.issuer.clone(),
            url: self.url.clone(),
            fetched: now.as_secs(),
            keys: serde_json::from_slice(json).map_err(damaged)?,
        };
        let bytes = serde_json::to_vec(&file).map_err(damaged)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(KeptError::TooLarge);
        }
        if let Some(folder) = self.path.parent() {
            let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
            made.map_err(|source| FileError::Io { path: folder.to_owned(), source })?;
        }
        Ok(files::write_secret(&self.path, &bytes)?)
    }
}
