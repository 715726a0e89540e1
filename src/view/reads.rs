//! Reads that may block, on threads that may be blocked.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::View;
use crate::log;
use crate::model::Revision;

/// Why something cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The view knows of a change that the log does not have.
    #[error("revision {revision} is missing from the log")]
    Missing {
        /// Its revision.
        revision: Revision,
    },
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
