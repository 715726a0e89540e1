//! API keys: secrets that this server made for backends. The file has their hashes only; who makes
//! or revokes a key changes the file, and a running server reads it again.
//!
//! ```text
//!   whk_ 8f2kq0w1zc _ Zm9v…          the text: a mark, the id, and 32 random bytes
//!   file: id, name, role, expiry, SHA-256 of the whole text
//! ```
//!
//! A hash without salt or stretching is enough: nobody can guess 32 random bytes.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::caller::{Caller, Role, Source};
use super::error::Refusal;
use super::key_time::{KeyTime, KeyTimeError};
use crate::formats::{API_KEYS, OtherFormat};
use crate::model::{UserId, UserIdError};
use crate::runtime::files::{self, FileError};
use crate::runtime::{WatchedFile, fill_random};

/// What every key begins with, so that programs that search for leaked secrets find it.
pub(super) const KEY_MARK: &str = "whk_";
/// The name of the file in the data folder.
const FILE: &str = "api-keys.json";
const LOCK: &str = "api-keys.lock";
/// Length of an id. Two of a thousand keys have the same once in 10¹² tables.
const ID_CHARS: usize = 10;
/// The characters of ids.
const ID_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const SECRET_BYTES: usize = 32;
/// Most keys: an operator makes some for each backend.
const KEYS_MAX: usize = 10_000;
/// Longest name of a key.
const NAME_CHARS_MAX: usize = 100;

/// The id of an API key. It is no secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(Arc<str>);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for KeyId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// An API key, without its secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Its id.
    pub id: KeyId,
    /// Its name, for people.
    pub name: String,
    /// The name of its role.
    #[serde(with = "role")]
    pub role: Role,
    /// The user of a role for one user.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<String>,
    /// When it was made.
    pub created: KeyTime,
    /// When it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<KeyTime>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked: Option<KeyTime>,
    /// The SHA-256 of its text, in base64 for URLs.
    #[serde(with = "hash")]
    sha256: [u8; 32],
}

/// What a new API key is to be.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Its name, for people.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Its user, for a role of one user.
    pub user: Option<UserId>,
    /// When it ends by itself, in seconds since 1970.
    pub expires: Option<u64>,
}

/// The file with the keys.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    format: u32,
    keys: Vec<ApiKey>,
}

