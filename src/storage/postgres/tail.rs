//! The tail: a thread that takes over what is appended to the log, by whichever node, into the copy. A notification
//! wakes it; what it believes is the rows, in the order of their revisions. Never appends to the log.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::Notify;

use super::connection::{self, Connection, Failure};
use super::{Shared, append};
use crate::storage::error::Error;

/// Silence is never taken for the end: without a notification the tail looks for itself.
const POLL: Duration = Duration::from_millis(500);

/// Between two lines about how far a start is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// The thread's own part.
#[derive(Debug)]
pub(super) struct Tailer {
    runtime: Runtime,
    shared: Arc<Shared>,
    connection: Option<Connection>,
}

impl Tailer {
    pub(super) fn new(runtime: Runtime, shared: Arc<Shared>) -> Self {
        Self { runtime, shared, connection: None }
    }

    /// Takes over all that is in the log now.
    ///
    /// # Errors
    /// It cannot be read, or is another history than that of the copy.
    pub(super) fn catch_up(&mut self) -> Result<(), Error> {
        let failed = |failure: Failure| failure.of(&self.shared.options);
        let connected = self.runtime.block_on(open(&self.runtime, &self.shared));
        let connection = connected.map_err(failed)?;
        let head = self.runtime.block_on(connection.head()).map_err(failed)?.last;
        let (own, chain) = self.shared.copy.end();
        if own > head || !self.runtime.block_on(connection.has(own, chain)).map_err(failed)? {
            let after = if own > head { head } else { own.previous() };
            return Err(Error::Forked { after, head: own });
        }
        self.connection = Some(connection);
        let mut reported_at = Instant::now();
        while self.shared.copy.end().0 < head {
            if reported_at.elapsed() >= PROGRESS_INTERVAL {
                let revision = self.shared.copy.end().0;
                tracing::info!(%revision, of = %head, "copying the log from PostgreSQL");
                reported_at = Instant::now();
            }
            if !self.step().map_err(|error| self.error(error))? {
                let what =
                    format!("its table log ends before revision {head}, which its head names");
                return Err(Failure::Damaged(what).of(&self.shared.options));
            }
        }
        Ok(())
    }

    /// Runs until the log is closed.
    ///
    /// # Errors
    /// The copy cannot go on.
    pub(super) fn run(mut self) -> Result<(), Error> {
        let mut is_lost = false;
        while !self.shared.is_closed.load(Ordering::Acquire) {
            let followed = self.follow();
            let is_away = matches!(followed, Err(StepError::Store(_)));
            self.shared.state.is_away.store(is_away, Ordering::Relaxed);
            match followed {
                Ok(()) => is_lost = false,
                Err(StepError::Store(failure)) if !failure.is_final() => {
                    if !std::mem::replace(&mut is_lost, true) {
                        let server = self.shared.options.address.server();
                        tracing::warn!(%server, error = %failure, "PostgreSQL: the log is not followed");
                    }
                    self.connection = None;
                    std::thread::sleep(append::RETRY);
                }
                Err(StepError::Copy(Error::Closed)) => return Ok(()),
                Err(StepError::Copy(error @ Error::DiskFull { .. })) => {
                    if !std::mem::replace(&mut is_lost, true) {
                        tracing::warn!(%error, "the copy of the log waits for room");
                    }
                    std::thread::sleep(append::RETRY);
                }
                Err(error) => return Err(self.error(error)),
            }
        }
        Ok(())
    }

    /// Takes over what is there, and waits for more.
    fn follow(&mut self) -> Result<(), StepError> {
        if self.connection.is_none() {
            self.connection = Some(self.runtime.block_on(open(&self.runtime, &self.shared))?);
        }
        while self.step()? {}
        let woken = self.shared.woken.notified();
        // Fails after `POLL`.
        let _ = self.runtime.block_on(async { tokio::time::timeout(POLL, woken).await });
        Ok(())
    }

    /// Takes over the next batches. Returns whether there were any.
    fn step(&mut self) -> Result<bool, StepError> {
        let Some(connection) = &self.connection else { return Ok(false) };
        let (after, chain) = self.shared.copy.end();
        let batches = self.runtime.block_on(connection.batches_after(after, chain))?;
        let is_any = !batches.is_empty();
        for batch in batches {
            self.shared.take_over(batch).map_err(StepError::Copy)?;
        }
        Ok(is_any)
    }

    fn error(&self, error: StepError) -> Error {
        match error {
            StepError::Store(failure) => failure.of(&self.shared.options),
            StepError::Copy(error) => error,
        }
    }
}

/// Why a step failed.
#[derive(Debug)]
enum StepError {
    Store(Failure),
    Copy(Error),
}

impl From<Failure> for StepError {
    fn from(failure: Failure) -> Self {
        Self::Store(failure)
    }
}

/// A connection that listens, and whose reads may be believed.
async fn open(runtime: &Runtime, shared: &Shared) -> Result<Connection, Failure> {
    let woken: Arc<Notify> = Arc::clone(&shared.woken);
    let connection = connection::connect(runtime, &shared.options, Some(woken)).await?;
    let listen = format!("LISTEN whimbrel_{}", connection.schema);
    connection.timed(connection.client.batch_execute(&listen)).await?;
    connection.settle().await?;
    shared.state.barriers.fetch_add(1, Ordering::Relaxed);
    Ok(connection)
}
