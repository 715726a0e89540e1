//! The reader, which runs all queries: on memory first, and otherwise on a thread that may block.
//! It never blocks the caller's thread.
//!
//! ```text
//!   ask ──▶ memory has all ─────────────────────────────▶ answer, on the caller's thread
//!       └─▶ otherwise: wait for a turn ──▶ index, log ──▶ answer, on a thread of the pool
//! ```
//!
//! Only a few queries read the index at once, and callers take turns (`turns.rs`). The read of a cancelled
//! call ends at its next check of that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::metrics::QueryMetrics;
use super::source::KeptPart;
use super::turns::{Turn, Turns};
use super::{Error, Query, QueryCaller, Source, Unanswered};
use crate::config::Limits;
use crate::model::{Cursor, Revision};
use crate::runtime::metrics::Scrape;
use crate::runtime::{CallContext, Wait, call};
use crate::state::State;
use crate::storage;

/// Answers queries. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader(Arc<ReaderShared>);

#[derive(Debug)]
struct ReaderShared {
    state: Arc<State>,
    limits: Limits,
    /// The turns to read the index.
    turns: Turns,
    metrics: QueryMetrics,
}

/// Whether the call of a read is cancelled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancellation(Arc<AtomicBool>);

/// Cancels when it is dropped.
struct CancelOnDrop(Cancellation);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

impl Cancellation {
    /// # Errors
    /// [`Error::Abandoned`] if the call is cancelled.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Abandoned) } else { Ok(()) }
    }
}

impl Reader {
    /// A reader of `state`, within `limits`.
    #[must_use]
    pub fn new(state: Arc<State>, limits: &Limits) -> Self {
        let turns = Turns::new(limits.concurrent_reads_max, limits.waiting_reads_max);
        let metrics = QueryMetrics::new(limits.worker_threads);
        Self(Arc::new(ReaderShared { state, limits: limits.clone(), turns, metrics }))
    }

    /// The state that queries read.
    #[must_use]
    pub fn state(&self) -> &Arc<State> {
        &self.0.state
    }

    /// The limits of queries.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// The answer to `query`.
    ///
    /// # Errors
    /// The errors of the query; [`Error::TooManyWait`]; and [`storage::Error::Closed`] if it panicked.
    pub async fn ask<Q: Query>(&self, query: Q) -> Result<Q::Answer, Error> {
        let kept = match self.try_memory(&query)? {
            Ok(answer) => {
                self.0.metrics.answered_by_memory();
                return Ok(answer);
            }
            Err(kept) => kept,
        };
        let caller = QueryCaller::current();
        let turn = self.turn(&caller).await?;
        let (reader, cancellation) = (self.clone(), Cancellation::default());
        let _cancel = CancelOnDrop(cancellation.clone());
        let call = CallContext::current();
        let read = move || {
            // Also held after a cancellation, until the thread is free.
            let _turn = turn;
            let read = || reader.read(&query, &caller, cancellation, kept);
            // What it logs is about the same call.
            match call {
                Some(call) => call.within(read),
                None => read(),
            }
        };
        let begun_at = Instant::now();
        let read = tokio::task::spawn_blocking(read).await;
        call::waited(Wait::Read, begun_at);
        read.unwrap_or_else(|_| Err(storage::Error::Closed.into()))
    }

    /// The answer to `query`, if memory has all that it needs. Never blocks.
    ///
    /// # Errors
    /// The errors of the query.
    pub fn ask_memory<Q: Query>(&self, query: &Q) -> Result<Option<Q::Answer>, Error> {
        Ok(self.try_memory(query)?.ok())
    }

    /// The answer to `query`. Blocks, and cannot be cancelled.
    ///
    /// # Errors
    /// The errors of the query.
    pub fn ask_blocking<Q: Query>(&self, query: &Q) -> Result<Q::Answer, Error> {
        self.read(query, &QueryCaller::default(), Cancellation::default(), None)
    }

    /// Collects the metrics of queries.
    pub fn collect(&self, scrape: &mut Scrape) {
        self.0.metrics.collect(self.0.turns.use_of(), scrape);
    }

    /// Waits for a turn of `caller` to read the disk.
    async fn turn(&self, caller: &QueryCaller) -> Result<Turn, Error> {
        let asked = Instant::now();
        let turn = self.0.turns.take(caller).await;
        call::waited(Wait::Turn, asked);
        match &turn {
            Ok(_) => self.0.metrics.waited(asked.elapsed()),
            Err(Error::TooManyWait { .. }) => self.0.metrics.refused(),
            Err(_) => {}
        }
        turn
    }

    /// Waits at most `wait_max` until the state has applied `at_least`. To be called before each
    /// query with such a cursor.
    ///
    /// # Errors
    /// `at_least` is not a cursor of this log, or is not reached in time.
    pub async fn reached(&self, at_least: Option<Cursor>, wait_max: Duration) -> Result<(), Error> {
        let Some(at_least) = at_least else { return Ok(()) };
        at_least.check(&self.state().log_extent())?;
        self.has(at_least.required_revision(), wait_max).await
    }

    /// Waits at most `wait_max` until the state has applied `wanted`.
    ///
    /// # Errors
    /// It is not there in time.
    pub async fn has(&self, wanted: Revision, wait_max: Duration) -> Result<(), Error> {
        let state = self.state();
        if state.applied() >= wanted {
            return Ok(());
        }
        let asked = Instant::now();
        let reached = tokio::time::timeout(wait_max, state.reached(wanted)).await;
        call::waited(Wait::Cursor, asked);
        reached.map_err(|_| Error::NodeBehind { wanted, applied: state.applied() })
    }

    /// The answer; or what memory has of it.
    fn try_memory<Q: Query>(&self, query: &Q) -> Result<Result<Q::Answer, KeptPart>, Error> {
        let source = Source::memory(&self.0.state, &self.0.limits);
        match query.answer(&source) {
            Ok(answer) => Ok(Ok(answer)),
            Err(Unanswered::NotInMemory) => Ok(Err(source.into_kept())),
            Err(Unanswered::Failed(error)) => Err(error),
        }
    }

    fn read<Q: Query>(
        &self,
        query: &Q,
        caller: &QueryCaller,
        cancellation: Cancellation,
        kept: KeptPart,
    ) -> Result<Q::Answer, Error> {
        let began = Instant::now();
        let source = Source::with_index(&self.0.state, &self.0.limits, cancellation, kept);
        let answer = query.answer(&source);
        // Also of a read that failed or whose call was cancelled: it was done.
        caller.count(source.work.get());
        self.0.metrics.read(began.elapsed());
        match answer {
            Ok(answer) => Ok(answer),
            Err(Unanswered::Failed(error)) => Err(error),
            Err(Unanswered::NotInMemory) => {
                unreachable!("a source with the index never needs another")
            }
        }
    }
}
