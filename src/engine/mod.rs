//! The engine: the write path. It takes commands, decides them in one order, makes them durable,
//! applies them, and acknowledges them.
//!
//! ```text
//!   calls ──▶ queue ──▶ Committer ──────────▶ Log ──────────▶ Applier ──▶ State, Mailboxes
//!                       decides by the state  one flush       in order       │
//!                       and pending changes   per batch                      ▼
//!   calls ◀───────────────────────────────────────────────────────────── Completions
//! ```
//!
//! The committer and the applier are threads of their own: while one batch is flushed, the one
//! before it is applied. A call is never acknowledged before its change is durable and every read
//! sees it. A third thread, the indexer, writes applied events into the index later; a fourth, the
//! compactor, erases the content of deleted posts from the log; a fifth checks that the log's files
//! still exist.
//!
//! Reads are [queries](crate::query), which the engine passes to the reader. Nothing here depends
//! on gRPC.

mod applier;
mod calls;
mod command;
mod committer;
mod compactor;
mod completions;
mod decide;
mod error;
mod index_check;
mod indexer;
mod log_check;
mod mailbox;
mod metrics;
mod pending;
mod progress;
mod recurring;
mod segments;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use applier::Applier;
pub use command::{Changed, Draft, Published};
use command::{Command, Rejection, Responder};
use committer::Committer;
use compactor::Compactor;
use completions::Completions;
pub use error::{Error, OpenError};
pub use index_check::{IndexCheckError, IndexCheckStep, IndexCheckSteps};
use indexer::Indexer;
pub use mailbox::Mailbox;
use mailbox::Mailboxes;
use metrics::EngineMetrics;
pub use segments::{SegmentError, SegmentPieces};
use tokio::sync::{Semaphore, mpsc};

use crate::config::{Limits, LimitsInForce};
use crate::live::{self, LiveFeeds, LiveStream, Start, WatchOptions};
use crate::model::{Cursor, Epochs, Revision, UserId};
use crate::query::{self, Query, Reader};
use crate::runtime::{CallContext, Clock, CriticalThreads, Wait};
use crate::state::State;
use crate::storage::{Log, OpenedIndex};

/// How often a command is decided while other nodes append first. With three nodes that all append, half of their
/// batches come too late: so many in a row are none of them.
const DECISIONS_MAX: usize = 64;

/// The engine's handle. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine(Arc<EngineShared>);

#[derive(Debug)]
struct EngineShared {
    commands: mpsc::Sender<Command>,
    reader: Reader,
    live: LiveFeeds,
    limits: LimitsInForce,
    mailboxes: Mutex<Vec<Mailbox>>,
    metrics: EngineMetrics,
    threads: Mutex<Threads>,
    /// Permits to read a segment for a backup.
    segment_reads: Arc<Semaphore>,
    /// Permits to check the index.
    index_checks: Arc<Semaphore>,
    /// Whether a stop has begun.
    is_stopping: Arc<AtomicBool>,
}

/// The threads that [`Engine::stop`] waits for. A thread with a sender stops when that is dropped.
#[derive(Debug, Default)]
struct Threads {
    working: Vec<JoinHandle<()>>,
    /// Its sender is dropped after the others have ended: then all events are applied.
    indexing: Option<(SyncSender<()>, JoinHandle<()>)>,
    /// Their senders are dropped first: their work can continue after the next start.
    others: Vec<(SyncSender<()>, JoinHandle<()>)>,
}

impl Engine {
    /// Replays `log`, and then accepts commands. Blocks during the replay. Without an index, all
    /// marks and records stay in memory, and the next start replays the whole log again.
    ///
    /// From now on the engine is the log's only writer. A failure of its threads, such as one of
    /// the disk, is reported to `critical`; calls that are not acknowledged by then fail with
    /// [`Error::OutcomeUnknown`].
    ///
    /// # Errors
    /// A limit is outside its range, the log cannot be read, or the operating system refuses a
    /// thread.
    pub fn open(
        log: Arc<dyn Log>,
        limits: &Limits,
        clock: Clock,
        critical: &CriticalThreads,
    ) -> Result<Self, OpenError> {
        Self::start(log, None, limits, clock, critical)
    }

