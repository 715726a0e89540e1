//! A log in PostgreSQL, which several nodes share, and the copy of it that each of them keeps on its disk.
//!
//! ```text
//!   append ──▶ Appender ──▶ PostgreSQL ──▶ its standbys
//!                 │ acknowledged │ notifies
//!                 ▼              ▼
//!              LocalLog ◀──── Tailer       the copy: all reads, followers, backups
//! ```
//!
//! An append is in the log if the head was where its decision was made and its term is the newest; nothing else is
//! believed (append.rs). Each batch carries the chain after it, so that a node whose history differs by a bit stops.

mod address;
mod append;
mod connection;
mod erase;
mod filling;
mod roster;
mod rows;
mod schema;
mod tail;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

pub use address::{StoreAddress, StoreAddressError, StoreOptions};
use append::{AppendOutcome, Appender};
use connection::Failure;
pub use filling::{CopiedLog, copy_into_store, copy_out_of_store};
pub use roster::PostgresRoster;
use tail::Tailer;

use super::error::Error;
use super::free_space::DiskReserve;
use super::local::{LocalLog, LogOptions};
use super::log::encoded_batch::EncodedBatch;
use super::log::{
    Batch, EraseOutcome, Erasure, Log, LogEntry, LogSize, SegmentInfo, SegmentRead, StoreState,
};
use crate::model::{Chain, Epoch, Epochs, Event, LogId, Revision};

/// Between two lines of the log that say that a node waits.
const WAITING_REPORTED: Duration = Duration::from_secs(10);
/// How soon a wait for other nodes' events notices a stop.
const STOP_NOTICED: Duration = Duration::from_millis(100);

/// A log in PostgreSQL.
#[derive(Debug)]
pub struct PostgresLog {
    shared: Arc<Shared>,
    appender: Mutex<Appender>,
    tail: Mutex<Option<JoinHandle<()>>>,
}

/// What the threads of a log share.
#[derive(Debug)]
struct Shared {
    options: StoreOptions,
    copy: LocalLog,
    /// Wakes the tail.
    woken: Arc<Notify>,
    is_closed: AtomicBool,
    /// Whether an append is given up after its first failure.
    is_stopping: AtomicBool,
    waiting: Mutex<()>,
    /// Notified when the copy has more.
    advanced: Condvar,
    /// Why the tail has ended, if it could not go on.
    failed: Mutex<Option<Error>>,
    state: SharedState,
}

/// What [`StoreState`] says.
#[derive(Debug, Default)]
struct SharedState {
    term: AtomicU64,
    barriers: AtomicU64,
    is_away: AtomicBool,
}

impl Shared {
    /// Takes a batch over into the copy, and wakes who waits for it.
    fn take_over(&self, batch: EncodedBatch) -> Result<(), Error> {
        self.copy.take_over(batch)?;
        let _waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.advanced.notify_all();
        Ok(())
    }

