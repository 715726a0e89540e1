//! The committer (group commit): one thread that decides commands, batch by batch, and makes them
//! durable.
//!
//! Other nodes may append to the log, too. A batch that they were faster than is not in it, and is decided again
//! once their events are applied here.
//!
//! There is no timer: the commands that arrive during the flush of one batch are the next batch.
//! After a failed write the committer never retries, and never acknowledges anything more. All
//! writers wait for this thread, so it only waits for its own writes: it never reads the disk, and
//! never waits for the receivers of completions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use super::command::{Command, CommitTimes, PublishedAt};
use super::completions::{Completion, Completions};
use super::decide::{self, DecisionRules, Outcome};
use super::metrics::EngineMetrics;
use super::pending::Pending;
use super::recurring::RecurringWarning;
use super::{Changed, Error, OpenError};
use crate::config::LimitsInForce;
use crate::model::{Cursor, Event, LogTime, Revision, Timestamp};
use crate::runtime::Clock;
use crate::state::State;
use crate::storage::{self, Log};

/// How soon a wait for the events of others notices a stop.
const STOP_NOTICED: Duration = Duration::from_millis(100);

/// The only writer of the log.
#[derive(Debug)]
pub(super) struct Committer {
    log: Arc<dyn Log>,
    pending: Pending,
    state: Arc<State>,
    /// The end of what is in the state or pending.
    known: Revision,
    /// For waits of this thread.
    waits: Runtime,
    /// Whether a stop has begun.
    is_stopping: Arc<AtomicBool>,
    completions: Arc<Completions>,
    queue: mpsc::Receiver<Command>,
    clock: Clock,
    /// The log's own time at the last reading of the clock.
    log_time: LogTime,
    /// [`Clock::elapsed`] at that reading.
    elapsed: Duration,
    /// Whether the time of day at that reading was outside the range of [`Timestamp`].
    is_clock_invalid: bool,
    batch_commands_max: usize,
    limits: LimitsInForce,
    stopping: bool,
    disk_full: RecurringWarning,
    metrics: EngineMetrics,
}

/// A decided batch, which is not durable yet.
#[derive(Debug, Default)]
struct DecidedBatch {
    events: Vec<Event>,
    completions: Vec<Completion>,
}

impl Committer {
    pub(super) fn new(
        log: Arc<dyn Log>,
        state: Arc<State>,
        completions: Arc<Completions>,
        queue: mpsc::Receiver<Command>,
        clock: Clock,
        limits: LimitsInForce,
    ) -> Result<Self, OpenError> {
        let newest = log.get(log.head())?;
        // The log's own time does not include the time between two runs of the server, so request
        // ids are kept longer then. The time of a new log starts at the time of day.
        let now_in_log = || LogTime::from_nanos(now(&clock).unwrap_or_default().as_nanos());
        let log_time = newest.map_or_else(now_in_log, |event| event.log_time);
        Ok(Self {
            known: state.applied(),
            waits: Builder::new_current_thread().enable_time().build()?,
            is_stopping: Arc::default(),
            log,
            pending: Pending::new(Arc::clone(&state)),
            state,
            completions,
            queue,
            elapsed: clock.elapsed(),
            clock,
            log_time,
            is_clock_invalid: false,
            batch_commands_max: limits.now().batch_commands_max,
            limits,
            stopping: false,
            disk_full: RecurringWarning::default(),
            metrics: EngineMetrics::default(),
        })
    }

