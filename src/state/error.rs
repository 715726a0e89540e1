//! The errors of reads of the log and the index. Never an error of a query's own rules.

use crate::model::Revision;
use crate::storage;

/// The log does not have an event that a list of the state or the index refers to.
#[derive(Debug, thiserror::Error)]
#[error(
    "the log does not have the event that is listed at revision {revision}, so the log or its \
     index is damaged: stop the server and remove index.redb, which is rebuilt; if this error comes \
     back, restore the data folder from a backup"
)]
pub struct MissingEvent {
    /// The position in the log that the list refers to.
    pub revision: Revision,
}

/// The reason why a read of the log or the index fails.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The log does not have a listed event.
    #[error(transparent)]
    Missing(#[from] MissingEvent),
    /// The log or the index is damaged or cannot be read.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}
