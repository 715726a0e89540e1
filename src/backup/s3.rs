//! Objects in a bucket of S3 or of a storage with its API. Credentials come from the environment, from the
//! machine or from a file that the environment names, and never from arguments. Never changes an object.

use std::fmt;
use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::destination::ListedObject;
use super::http::Connector;

/// A part of a bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    bucket: String,
    /// The beginning of the names of all objects; empty for the whole bucket.
    prefix: String,
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, prefix, .. } = self;
        if prefix.is_empty() {
            write!(f, "s3://{bucket}")
        } else {
            write!(f, "s3://{bucket}/{prefix}")
        }
    }
}

impl Bucket {
    /// The bucket and the prefix in `given`, after `s3://`. Everything else is in the variables `AWS_…`.
    ///
    /// # Errors
    /// It names no bucket, or a variable has no valid value.
    pub(super) fn parse(given: &str) -> Result<Self, String> {
        let (bucket, prefix) = given.split_once('/').unwrap_or((given, ""));
        if bucket.is_empty() {
            return Err("give s3://BUCKET or s3://BUCKET/PREFIX".to_owned());
        }
        let builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
        let store =
            builder.with_http_connector(Connector).build().map_err(|error| error.to_string())?;
        let prefix = prefix.trim_matches('/').to_owned();
        Ok(Self { store: Arc::new(store), bucket: bucket.to_owned(), prefix })
    }

    pub(super) async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), object_store::Error> {
        self.store.put(&self.path(name), bytes.into()).await.map(drop)
    }

    pub(super) async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, object_store::Error> {
        let Some(found) = found(self.store.get(&self.path(name)).await)? else { return Ok(None) };
        Ok(Some(found.bytes().await?.into()))
    }

    pub(super) async fn list(&self, part: &str) -> Result<Vec<ListedObject>, object_store::Error> {
        let list = self.store.list_with_delimiter(Some(&self.path(part))).await?;
        let listed = list.objects.iter().filter_map(|object| {
            let name = object.location.filename()?.to_owned();
            Some(ListedObject { name, bytes: object.size })
        });
        Ok(listed.collect())
    }

    pub(super) async fn remove(&self, name: &str) -> Result<(), object_store::Error> {
        found(self.store.delete(&self.path(name)).await).map(drop)
    }

    fn path(&self, name: &str) -> Path {
        Path::from(format!("{}/{name}", self.prefix))
    }
}

/// `None` if there is no such object.
fn found<T>(call: Result<T, object_store::Error>) -> Result<Option<T>, object_store::Error> {
    match call {
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        call => call.map(Some),
    }
}