    /// Waits until the copy has `revision`, or nobody waits any more.
    fn wait_for(&self, revision: Revision) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while self.copy.head() < revision && !self.is_stopping.load(Ordering::Acquire) {
            let waited = self.advanced.wait_timeout(waiting, STOP_NOTICED);
            (waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl PostgresLog {
    /// Makes the tables of a log if they are not there.
    ///
    /// # Errors
    /// PostgreSQL cannot be reached or is not fit.
    pub fn prepare(options: &StoreOptions) -> Result<(), Error> {
        try_to_prepare(options).map_err(|failure| failure.of(options))
    }

    /// As [`PostgresLog::prepare`], once PostgreSQL can be reached: it may start after its nodes, or be in a fail-over.
    ///
    /// # Errors
    /// PostgreSQL is not fit, or refuses this node.
    pub fn prepare_once_reached(options: &StoreOptions) -> Result<(), Error> {
        let mut reported: Option<Instant> = None;
        loop {
            match try_to_prepare(options) {
                Err(failure) if failure.is_away() => {
                    if reported.is_none_or(|last| last.elapsed() >= WAITING_REPORTED) {
                        reported = Some(Instant::now());
                        let server = options.address.server();
                        tracing::warn!(%server, error = %failure, "PostgreSQL cannot be reached: this node waits for it");
                    }
                    std::thread::sleep(append::RETRY);
                }
                prepared => return prepared.map_err(|failure| failure.of(options)),
            }
        }
    }

    /// Opens the log, makes its tables if they are not there, and takes over into `dir` what was appended since.
    ///
    /// # Errors
    /// PostgreSQL cannot be reached or is not fit, or the copy in `dir` cannot be used.
    pub fn open(dir: &Path, local: LogOptions, options: StoreOptions) -> Result<Self, Error> {
        let failed =
            |source: io::Error| Error::Storage { file: dir.to_owned(), source: source.into() };
        let first = runtime().map_err(failed)?;
        let prepared: Result<_, Failure> = first.block_on(async {
            let connection = connection::connect(&first, &options, None).await?;
            let id = connection.prepare_schema().await?;
            connection.settle().await?;
            Ok((connection, id))
        });
        let (connection, id) = prepared.map_err(|failure| failure.of(&options))?;
        let is_there = |end: Revision, chain: Chain| {
            let has = first.block_on(connection.has(end, chain));
            has.map_err(|failure| failure.of(&options))
        };
        let copy = LocalLog::open_copy(dir, local, id, is_there)?;
        drop(connection);
        let shared = Arc::new(Shared {
            copy,
            options,
            woken: Arc::default(),
            is_closed: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            waiting: Mutex::default(),
            advanced: Condvar::default(),
            failed: Mutex::default(),
            state: SharedState::default(),
        });
        let mut tailer = Tailer::new(runtime().map_err(failed)?, Arc::clone(&shared));
        tailer.catch_up()?;
        let of_tail = Arc::clone(&shared);
        let run = move || {
            if let Err(error) = tailer.run() {
                tracing::error!(%error, "the log cannot be followed");
                *of_tail.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        };
        let tail = std::thread::Builder::new().name("whimbrel-tail".to_owned()).spawn(run);
        Ok(Self {
            shared,
            appender: Mutex::new(Appender::new(runtime().map_err(failed)?)),
            tail: Mutex::new(Some(tail.map_err(failed)?)),
        })
    }

    /// What the copy leaves free on the disk.
    #[must_use]
    pub fn disk_reserve(&self) -> DiskReserve {
        self.shared.copy.disk_reserve()
    }
}

fn try_to_prepare(options: &StoreOptions) -> Result<(), Failure> {
    let runtime = runtime().map_err(|error| Failure::Unfit(error.to_string()))?;
    let prepared = runtime.block_on(async {
        connection::connect(&runtime, options, None).await?.prepare_schema().await
    });
    prepared.map(drop)
}

/// For one thread that waits for PostgreSQL.
fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

impl Log for PostgresLog {
    fn id(&self) -> LogId {
        self.shared.copy.id()
    }

    fn head(&self) -> Revision {
        self.shared.copy.head()
    }

    fn epochs(&self) -> Epochs {
        self.shared.copy.epochs()
    }

    fn oldest(&self) -> Revision {
        self.shared.copy.oldest()
    }

    fn append(&self, after: Revision, events: Vec<Event>) -> Result<(), Error> {
        let mut appender = self.appender.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shared.is_closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        let (head, chain) = self.shared.copy.end();
        if head != after {
            return Err(Error::HeadMoved { head });
        }
        // Before it is sent: what PostgreSQL has is appended, whatever becomes of the copy.
        self.shared.copy.check_room()?;
        // Its epoch is that of the term in which it is appended.
        let batch = EncodedBatch::new(after.next(), Epoch::UNRECORDED, chain, events);
        let mut batch = batch.map_err(|error| {
            let server = self.shared.options.address.server();
            Error::Store { server, what: error.to_string() }
        })?;
        match appender.append(&self.shared, &mut batch)? {
            AppendOutcome::Appended => {
                let last = batch.last();
                match self.shared.take_over(batch) {
                    // The tail brings it once there is room.
                    Err(Error::DiskFull { .. }) => self.shared.wait_for(last),
                    taken => return taken,
                }
                if self.shared.copy.head() >= last { Ok(()) } else { Err(Error::Closed) }
            }
            // PostgreSQL had it once: this node does not append to another history.
            AppendOutcome::Refused(last) if last < head => Err(Error::Forked { after: last, head }),
            AppendOutcome::Refused(head) => {
                // So that whoever decides again does so by what was appended.
                self.shared.wait_for(head);
                Err(Error::HeadMoved { head })
            }
        }
    }

    fn confirm(&self, after: Revision) -> Result<(), Error> {
        let mut appender = self.appender.lock().unwrap_or_else(PoisonError::into_inner);
        let last = appender.confirm(&self.shared)?;
        if last == after {
            return Ok(());
        }
        self.shared.wait_for(last);
        Err(Error::HeadMoved { head: last })
    }

    fn get(&self, revision: Revision) -> Result<Option<Event>, Error> {
        self.shared.copy.get(revision)
    }

    fn read(&self, after: Revision, events_max: usize) -> Result<Vec<LogEntry>, Error> {
        self.shared.copy.read(after, events_max)
    }

    fn chain(&self, revision: Revision) -> Result<Option<Chain>, Error> {
        self.shared.copy.chain(revision)
    }

    fn follow(&self, batches_max: usize) -> (Revision, Receiver<Arc<Batch>>) {
        self.shared.copy.follow(batches_max)
    }

    fn erase(&self, erasure: &Erasure, go_on: &dyn Fn() -> bool) -> Result<EraseOutcome, Error> {
        let goes_on = || go_on() && !self.shared.is_closed.load(Ordering::Acquire);
        if !goes_on() {
            return Ok(EraseOutcome::Abandoned);
        }
        match erase::erase(&self.shared, erasure, &goes_on) {
            Ok(true) => self.shared.copy.erase(erasure, go_on),
            Ok(false) => Ok(EraseOutcome::Abandoned),
            Err(failure) => Ok(EraseOutcome::Postponed(failure.of(&self.shared.options))),
        }
    }

    fn erased_until(&self) -> Revision {
        self.shared.copy.erased_until()
    }

    fn segments(&self) -> Vec<SegmentInfo> {
        self.shared.copy.segments()
    }

    fn read_segment(
        &self,
        segment: &SegmentInfo,
        pass_on: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<SegmentRead, Error> {
        self.shared.copy.read_segment(segment, pass_on)
    }

    fn check(&self) -> Result<(), Error> {
        if let Some(error) =
            self.shared.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            return Err(error);
        }
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let has_ended = tail.as_ref().is_none_or(JoinHandle::is_finished);
        if has_ended && !self.shared.is_closed.load(Ordering::Acquire) {
            let what = "the thread that follows it has ended".to_owned();
            return Err(Error::Store { server: self.shared.options.address.server(), what });
        }
        self.shared.copy.check()
    }

    fn store_state(&self) -> Option<StoreState> {
        let SharedState { term, barriers, is_away } = &self.shared.state;
        Some(StoreState {
            term: term.load(Ordering::Relaxed),
            barriers: barriers.load(Ordering::Relaxed),
            is_reached: !is_away.load(Ordering::Relaxed),
        })
    }

    fn size(&self) -> Option<LogSize> {
        self.shared.copy.size()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn stop_waiting(&self) {
        self.shared.is_stopping.store(true, Ordering::Release);
    }

    fn close(&self) {
        self.shared.is_closed.store(true, Ordering::Release);
        self.shared.copy.close();
        self.shared.woken.notify_one();
    }
}

impl Drop for PostgresLog {
    fn drop(&mut self) {
        self.close();
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(tail) = tail {
            // It has ended by itself, or panicked, which its own line in the log says.
            let _ = tail.join();
        }
    }
}
