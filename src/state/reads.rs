//! ReadPool that may block, on threads that may be blocked.
//!
//! Each looks through so much at most, and ends when nobody waits for it any more, so that others
//! come in.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;

use crate::model::Revision;
use crate::state::State;
use crate::storage;

/// A list has a place for which the log does not have what the list says.
#[derive(Debug, thiserror::Error)]
#[error(
    "the log does not have what is listed at revision {revision}, so it or its index is damaged: \
     stop the server and remove index.redb, which is rebuilt; if this comes back, restore the data \
     folder from a backup"
)]
pub struct MissingEvent {
    /// The place.
    pub revision: Revision,
}

/// Why something cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The log does not have what is listed.
    #[error(transparent)]
    Missing(#[from] MissingEvent),
    /// The log or the index is damaged or cannot be read.
    #[error(transparent)]
    Log(#[from] storage::Error),
    /// Nobody waits for it any more.
    #[error("the read was given up, because nobody waited for it any more")]
    Abandoned,
}

/// A view while it is read for somebody. What may read the index and the log, and look through much,
/// is read through this.
#[derive(Debug)]
pub struct Reading<'a> {
    view: &'a State,
    caller: Cancellation,
}

/// Whoever waits for a read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancellation {
    is_gone: Arc<AtomicBool>,
}

/// Tells that the caller is gone when it is dropped.
struct CancelOnDrop(Cancellation);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.is_gone.store(true, Ordering::Relaxed);
    }
}

impl Cancellation {
    /// To be asked wherever a read may go on for long.
    pub(crate) fn check(&self) -> Result<(), ReadError> {
        if self.is_gone.load(Ordering::Relaxed) { Err(ReadError::Abandoned) } else { Ok(()) }
    }
}

impl Deref for Reading<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        self.view
    }
}

impl Reading<'_> {
    pub(crate) fn caller(&self) -> &Cancellation {
        &self.caller
    }
}

/// The right to block, for a few at a time. Who asks first is let in first.
#[derive(Debug)]
pub(crate) struct ReadPool(Arc<Semaphore>);

impl ReadPool {
    pub(crate) fn new(concurrent_reads_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(concurrent_reads_max.clamp(1, Semaphore::MAX_PERMITS))))
    }
}

impl State {
    /// ReadPool for a caller who waits to the end, on a thread that may block.
    #[must_use]
    pub fn reading(&self) -> Reading<'_> {
        Reading { view: self, caller: Cancellation::default() }
    }

    /// Runs `read`, which may read the log and the index, where it holds up nobody else. However
    /// many ask, only a few read at once, in the order in which they asked. If the caller goes away,
    /// it ends as soon as it looks whether they are there.
    ///
    /// # Errors
    /// Those of `read`; and [`storage::Error::Closed`] if it panicked.
    pub async fn read<T, E>(
        self: &Arc<Self>,
        read: impl FnOnce(&Reading<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<storage::Error> + Send + 'static,
    {
        let permit = Arc::clone(&self.reads.0).acquire_owned().await;
        let permit = permit.map_err(|_| storage::Error::Closed)?;
        let (view, caller) = (Arc::clone(self), Cancellation::default());
        let _leaving = CancelOnDrop(caller.clone());
        let blocking = move || {
            // CachedEvent if the caller goes away, until the thread is free.
            let _permit = permit;
            read(&Reading { view: &view, caller })
        };
        let done = tokio::task::spawn_blocking(blocking).await;
        done.unwrap_or_else(|_| Err(storage::Error::Closed.into()))
    }
}
