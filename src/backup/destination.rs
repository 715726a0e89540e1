//! Where backups are kept: named objects that are written once and whole. Never knows what is in one.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::folder;
use super::s3::Bucket;

/// A place for backups.
#[derive(Clone, Debug)]
pub enum Destination {
    /// A folder of this machine, or one that is mounted.
    Folder(PathBuf),
    /// A bucket of S3, or of a storage with its API.
    Bucket(Bucket),
}

/// Why a destination cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {object}: {why}")]
pub struct DestinationError {
    /// The object.
    pub(super) object: String,
    /// What failed.
    pub(super) why: String,
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ListedObject {
    /// Its name, without the part of the destination.
    pub(super) name: String,
    /// The number of its bytes.
    pub(super) bytes: u64,
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        match given.split_once("://") {
            _ if given.is_empty() => Err("give a folder".to_owned()),
            Some(("s3", bucket)) => Bucket::parse(bucket).map(Self::Bucket),
            Some((scheme, _)) => {
                Err(format!("there is no destination of the kind {scheme}:// here"))
            }
            None => Ok(Self::Folder(PathBuf::from(given))),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::Bucket(bucket) => write!(f, "{bucket}"),
        }
    }
}

impl Destination {
    /// Writes an object. It is whole and durable when this returns, and not there before.
    pub(super) async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), DestinationError> {
        match self {
            Self::Folder(root) => {
                let file = root.join(name);
                self.blocking(name, move || folder::put(&file, &bytes)).await
            }
            Self::Bucket(bucket) => {
                bucket.put(name, bytes).await.map_err(|it| self.failed(name, &it))
            }
        }
    }

    /// The bytes of an object; `None` if there is none.
    pub(super) async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, DestinationError> {
        match self {
            Self::Folder(root) => {
                let file = root.join(name);
                self.blocking(name, move || folder::get(&file)).await
            }
            Self::Bucket(bucket) => bucket.get(name).await.map_err(|it| self.failed(name, &it)),
        }
    }

    /// The objects in `part`, in the order of their names.
    pub(super) async fn list(&self, part: &str) -> Result<Vec<ListedObject>, DestinationError> {
        let mut objects = match self {
            Self::Folder(root) => {
                let dir = root.join(part);
                self.blocking(part, move || folder::list(&dir)).await?
            }
            Self::Bucket(bucket) => bucket.list(part).await.map_err(|it| self.failed(part, &it))?,
        };
        objects.sort_unstable();
        Ok(objects)
    }

    /// Removes an object, if it is there.
    pub(super) async fn remove(&self, name: &str) -> Result<(), DestinationError> {
        match self {
            Self::Folder(root) => {
                let file = root.join(name);
                self.blocking(name, move || folder::remove(&file)).await
            }
            Self::Bucket(bucket) => bucket.remove(name).await.map_err(|it| self.failed(name, &it)),
        }
    }

    /// Removes what is left in `part` of objects that were never whole, as their writers were killed. No
    /// object may be written meanwhile. A bucket never has such.
    pub(super) async fn remove_unfinished(&self, part: &str) -> Result<(), DestinationError> {
        match self {
            Self::Folder(root) => {
                let dir = root.join(part);
                self.blocking(part, move || folder::remove_unfinished(&dir)).await
            }
            Self::Bucket(_) => Ok(()),
        }
    }

    /// The object with its destination, for people.
    pub(super) fn object(&self, name: &str) -> String {
        format!("{self}/{name}")
    }

    fn failed(&self, name: &str, error: &dyn std::error::Error) -> DestinationError {
        DestinationError { object: self.object(name), why: error.to_string() }
    }

    /// Runs `call` on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        name: &str,
        call: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, DestinationError> {
        match tokio::task::spawn_blocking(call).await {
            Ok(done) => done.map_err(|error| self.failed(name, &error)),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}
