//! Makes many changes at once: lanes side by side, one change after another within each.
//!
//! ```text
//! rows ──┬─► lane ─► call ─► answer, then the next row of the lane
//!        ├─► lane ─► …
//!        └─► lane ─► …
//! ```
//!
//! The posts of an author all take one lane, and so are made in the order of the file. Never drops
//! a row: it is made, rejected, or ends the import.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};

use super::progress::Progress;
use super::row::{Change, Row};
use crate::client::{self, Client, Retry};

/// The memory of all rows that wait. Shared by the lanes, so that a lane with a busy author may
/// fall far behind before the others have to wait for it.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// The lanes, and what works in them.
#[derive(Debug)]
pub(super) struct Lanes {
    /// Without a bound of their own: `room` bounds them all.
    queues: Vec<mpsc::UnboundedSender<Queued>>,
    workers: JoinSet<Result<(), client::Error>>,
    room: Arc<Semaphore>,
    next: usize,
}

#[derive(Debug)]
struct Queued {
    row: Row,
    _room: OwnedSemaphorePermit,
}

/// One lane.
struct Lane {
    client: Client,
    progress: Arc<Progress>,
    retried_for: Duration,
}

impl Lanes {
    pub(super) fn new(
        lanes: usize,
        clients: &[Client],
        progress: &Arc<Progress>,
        retried_for: Duration,
    ) -> Self {
        let mut workers = JoinSet::new();
        let queues = clients.iter().cloned().cycle().take(lanes).map(|client| {
            let (queue, rows) = mpsc::unbounded_channel();
            let lane = Lane { client, progress: Arc::clone(progress), retried_for };
            workers.spawn(lane.run(rows));
            queue
        });
        Self {
            queues: queues.collect(),
            workers,
            room: Arc::new(Semaphore::new(WAITING_BYTES_MAX)),
            next: 0,
        }
    }

    /// Puts a row into its lane once there is room.
    ///
    /// # Errors
    /// What ends the import.
    pub(super) async fn push(&mut self, row: Row) -> Result<(), client::Error> {
        let bytes = u32::try_from(row.bytes().min(WAITING_BYTES_MAX)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(bytes);
        let room = tokio::select! {
            biased;
            room = room => room,
            ended = self.workers.join_next() => return ended.map_or(Ok(()), flatten),
        };
        // The semaphore is never closed, and a lane that ended is seen at the latest in `finish`.
        if let Ok(room) = room {
            let lane = self.lane_of(&row);
            let _ = self.queues[lane].send(Queued { row, _room: room });
        }
        Ok(())
    }

    /// Waits until all rows are made or rejected.
    ///
    /// # Errors
    /// What ends the import.
    pub(super) async fn finish(mut self) -> Result<(), client::Error> {
        self.queues.clear();
        while let Some(ended) = self.workers.join_next().await {
            flatten(ended)?;
        }
        Ok(())
    }

    fn lane_of(&mut self, row: &Row) -> usize {
        match &row.change {
            Change::Follow(_) => {
                self.next = (self.next + 1) % self.queues.len();
                self.next
            }
            Change::Publish(post) => {
                crc32fast::hash(post.author_id.as_bytes()) as usize % self.queues.len()
            }
        }
    }
}

impl Lane {
    async fn run(self, mut rows: mpsc::UnboundedReceiver<Queued>) -> Result<(), client::Error> {
        while let Some(Queued { row, _room }) = rows.recv().await {
            match self.make(row.change).await {
                Ok(by_this_call) => self.progress.done(by_this_call),
                Err(error) if is_about_the_row(&error) => {
                    self.progress.reject(row.line, &error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes a change, again if need be. Says whether it was not made before.
    async fn make(&self, change: Change) -> Result<bool, client::Error> {
        let mut retry = Retry::within(self.retried_for);
        loop {
            match call(&self.client, change.clone()).await {
                Ok(by_this_call) => return Ok(by_this_call),
                Err(error) => {
                    if error.is_transient() {
                        self.progress.trouble(&error);
                    }
                    retry.wait(error).await?;
                }
            }
        }
    }
}

async fn call(client: &Client, change: Change) -> Result<bool, client::Error> {
    match change {
        Change::Follow(follow) => Ok(client.follow(follow).await?.changed),
        Change::Publish(post) => Ok(!client.publish(post).await?.deduplicated),
    }
}

/// Whether other rows may fare better. A server that knows no such call, or is broken, will not
/// change its mind with the next row.
fn is_about_the_row(error: &client::Error) -> bool {
    let client::Error::Call(call) = error else { return false };
    let codes = ["INVALID_ARGUMENT", "ALREADY_EXISTS", "RESOURCE_EXHAUSTED"];
    !call.is_transient && !call.reason.is_empty() && codes.contains(&call.code)
}

/// A lane that panicked takes the import down.
fn flatten(ended: Result<Result<(), client::Error>, JoinError>) -> Result<(), client::Error> {
    match ended.map_err(JoinError::try_into_panic) {
        Ok(ended) => ended,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // Only dropping the lanes aborts one.
        Err(Err(_)) => Ok(()),
    }
}