/// Why the table of keys cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyTableError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is damaged.
    #[error("{} is no table of API keys: {problem}; put a copy back, or remove it and make new keys", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The file has a version of its format that this program does not read.
    #[error("{} {other}", path.display())]
    OtherFormat {
        /// The file.
        path: PathBuf,
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

/// The API keys of a data folder, as they were when the file was last read.
#[derive(Debug)]
pub struct ApiKeys {
    path: PathBuf,
    keys: RwLock<Arc<HashMap<Arc<str>, ApiKey>>>,
    file: Mutex<WatchedFile>,
}

impl ApiKeys {
    /// The keys of `data_dir`. There are none without a file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(data_dir: &Path) -> Result<Self, KeyTableError> {
        let path = data_dir.join(FILE);
        // Watched first, so that a change while it is read is noticed.
        let file = Mutex::new(WatchedFile::new(&path));
        let keys = RwLock::new(Arc::new(by_id(read(&path)?)));
        Ok(Self { path, keys, file })
    }

    /// Reads the file again if it has changed. Whether there are other keys now. A damaged file
    /// changes nothing.
    pub(super) fn reload(&self) -> bool {
        if !self.file.lock().unwrap_or_else(PoisonError::into_inner).has_changed() {
            return false;
        }
        match read(&self.path) {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), "read the changed API keys");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(by_id(keys));
                true
            }
            Err(error) => {
                tracing::error!(%error, "API keys were changed to unusable ones: the old stay");
                false
            }
        }
    }

    /// The caller with the key `text`, at `now`, a time since 1970.
    ///
    /// # Errors
    /// There is no such key, or it has ended.
    pub(super) fn caller(&self, text: &str, now: Duration) -> Result<Caller, Refusal> {
        let id = text.strip_prefix(KEY_MARK).and_then(|rest| rest.split_once('_'));
        let (id, _) = id.ok_or(Refusal::NoSuchKey)?;
        let keys = self.keys();
        let key = keys.get(id).ok_or(Refusal::NoSuchKey)?;
        let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        // How long this takes says something about the hash at most, and nothing about the key.
        if hash != key.sha256 {
            return Err(Refusal::NoSuchKey);
        }
        key.check(now)?;
        let user = key.user.as_deref().map(UserId::parse).transpose();
        let user = user.map_err(|problem| Refusal::User { claim: "user".to_owned(), problem })?;
        let expires_at = key.expires.map(KeyTime::since_epoch);
        Ok(Caller::new(key.role, user, Source::Key(key.id.0.clone()), expires_at))
    }

    /// Whether the key with this id is one at `now`.
    ///
    /// # Errors
    /// Why it is none.
    pub(super) fn check(&self, id: &str, now: Duration) -> Result<(), Refusal> {
        self.keys().get(id).ok_or(Refusal::NoSuchKey)?.check(now)
    }

    fn keys(&self) -> Arc<HashMap<Arc<str>, ApiKey>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All keys, the oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<ApiKey> {
        let mut keys: Vec<_> = self.keys().values().cloned().collect();
        keys.sort_unstable_by(|a, b| (a.created, &a.id.0).cmp(&(b.created, &b.id.0)));
        keys
    }

    /// Makes a key in the file of `data_dir`, at `now`, in seconds since 1970. Returns its text,
    /// which is nowhere else.
    ///
    /// # Errors
    /// The file cannot be changed, or the key is not to be.
    pub fn create(
        data_dir: &Path,
        new: NewKey,
        now: u64,
    ) -> Result<(ApiKey, Zeroizing<String>), KeyTableError> {
        let is_name = (1..=NAME_CHARS_MAX).contains(&new.name.chars().count())
            && !new.name.contains(char::is_control);
        if !is_name {
            return Err(KeyTableError::Name);
        }
        match (new.role.is_one_user(), &new.user) {
            (true, None) => {
                Err(KeyTableError::User("a key with this role is one user: name the user"))
            }
            (false, Some(_)) => {
                Err(KeyTableError::User("a key with this role acts for all users: name none"))
            }
            _ => Ok(()),
        }?;
        let created = KeyTime::try_from(now)?;
        let expires = new.expires.map(KeyTime::try_from).transpose()?;
        let (id, text) = generate().map_err(KeyTableError::Random)?;
        let sha256 = Sha256::digest(text.as_bytes()).into();
        let NewKey { name, role, user, .. } = new;
        let user = user.map(|user| user.to_string());
        let key = ApiKey { id, name, role, user, created, expires, revoked: None, sha256 };
        change(data_dir, |keys| {
            if keys.len() >= KEYS_MAX {
                return Err(KeyTableError::TooMany);
            }
            keys.push(key.clone());
            Ok(())
        })?;
        Ok((key, text))
    }

    /// Revokes the key `id` in the file of `data_dir`. Revoking it again changes nothing.
    ///
    /// # Errors
    /// There is no such key, or the file cannot be changed.
    pub fn revoke(data_dir: &Path, id: &KeyId, now: u64) -> Result<ApiKey, KeyTableError> {
        let now = KeyTime::try_from(now)?;
        change(data_dir, |keys| {
            let key = keys.iter_mut().find(|key| key.id == *id);
            let key = key.ok_or_else(|| KeyTableError::NotFound { id: id.clone() })?;
            key.revoked.get_or_insert(now);
            Ok(key.clone())
        })
    }

    /// Removes the key `id` from the file of `data_dir`, so that it is not listed any more.
    ///
    /// # Errors
    /// There is no such key, or the file cannot be changed.
    pub fn delete(data_dir: &Path, id: &KeyId) -> Result<ApiKey, KeyTableError> {
        change(data_dir, |keys| {
            let at = keys.iter().position(|key| key.id == *id);
            let at = at.ok_or_else(|| KeyTableError::NotFound { id: id.clone() })?;
            Ok(keys.remove(at))
        })
    }
}

