//! Why a read of the log or the index fails.

use crate::model::Revision;
use crate::storage;

/// The log does not have an event that a list of the state or the index refers to.
#[derive(Debug, thiserror::Error)]
#[error(
    "the log does not have what is listed at revision {revision}, so it or its index is damaged: \
     stop the server and remove index.redb, which is rebuilt; if this comes back, restore the data \
     folder from a backup"
)]
pub struct MissingEvent {
    /// Where the event should be.
    pub revision: Revision,
}

/// Why a read of the log or the index fails.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The log does not have what is listed.
    #[error(transparent)]
    Missing(#[from] MissingEvent),
    /// The log or the index is damaged or cannot be read.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}
