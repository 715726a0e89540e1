//! Group commit: one thread that decides commands, batch by batch, and makes them durable.
//!
//! There is no timer: what has arrived while one batch was being flushed is the next. After a
//! write that failed nothing is tried again and nothing more is acknowledged. All writers wait for this
//! thread, so it waits for nothing but its own writes: it reads nothing from the disk, and hands
//! completions over without waiting for their receivers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::command::{Command, PublishedAt};
use super::completions::{Completion, Completions};
use super::decide::{self, DecisionRules, Outcome};
use super::pending::Pending;
use super::recurring::RecurringWarning;
use super::{Changed, Error};
use crate::config::Limits;
use crate::model::{Cursor, Event, LogTime, Revision, Timestamp};
use crate::runtime::Clock;
use crate::state::State;
use crate::storage::{self, Log};

/// The only writer of the log.
#[derive(Debug)]
pub(super) struct Committer {
    log: Arc<dyn Log>,
    pending: Pending,
    completions: Arc<Completions>,
    queue: mpsc::Receiver<Command>,
    clock: Clock,
    /// The log's own time, as it was last asked for.
    log_time: LogTime,
    /// What the clock had measured by then.
    elapsed: Duration,
    /// Whether the clock tells no time that can be written down, as it was last asked.
    is_timeless: bool,
    batch_commands_max: usize,
    rules: DecisionRules,
    stopping: bool,
    disk_full: RecurringWarning,
}

/// A batch that was decided.
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
        limits: &Limits,
    ) -> Result<Self, storage::Error> {
        let newest = log.get(log.head())?;
        // Time for which nobody served the log is left out: what was remembered for a day is then
        // remembered for longer. A new log may as well begin with the clock.
        let begin = || LogTime::from_nanos(now(&clock).unwrap_or_default().as_nanos());
        let log_time = newest.map_or_else(begin, |event| event.log_time);
        Ok(Self {
            log,
            pending: Pending::new(state),
            completions,
            queue,
            elapsed: clock.elapsed(),
            clock,
            log_time,
            is_timeless: false,
            batch_commands_max: limits.batch_commands_max,
            rules: DecisionRules::new(limits),
            stopping: false,
            disk_full: RecurringWarning::default(),
        })
    }

    /// Works until it is told to stop, or the log fails.
    pub(super) fn run(mut self) -> Result<(), storage::Error> {
        storage::forbid_disk_reads();
        let ended = self.work();
        // From here on senders are told that the queue is closed; what is in it was not taken.
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
            let decided = self.decide(after, commands.drain(..));
            self.commit(after, decided)?;
        }
        Ok(())
    }

    fn decide(&mut self, after: Revision, commands: impl Iterator<Item = Command>) -> DecidedBatch {
        let time = self.read_clock();
        self.pending.begin();
        let mut decided = DecidedBatch::default();
        for command in commands {
            let next = Revision::new(after.get() + decided.events.len() as u64).next();
            let (change, completion) = match command {
                Command::Change { request, responder } => {
                    let (change, result) = self.rules.change(request, &self.pending);
                    let result = result.map(|outcome| self.changed(outcome, next));
                    (change, Completion::Change(responder, result))
                }
                Command::Publish { author, content, request, responder } => {
                    let (change, result) = decide::publish(author, content, request, &self.pending);
                    let result = result.map(|outcome| self.published(outcome, next));
                    (change, Completion::Publish(responder, result))
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

    /// Takes the log's own time on to now. Gives the time of day: the clock's as it is, also if it
    /// was set back; `None` if that cannot be written down.
    fn read_clock(&mut self) -> Option<Timestamp> {
        let elapsed = self.clock.elapsed();
        self.log_time = self.log_time.later(elapsed.saturating_sub(self.elapsed));
        self.elapsed = elapsed;
        let time = now(&self.clock);
        // Once, and not for every batch that is refused.
        if time.is_none() && !self.is_timeless {
            tracing::warn!("changes refused: {}", Error::NoTime);
        }
        self.is_timeless = time.is_none();
        time
    }

    /// What is answered to a change that is decided right before `next`.
    fn changed(&self, outcome: Outcome, next: Revision) -> Changed {
        let (changed, revision, at) = match outcome {
            Outcome::Made => (true, next, next),
            // As it is at the newest position decided so far.
            Outcome::Found(since) => (false, since, next.previous()),
        };
        Changed { changed, revision, cursor: self.cursor_after(at) }
    }

    /// What is answered to a post that is decided right before `next`.
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
        let DecidedBatch { events, completions } = decided;
        let last = Revision::new(after.get() + events.len() as u64);
        if events.is_empty() {
            self.completions.hand_in(last, completions);
            return Ok(());
        }
        match self.log.append(after, events) {
            Ok(()) => {
                if let Some(calls) = self.disk_full.over() {
                    tracing::info!(calls, "the disk has room: changes are taken again");
                }
                self.completions.hand_in(last, completions);
            }
            Err(error @ storage::Error::DiskFull { .. }) => {
                if let Some(calls) = self.disk_full.met(completions.len()) {
                    tracing::warn!(%error, calls, "changes refused");
                }
                self.pending.forget_newest();
                completions
                    .into_iter()
                    .for_each(|completion| completion.refuse(|| Error::DiskFull));
            }
            // The completions go unanswered: their outcome is not known.
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn now(clock: &Clock) -> Option<Timestamp> {
    clock.since_epoch().and_then(Timestamp::since_epoch)
}