    /// To be set when a stop begins.
    pub(super) fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_stopping)
    }

    /// Counts in `metrics`.
    pub(super) fn counted_in(self, metrics: EngineMetrics) -> Self {
        Self { metrics, ..self }
    }

    /// Runs until [`Command::Stop`], or the log fails.
    pub(super) fn run(mut self) -> Result<(), storage::Error> {
        storage::forbid_disk_reads();
        let ended = self.work();
        // From here on senders get an error. The commands in the queue were not decided.
        self.queue.close();
        while let Ok(command) = self.queue.try_recv() {
            command.refuse(Error::Stopping);
        }
        self.log.close();
        ended
    }

    fn work(&mut self) -> Result<(), storage::Error> {
        let mut commands = Vec::with_capacity(self.batch_commands_max);
        while !self.stopping
            && self.queue.blocking_recv_many(&mut commands, self.batch_commands_max) > 0
        {
            let after = self.log.head();
            if !self.knows(after) {
                commands.drain(..).for_each(|command| command.refuse(Error::Stopping));
                return Ok(());
            }
            let decided = self.decide(after, commands.drain(..));
            self.commit(after, decided)?;
        }
        Ok(())
    }

    /// Waits until all up to `after`, which others may have appended, is in the state or pending. False if a stop began
    /// before: the applier may have ended.
    fn knows(&mut self, after: Revision) -> bool {
        while self.known != after {
            let reached = self.state.reached(after);
            let waited = async { tokio::time::timeout(STOP_NOTICED, reached).await };
            if self.waits.block_on(waited).is_ok() {
                self.known = after;
            } else if self.is_stopping.load(Ordering::Acquire) {
                return false;
            }
        }
        true
    }

    fn decide(&mut self, after: Revision, commands: impl Iterator<Item = Command>) -> DecidedBatch {
        let time = self.read_clock();
        self.pending.start_batch();
        let rules = DecisionRules::new(&self.limits.now());
        let mut decided = DecidedBatch::default();
        for command in commands {
            let next = Revision::new(after.get() + decided.events.len() as u64).next();
            let (change, completion) = match command {
                Command::Change { request, responder } => {
                    let (change, result) = rules.change(request, &self.pending);
                    let result = result.map(|outcome| self.changed(outcome, next));
                    (change, Completion::Change(responder, result))
                }
                Command::Publish { author, content, request, responder } => {
                    let (change, result) = decide::publish(author, content, request, &self.pending);
                    let result = result.map(|outcome| self.published(outcome, next));
                    (change, Completion::Publish(responder, result))
                }
                Command::Confirm { responder } => {
                    let cursor = self.cursor_after(next.previous());
                    (None, Completion::Confirm(responder, cursor))
                }
                Command::Stop => {
                    self.stopping = true;
                    continue;
                }
            };
            match (change, time) {
                (Some(_), None) => {
                    completion.refuse(|| Error::NoTime);
                    continue;
                }
                (Some(change), Some(time)) => {
                    let event = Event { time, log_time: self.log_time, change };
                    self.pending.push(next, &event);
                    decided.events.push(event);
                }
                (None, _) => {}
            }
            decided.completions.push(completion);
        }
        decided
    }

    /// Advances the log's own time to now. Returns the time of day as the clock has it, even if it
    /// was set back; `None` if it is outside the range of [`Timestamp`].
    fn read_clock(&mut self) -> Option<Timestamp> {
        let elapsed = self.clock.elapsed();
        let own = self.log_time.later(elapsed.saturating_sub(self.elapsed));
        self.log_time = own.max(self.state.log_time());
        self.elapsed = elapsed;
        let time = now(&self.clock);
        // Logged once, and not for every refused batch.
        if time.is_none() && !self.is_clock_invalid {
            tracing::warn!("changes refused: {}", Error::NoTime);
        }
        self.is_clock_invalid = time.is_none();
        time
    }

    /// The result of a change; `next` is the revision of the next event.
    fn changed(&self, outcome: Outcome, next: Revision) -> Changed {
        let (changed, revision, at) = match outcome {
            Outcome::Made => (true, next, next),
            // Found in the state after all decided events.
            Outcome::Found(since) => (false, since, next.previous()),
        };
        Changed { changed, revision, cursor: self.cursor_after(at) }
    }

    /// The result of a publish; `next` is the revision of the next event.
    fn published(&self, outcome: Outcome, next: Revision) -> PublishedAt {
        let (deduplicated, revision, at) = match outcome {
            Outcome::Made => (false, next, next),
            Outcome::Found(earlier) => (true, earlier, next.previous()),
        };
        PublishedAt { revision, deduplicated, cursor: self.cursor_after(at) }
    }

    fn cursor_after(&self, revision: Revision) -> Cursor {
        Cursor::after(self.log.id(), revision)
    }

    fn commit(&mut self, after: Revision, decided: DecidedBatch) -> Result<(), storage::Error> {
        let DecidedBatch { events, mut completions } = decided;
        let last = Revision::new(after.get() + events.len() as u64);
        if completions.is_empty() {
            return Ok(());
        }
        if events.is_empty() {
            // An append would say whether others have appended.
            match self.log.confirm(after) {
                Ok(()) => self.completions.push(last, completions),
                Err(error) => self.not_committed(after, completions, error)?,
            }
            return Ok(());
        }
        let (count, begun_at) = (events.len(), self.metrics.write_begins(last));
        match self.log.append(after, events) {
            Ok(()) => {
                self.known = last;
                let durable_at = self.metrics.flushed(count, begun_at);
                let times = CommitTimes { begun_at, durable_at };
                completions.iter_mut().for_each(|completion| completion.is_durable(times));
                if let Some(calls) = self.disk_full.ended() {
                    tracing::info!(calls, "the disk has room: changes are taken again");
                }
                self.completions.push(last, completions);
            }
            Err(error) => self.not_committed(after, completions, error)?,
        }
        Ok(())
    }

    /// Responds to the calls of a batch that is not in the log, for this reason.
    fn not_committed(
        &mut self,
        after: Revision,
        completions: Vec<Completion>,
        error: storage::Error,
    ) -> Result<(), storage::Error> {
        match error {
            storage::Error::DiskFull { .. } => {
                if let Some(calls) = self.disk_full.occurred(completions.len()) {
                    tracing::warn!(%error, calls, "changes refused");
                }
                self.metrics.refused();
                self.pending.drop_newest();
                completions
                    .into_iter()
                    .for_each(|completion| completion.refuse(|| Error::DiskFull));
            }
            storage::Error::HeadMoved { head } => {
                tracing::debug!(%after, %head, "others have appended: decided again");
                self.metrics.refused();
                self.pending.drop_newest();
                completions.into_iter().for_each(Completion::decide_again);
            }
            storage::Error::Closed => self.stopping = true,
            // The completions are dropped without a result, because the outcome is not known.
            error => return Err(error),
        }
        Ok(())
    }
}

fn now(clock: &Clock) -> Option<Timestamp> {
    clock.since_epoch().and_then(Timestamp::since_epoch)
}