    /// As [`Engine::open`], with an index of `log`: only events that it lacks are replayed. From
    /// now on the engine is its only writer.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open_indexed(
        log: Arc<dyn Log>,
        index: OpenedIndex,
        limits: &Limits,
        clock: Clock,
        critical: &CriticalThreads,
    ) -> Result<Self, OpenError> {
        Self::start(log, Some(index), limits, clock, critical)
    }

    fn start(
        log: Arc<dyn Log>,
        index: Option<OpenedIndex>,
        limits: &Limits,
        clock: Clock,
        critical: &CriticalThreads,
    ) -> Result<Self, OpenError> {
        limits.check()?;
        let in_force = LimitsInForce::new(limits.clone());
        let (begun, head) = (clock.elapsed(), log.head());
        let state = Arc::new(match index {
            Some(index) => State::load(Arc::clone(&log), index, limits)?,
            None => State::new(Arc::clone(&log), limits),
        });
        // Not what the header of the first file says: another file may have been loaded in its place.
        let indexed = state.applied();
        let reader = Reader::new(Arc::clone(&state), limits);
        let live = LiveFeeds::new(reader.clone(), &in_force);
        let (mailboxes, receivers) = Mailboxes::new(&live, limits);
        let mailboxes = Arc::new(mailboxes);
        let completions = Arc::new(Completions::new(Arc::clone(&state), Arc::clone(&mailboxes)));
        let (mut threads, metrics) = (Threads::default(), EngineMetrics::default());
        // Before the replay, so that it reads the log at the same time.
        if let Some(index) = state.index() {
            let (log, state, index) = (Arc::clone(&log), Arc::clone(&state), Arc::clone(index));
            let (running, stopped) = sync_channel(0);
            let indexer = Indexer::new(log, state, index, clock.clone(), stopped, limits)
                .counted_in(metrics.clone());
            let indexing = critical.spawn("whimbrel-index", move || indexer.run())?;
            threads.indexing = Some((running, indexing));
        }
        let mut applier =
            Applier::new(&log, reader.clone(), Arc::clone(&completions), mailboxes, limits)
                .counted_in(metrics.clone());
        applier.catch_up()?;
        let seconds = clock.elapsed().saturating_sub(begun).as_secs_f64();
        tracing::info!(%head, %indexed, seconds, "log replayed");

        let (commands, queue) = mpsc::channel(limits.queue_commands_max);
        let (running, stopped) = sync_channel(0);
        let (log_too, state_too) = (Arc::clone(&log), Arc::clone(&state));
        let of_compactor = in_force.clone();
        let compactor = Compactor::new(log_too, state_too, clock.clone(), stopped, of_compactor)
            .counted_in(metrics.clone());
        threads.others.push((running, critical.spawn("whimbrel-erase", move || compactor.run())?));
        let (running, stopped) = sync_channel(0);
        let checked = Arc::clone(&log);
        let check = critical.spawn("whimbrel-files", move || log_check::run(&checked, &stopped))?;
        threads.others.push((running, check));
        let committer = Committer::new(log, state, completions, queue, clock, in_force.clone())?
            .counted_in(metrics.clone());
        let is_stopping = committer.stop_flag();
        threads.working.push(critical.spawn("whimbrel-commit", move || committer.run())?);
        threads.working.push(critical.spawn("whimbrel-apply", move || applier.run())?);
        let (mailboxes, threads) = (Mutex::new(receivers), Mutex::new(threads));
        let segment_reads = Arc::new(Semaphore::new(limits.segment_reads_max));
        let index_checks = Arc::new(Semaphore::new(index_check::CHECKS_MAX));
        Ok(Self(Arc::new(EngineShared {
            commands,
            reader,
            live,
            limits: in_force,
            mailboxes,
            metrics,
            threads,
            segment_reads,
            index_checks,
            is_stopping,
        })))
    }

    /// The mailboxes, in the order of their shards from 1 on. Each must run on its worker before
    /// calls are made there. Only the first call returns them.
    #[must_use]
    pub fn mailboxes(&self) -> Vec<Mailbox> {
        std::mem::take(&mut *self.0.mailboxes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The answer to `query`.
    ///
    /// # Errors
    /// The errors of the query.
    pub async fn ask<Q: Query>(&self, query: Q) -> Result<Q::Answer, query::Error> {
        self.0.reader.ask(query).await
    }

    /// Waits at most `wait_max` until the state has applied `at_least`. To be called before each
    /// query with such a cursor.
    ///
    /// # Errors
    /// `at_least` is not a cursor of this log, or is not reached in time.
    pub async fn reached(
        &self,
        at_least: Option<Cursor>,
        wait_max: Duration,
    ) -> Result<(), query::Error> {
        self.0.reader.reached(at_least, wait_max).await
    }

    /// Whether other nodes append to the log, too: then a client may name what this one has not yet.
    #[must_use]
    pub fn shares_log(&self) -> bool {
        self.state().log.is_shared()
    }

    /// Waits at most `wait_max` until the state has applied `revision`, which another node may have appended.
    ///
    /// # Errors
    /// It is not there in time.
    pub async fn has(&self, revision: Revision, wait_max: Duration) -> Result<(), query::Error> {
        self.0.reader.has(revision, wait_max).await
    }

    /// Opens a stream of a live feed.
    ///
    /// # Errors
    /// Too many streams are open, or `start` cannot be served.
    pub fn watch(
        &self,
        user: &UserId,
        start: Start,
        options: WatchOptions,
    ) -> Result<LiveStream, live::Error> {
        self.0.live.watch(user, start, options)
    }

    /// The limits in force, of this engine and of what is around it.
    #[must_use]
    pub fn limits(&self) -> &LimitsInForce {
        &self.0.limits
    }

    /// Which opening of the log appended which events: ids and cursors of clients name the epoch.
    #[must_use]
    pub fn epochs(&self) -> Epochs {
        self.state().epochs()
    }

    /// The position that every read shows now.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.state().cursor_after(self.state().applied())
    }

    /// Whether every query can be answered: false while the index is lost, which has older records.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state().index().is_none_or(|index| index.loss().is_none())
    }

    /// Ends changes that wait for a log that cannot be reached: their outcome is not known. To be called when a stop
    /// begins.
    pub fn stop_waiting(&self) {
        self.0.is_stopping.store(true, Ordering::Release);
        self.state().log.stop_waiting();
    }

    /// Acknowledges all accepted changes, closes the log, completes the index, and waits for the
    /// threads. Later changes are refused with [`Error::Stopping`].
    pub async fn stop(&self) {
        // Without a repairer no thread waits for a lost index, which would delay the stop.
        if let Some(index) = self.state().index() {
            index.set_has_repairer(false);
        }
        self.stop_waiting();
        // Fails only if the committer has ended already.
        let _ = self.0.commands.send(Command::Stop).await;
        let Threads { working, indexing, others } =
            std::mem::take(&mut *self.0.threads.lock().unwrap_or_else(PoisonError::into_inner));
        // All senders are dropped before any thread is joined.
        let (running, others): (Vec<_>, Vec<_>) = others.into_iter().unzip();
        drop(running);
        let join = move || {
            working.into_iter().chain(others).for_each(|thread| drop(thread.join()));
            if let Some((running, thread)) = indexing {
                drop(running);
                drop(thread.join());
            }
        };
        let _ = tokio::task::spawn_blocking(join).await;
    }

    fn state(&self) -> &State {
        self.0.reader.state()
    }

    /// Has a command decided, and again as long as other nodes append first.
    async fn call<T>(&self, command: impl Fn(Responder<T>) -> Command) -> Result<T, Rejection> {
        for _ in 0..DECISIONS_MAX {
            match self.call_once(&command).await {
                Err(Rejection::DecideAgain) => {}
                done => return done,
            }
        }
        Err(Rejection::DecideAgain)
    }

    async fn call_once<T>(
        &self,
        command: impl FnOnce(Responder<T>) -> Command,
    ) -> Result<T, Rejection> {
        let (sent_at, (responder, result)) = (Instant::now(), Responder::new());
        self.0.commands.try_send(command(responder)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Error::Stopping,
        })?;
        let unknown = Err(Rejection::Refused(Error::OutcomeUnknown));
        let (result, times) = result.await.unwrap_or((unknown, None));
        if let (Some(times), Some(call)) = (times, CallContext::current()) {
            call.waited(Wait::Queue, sent_at, times.begun_at);
            call.waited(Wait::Flush, times.begun_at, times.durable_at);
            call.waited(Wait::Apply, times.durable_at, Instant::now());
        }
        result
    }
}
