//! Group commit: one thread that decides commands, batch by batch, and makes them durable.
//!
//! There is no timer: what has arrived while one batch was being flushed is the next. After a
//! write that failed nothing is tried again and nothing more is answered.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::command::Command;
use super::decide::{self, Decision, Outcome, Rules};
use super::lasting::Lasting;
use super::pending::Pending;
use super::replies::{Replies, Reply};
use super::{Changed, Error};
use crate::config::Limits;
use crate::log::{self, Log};
use crate::model::{Cursor, Event, Revision, Timestamp};
use crate::runtime::Clock;
use crate::view::View;

/// The only writer of the log.
#[derive(Debug)]
pub(super) struct Committer {
    log: Arc<dyn Log>,
    pending: Pending,
    replies: Arc<Replies>,
    queue: mpsc::Receiver<Command>,
    clock: Clock,
    /// The time of the newest event, which the next may not be before.
    time: Timestamp,
    batch_commands_max: usize,
    rules: Rules,
    stopping: bool,
    disk_full: Lasting,
}

/// A batch that was decided.
#[derive(Debug, Default)]
struct Decided {
    events: Vec<Event>,
    replies: Vec<Reply>,
}

impl Committer {
    pub(super) fn new(
        log: Arc<dyn Log>,
        view: Arc<View>,
        replies: Arc<Replies>,
        queue: mpsc::Receiver<Command>,
        clock: Clock,
        limits: &Limits,
    ) -> Result<Self, log::Error> {
        let newest = log.get(log.head())?;
        Ok(Self {
            log,
            pending: Pending::new(view),
            replies,
            queue,
            clock,
            time: newest.map_or_else(Timestamp::default, |event| event.time),
            batch_commands_max: limits.batch_commands_max,
            rules: Rules::new(limits),
            stopping: false,
            disk_full: Lasting::default(),
        })
    }

    /// Works until it is told to stop, or the log fails.
    pub(super) fn run(mut self) -> Result<(), log::Error> {
        let ended = self.work();
        // From here on senders are told that the queue is closed; what is in it was not taken.
        self.queue.close();
        while let Ok(command) = self.queue.try_recv() {
            command.refuse(Error::Stopping);
        }
        self.log.close();
        ended
    }

    fn work(&mut self) -> Result<(), log::Error> {
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

    /// Decides `commands`. One that cannot be, because what it is decided by cannot be read, is
    /// refused; the others go on.
    fn decide(&mut self, after: Revision, commands: impl Iterator<Item = Command>) -> Decided {
        self.time = self.time.max(Timestamp::since_epoch(self.clock.since_epoch()));
        self.pending.begin();
        let mut decided = Decided::default();
        for command in commands {
            let next = Revision::new(after.get() + decided.events.len() as u64).next();
            let (change, reply) = match command {
                Command::Change { ask, caller } => {
                    let (change, answer) = or_refused(self.rules.change(ask, &self.pending));
                    let answer = answer.map(|outcome| self.changed(outcome, next));
                    (change, Reply::Change(caller, answer))
                }
                Command::Publish { author, content, request_id, caller } => {
                    let decision =
                        decide::publish(author, content, request_id, next, &self.pending);
                    let (change, answer) = or_refused(decision);
                    (change, Reply::Publish(caller, answer))
                }
                Command::Stop => {
                    self.stopping = true;
                    continue;
                }
            };
            if let Some(change) = change {
                let event = Event { time: self.time, change };
                self.pending.push(next, &event);
                decided.events.push(event);
            }
            decided.replies.push(reply);
        }
        decided
    }

    /// What is answered to a change that is decided right before `next`.
    fn changed(&self, outcome: Outcome, next: Revision) -> Changed {
        let at = |revision| Cursor::after(self.log.id(), revision);
        match outcome {
            Outcome::Made => Changed { changed: true, revision: next, cursor: at(next) },
            // As it is at the newest position decided so far.
            Outcome::Found(since) => {
                Changed { changed: false, revision: since, cursor: at(next.previous()) }
            }
        }
    }

    fn commit(&mut self, after: Revision, decided: Decided) -> Result<(), log::Error> {
        let Decided { events, replies } = decided;
        let last = Revision::new(after.get() + events.len() as u64);
        if events.is_empty() {
            self.replies.hand_in(last, replies);
            return Ok(());
        }
        match self.log.append(after, events) {
            Ok(()) => {
                if let Some(calls) = self.disk_full.over() {
                    tracing::info!(calls, "the disk has room: changes are taken again");
                }
                self.replies.hand_in(last, replies);
            }
            Err(error @ log::Error::DiskFull { .. }) => {
                if let Some(calls) = self.disk_full.met(replies.len()) {
                    tracing::warn!(%error, calls, "changes refused");
                }
                self.pending.forget_newest();
                replies.into_iter().for_each(|reply| reply.refuse(|| Error::DiskFull));
            }
            // The replies go unanswered: their outcome is not known.
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// A decision, or that nothing is changed because it cannot be made.
fn or_refused<T, E: Into<Error>>(decision: Result<Decision<T>, E>) -> Decision<T> {
    decision.unwrap_or_else(|error| (None, Err(error.into())))
}