impl ApiKey {
    fn check(&self, now: Duration) -> Result<(), Refusal> {
        if self.revoked.is_some() {
            return Err(Refusal::Revoked);
        }
        if self.expires.is_some_and(|at| at.since_epoch() <= now) {
            return Err(Refusal::KeyExpired);
        }
        Ok(())
    }
}

fn by_id(keys: Vec<ApiKey>) -> HashMap<Arc<str>, ApiKey> {
    keys.into_iter().map(|key| (key.id.0.clone(), key)).collect()
}

/// The keys in the file; none if there is no file.
fn read(path: &Path) -> Result<Vec<ApiKey>, KeyTableError> {
    let bytes = match files::read_secret(path) {
        Err(FileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Vec::new());
        }
        bytes => bytes?,
    };
    if let Some(other) = other_format(&bytes) {
        return Err(KeyTableError::OtherFormat { path: path.to_owned(), other });
    }
    parse(&bytes).map_err(|problem| KeyTableError::Damaged { path: path.to_owned(), problem })
}

/// The version of a file that this program does not read.
fn other_format(bytes: &[u8]) -> Option<OtherFormat> {
    #[derive(Deserialize)]
    struct Head {
        format: u64,
    }
    let Head { format } = serde_json::from_slice(bytes).ok()?;
    (!API_KEYS.reads(format)).then(|| OtherFormat::new(&API_KEYS, format))
}

/// Parses the bytes of a file.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<ApiKey>, String> {
    let file: KeyFile = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if !API_KEYS.reads(file.format.into()) {
        return Err(format!("it {}", OtherFormat::new(&API_KEYS, file.format.into())));
    }
    for key in &file.keys {
        let user = key.user.as_deref().map(UserId::parse).transpose();
        let user =
            user.map_err(|error: UserIdError| format!("key {}: the user {error}", key.id))?;
        if key.role.is_one_user() != user.is_some() {
            return Err(format!("key {}: only a role for one user has a user", key.id));
        }
    }
    Ok(file.keys)
}

/// Changes the file under its lock.
fn change<T>(
    data_dir: &Path,
    change: impl FnOnce(&mut Vec<ApiKey>) -> Result<T, KeyTableError>,
) -> Result<T, KeyTableError> {
    let path = data_dir.join(FILE);
    let failed = |source| FileError::Io { path: data_dir.to_owned(), source };
    std::fs::create_dir_all(data_dir).map_err(failed)?;
    let _lock = files::lock(&data_dir.join(LOCK))?;
    let mut keys = read(&path)?;
    let changed = change(&mut keys)?;
    let json = written(keys);
    let json = json.map_err(|error| FileError::Io { path: path.clone(), source: error.into() })?;
    files::write_secret(&path, &json)?;
    Ok(changed)
}

/// The bytes of a file with these keys.
pub(super) fn written(keys: Vec<ApiKey>) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec_pretty(&KeyFile { format: API_KEYS.version, keys })
}

/// A new id, and the text of a key with it.
fn generate() -> std::io::Result<(KeyId, Zeroizing<String>)> {
    let mut random = Zeroizing::new([0; ID_CHARS + SECRET_BYTES]);
    fill_random(&mut *random)?;
    let (id, secret) = random.split_at(ID_CHARS);
    let id = id.iter().map(|byte| char::from(ID_ALPHABET[usize::from(byte % 32)]));
    let id = KeyId(id.collect::<String>().into());
    let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret));
    let text = Zeroizing::new(format!("{KEY_MARK}{id}_{}", *secret));
    Ok((id, text))
}

/// A role by its name.
mod role {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::auth::Role;

    pub(super) fn serialize<S: Serializer>(role: &Role, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(role.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Role, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// A hash in base64.
mod hash {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        hash: &[u8; 32],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(hash))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        let bytes =
            URL_SAFE_NO_PAD.decode(String::deserialize(from)?).map_err(de::Error::custom)?;
        bytes.try_into().map_err(|_| de::Error::custom("a SHA-256 has 32 bytes"))
    }
}
