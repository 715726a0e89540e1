//! Reads that may block, on threads that may be blocked.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::View;
use crate::log;
use crate::model::Revision;

/// A list has a place for which the log does not have what the list says.
#[derive(Debug, thiserror::Error)]
#[error(
    "the log does not have what is listed at revision {revision}, so it or its index is damaged: \
     stop the server and remove index.redb, which is rebuilt; if this comes back, restore the data \
     folder from a backup"
)]
pub struct Missing {
    /// The place.
    pub revision: Revision,
}

/// Why something cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The log does not have what is listed.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The log or the index is damaged or cannot be read.
    #[error(transparent)]
    Log(#[from] log::Error),
}

/// The right to block, for a few at a time. Who asks first is let in first.
#[derive(Debug)]
pub(super) struct Reads(Arc<Semaphore>);

impl Reads {
    pub(super) fn new(reads_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(reads_max.clamp(1, Semaphore::MAX_PERMITS))))
    }
}

impl View {
    /// Runs `read`, which may read the log and the index, where it holds up nobody else. However
    /// many ask, only a few read at once, in the order in which they asked.
    ///
    /// # Errors
    /// Those of `read`; and [`log::Error::Closed`] if it panicked.
    pub async fn read<T, E>(
        self: &Arc<Self>,
        read: impl FnOnce(&Self) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<log::Error> + Send + 'static,
    {
        let permit = Arc::clone(&self.reads.0).acquire_owned().await;
        let permit = permit.map_err(|_| log::Error::Closed)?;
        let view = Arc::clone(self);
        let blocking = move || {
            // Kept if the caller goes away: the thread is busy all the same.
            let _permit = permit;
            read(&view)
        };
        let done = tokio::task::spawn_blocking(blocking).await;
        done.unwrap_or_else(|_| Err(log::Error::Closed.into()))
    }
}
