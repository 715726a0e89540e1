//! Workers that make the calls of an import: concurrently, and each worker one call after the
//! other.
//!
//! ```text
//! rows ──┬─► queue ─► worker ─► call ─► answer, then the next row of the queue
//!        ├─► queue ─► …
//!        └─► queue ─► …
//! ```
//!
//! All posts of an author go to the same worker, so they are published in the order of the file.
//! Never drops a row: it is imported or rejected, or it ends the import.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};

use super::progress::Progress;
use super::row::{ImportRow, RowRequest};
use crate::client::{self, Client, Retry};

/// Memory of all queued rows. All queues share it, so that the queue of a busy author may become
/// long before the others have to wait.
const QUEUED_BYTES_MAX: u32 = 32 << 20;

#[derive(Debug)]
pub(super) struct ImportWorkers {
    /// Unbounded: `free_bytes` limits them together.
    queues: Vec<mpsc::UnboundedSender<QueuedRow>>,
    workers: JoinSet<Result<(), client::Error>>,
    free_bytes: Arc<Semaphore>,
    /// The queue of the last follow.
    last: usize,
}

#[derive(Debug)]
struct QueuedRow {
    row: ImportRow,
    _bytes: OwnedSemaphorePermit,
}

struct ImportWorker {
    client: Client,
    progress: Arc<Progress>,
    retried_for: Duration,
}

impl ImportWorkers {
    pub(super) fn new(
        count: usize,
        clients: &[Client],
        progress: &Arc<Progress>,
        retried_for: Duration,
    ) -> Self {
        let mut workers = JoinSet::new();
        let queues = clients.iter().cloned().cycle().take(count).map(|client| {
            let (queue, rows) = mpsc::unbounded_channel();
            let worker = ImportWorker { client, progress: Arc::clone(progress), retried_for };
            workers.spawn(worker.run(rows));
            queue
        });
        Self {
            queues: queues.collect(),
            workers,
            free_bytes: Arc::new(Semaphore::new(QUEUED_BYTES_MAX as usize)),
            last: 0,
        }
    }

    /// Waits until there is room, and queues a row.
    ///
    /// # Errors
    /// A call failed in a way that ends the import.
    pub(super) async fn push(&mut self, row: ImportRow) -> Result<(), client::Error> {
        // A row that is longer than all of it goes alone.
        let bytes = row.bytes().min(QUEUED_BYTES_MAX as usize) as u32;
        let bytes = Arc::clone(&self.free_bytes).acquire_many_owned(bytes);
        let bytes = tokio::select! {
            biased;
            bytes = bytes => bytes,
            ended = self.workers.join_next() => return ended.map_or(Ok(()), worker_result),
        };
        // The semaphore is never closed. If the worker has ended, `finish` gives its error.
        if let Ok(bytes) = bytes {
            let queue = self.queue_of(&row);
            let _ = self.queues[queue].send(QueuedRow { row, _bytes: bytes });
        }
        Ok(())
    }

    /// Waits until all rows are imported or rejected.
    ///
    /// # Errors
    /// A call failed in a way that ends the import.
    pub(super) async fn finish(mut self) -> Result<(), client::Error> {
        self.queues.clear();
        while let Some(ended) = self.workers.join_next().await {
            worker_result(ended)?;
        }
        Ok(())
    }

    fn queue_of(&mut self, row: &ImportRow) -> usize {
        match &row.request {
            RowRequest::Follow(_) => {
                self.last = (self.last + 1) % self.queues.len();
                self.last
            }
            RowRequest::Publish(post) => {
                crc32fast::hash(post.user_id.as_bytes()) as usize % self.queues.len()
            }
        }
    }
}

impl ImportWorker {
    async fn run(self, mut rows: mpsc::UnboundedReceiver<QueuedRow>) -> Result<(), client::Error> {
        while let Some(QueuedRow { row, _bytes }) = rows.recv().await {
            match self.import(row.request).await {
                Ok(by_this_call) => self.progress.done(by_this_call),
                Err(error) if is_rejection(&error) => {
                    self.progress.reject(row.line, &error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes a change, with retries. Gives whether it was new.
    async fn import(&self, request: RowRequest) -> Result<bool, client::Error> {
        let mut retry = Retry::within(self.retried_for);
        loop {
            match call(&self.client, request.clone()).await {
                Ok(by_this_call) => return Ok(by_this_call),
                Err(error) => {
                    if error.is_transient() {
                        self.progress.retrying(&error);
                    }
                    retry.wait(error).await?;
                }
            }
        }
    }
}

async fn call(client: &Client, request: RowRequest) -> Result<bool, client::Error> {
    match request {
        RowRequest::Follow(follow) => Ok(client.follow(follow).await?.changed),
        RowRequest::Publish(post) => Ok(!client.publish(post).await?.deduplicated),
    }
}

/// Whether the error is about this row alone. All other errors end the import, because the next row
/// would fail too.
fn is_rejection(error: &client::Error) -> bool {
    let client::Error::Call(call) = error else { return false };
    let codes = ["INVALID_ARGUMENT", "ALREADY_EXISTS", "RESOURCE_EXHAUSTED"];
    !call.is_transient && !call.reason.is_empty() && codes.contains(&call.code)
}

/// The result of a worker. A panic of a worker is a panic of the import.
fn worker_result(ended: Result<Result<(), client::Error>, JoinError>) -> Result<(), client::Error> {
    match ended.map_err(JoinError::try_into_panic) {
        Ok(result) => result,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // Only dropping all workers aborts one.
        Err(Err(_)) => Ok(()),
    }
}
