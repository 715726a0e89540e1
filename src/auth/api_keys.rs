//! API keys: secrets that this server made for backends. The file has their hashes only; who makes
//! or revokes a key changes the file (key_table.rs), and a running server reads it again.
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
use super::key_table::{self, FILE, KeyTable, KeyTableError};
use super::key_time::KeyTime;
use crate::model::UserId;
use crate::runtime::files::FILE_BYTES_MAX;
use crate::runtime::{WatchedFile, fill_random};

/// What every key begins with, so that programs that search for leaked secrets find it.
pub(super) const KEY_MARK: &str = "whk_";
/// Length of an id. Two of a thousand keys have the same once in 10¹² tables.
const ID_CHARS: usize = 10;
/// The characters of ids.
const ID_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const SECRET_BYTES: usize = 32;
/// Most keys: an operator makes some for each backend, and all of them have to be one file.
pub(super) const KEYS_MAX: usize = 1_000;
/// Bytes of a key in it, at most: half of them are those of its name.
const KEY_BYTES_MAX: usize = 1 << 10;
const _: () = assert!((KEYS_MAX * KEY_BYTES_MAX) as u64 <= FILE_BYTES_MAX, "a full table is read");
/// Longest name of a key.
pub(super) const NAME_CHARS_MAX: usize = 100;

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

/// The API keys of a data folder, as they were when the file was last read.
#[derive(Debug)]
pub struct ApiKeys {
    data_dir: PathBuf,
    keys: RwLock<Arc<HashMap<Arc<str>, ApiKey>>>,
    file: Mutex<WatchedFile>,
}

impl ApiKeys {
    /// The keys of `data_dir`. There are none without a file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(data_dir: &Path) -> Result<Self, KeyTableError> {
        // Watched first, so that a change while it is read is noticed.
        let file = Mutex::new(WatchedFile::new(data_dir.join(FILE)));
        let keys = RwLock::new(Arc::new(by_id(key_table::read(data_dir)?)));
        Ok(Self { data_dir: data_dir.to_owned(), keys, file })
    }

    /// Reads the file again if it has changed. Whether there are other keys now. A damaged file
    /// changes nothing.
    pub(super) fn reload(&self) -> bool {
        if !self.file.lock().unwrap_or_else(PoisonError::into_inner).has_changed() {
            return false;
        }
        match key_table::read(&*self.data_dir) {
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

    /// All keys of `table`, the oldest first.
    ///
    /// # Errors
    /// The table cannot be read.
    pub fn list(table: &(impl KeyTable + ?Sized)) -> Result<Vec<ApiKey>, KeyTableError> {
        let mut keys = key_table::read(table)?;
        keys.sort_unstable_by(|a, b| (a.created, &a.id.0).cmp(&(b.created, &b.id.0)));
        Ok(keys)
    }

    /// Makes a key in `table`, at `now`, in seconds since 1970. Returns its text,
    /// which is nowhere else.
    ///
    /// # Errors
    /// The table cannot be changed, or the key is not to be.
    pub fn create(
        table: &(impl KeyTable + ?Sized),
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
        key_table::change(table, |keys| {
            if keys.len() >= KEYS_MAX {
                return Err(KeyTableError::TooMany);
            }
            keys.push(key.clone());
            Ok(())
        })?;
        Ok((key, text))
    }

    /// Revokes the key `id` in `table`. Revoking it again changes nothing.
    ///
    /// # Errors
    /// There is no such key, or the table cannot be changed.
    pub fn revoke(
        table: &(impl KeyTable + ?Sized),
        id: &KeyId,
        now: u64,
    ) -> Result<ApiKey, KeyTableError> {
        let now = KeyTime::try_from(now)?;
        key_table::change(table, |keys| {
            let key = keys.iter_mut().find(|key| key.id == *id);
            let key = key.ok_or_else(|| KeyTableError::NotFound { id: id.clone() })?;
            key.revoked.get_or_insert(now);
            Ok(key.clone())
        })
    }

    /// Removes the key `id` from `table`, so that it is not listed any more.
    ///
    /// # Errors
    /// There is no such key, or the table cannot be changed.
    pub fn delete(table: &(impl KeyTable + ?Sized), id: &KeyId) -> Result<ApiKey, KeyTableError> {
        key_table::change(table, |keys| {
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
