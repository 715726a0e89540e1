//! Completions: results of decided commands. A result is never sent before the state has applied
//! the change that it acknowledges.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::command::{CommitTimes, PublishedAt, Rejection, Responder};
use super::mailbox::Mailboxes;
use super::{Changed, Error};
use crate::model::{Cursor, Revision};
use crate::state::State;

/// One result, and its responder.
#[derive(Debug)]
pub(super) enum Completion {
    Change(Responder<Changed>, Result<Changed, Rejection>),
    Publish(Responder<PublishedAt>, Result<PublishedAt, Rejection>),
    Confirm(Responder<Cursor>, Cursor),
}

/// Completions in the order of the log, which wait until the state has applied their changes.
#[derive(Debug)]
pub(super) struct Completions {
    state: Arc<State>,
    mailboxes: Arc<Mailboxes>,
    /// Limited by the number of batches that are not applied yet, and the size of each.
    waiting: Mutex<VecDeque<(Revision, Vec<Completion>)>>,
}

impl Completion {
    /// Responds with an error instead.
    pub(super) fn refuse(self, error: impl FnOnce() -> Error) {
        match self {
            Self::Change(responder, _) => responder.respond(Err(error().into())),
            Self::Publish(responder, _) => responder.respond(Err(error().into())),
            Self::Confirm(responder, _) => responder.respond(Err(error().into())),
        }
    }

    /// Has the command decided again, as its batch is not in the log.
    pub(super) fn decide_again(self) {
        match self {
            Self::Change(responder, _) => responder.respond(Err(Rejection::DecideAgain)),
            Self::Publish(responder, _) => responder.respond(Err(Rejection::DecideAgain)),
            Self::Confirm(responder, _) => responder.respond(Err(Rejection::DecideAgain)),
        }
    }

    /// The batch is durable.
    pub(super) fn is_durable(&mut self, times: CommitTimes) {
        match self {
            Self::Change(responder, _) => responder.is_durable(times),
            Self::Publish(responder, _) => responder.is_durable(times),
            Self::Confirm(responder, _) => responder.is_durable(times),
        }
    }

    /// The shard of the worker on which the caller waits.
    pub(super) fn shard(&self) -> usize {
        match self {
            Self::Change(responder, _) => responder.shard,
            Self::Publish(responder, _) => responder.shard,
            Self::Confirm(responder, _) => responder.shard,
        }
    }

    pub(super) fn send(self) {
        match self {
            Self::Change(responder, result) => responder.respond(result),
            Self::Publish(responder, result) => responder.respond(result),
            Self::Confirm(responder, cursor) => responder.respond(Ok(cursor)),
        }
    }
}

impl Completions {
    pub(super) fn new(state: Arc<State>, mailboxes: Arc<Mailboxes>) -> Self {
        Self { state, mailboxes, waiting: Mutex::default() }
    }

    /// Sends `completions` once `position` is applied, which it may be already.
    pub(super) fn push(&self, position: Revision, completions: Vec<Completion>) {
        let mut waiting = self.waiting();
        debug_assert!(
            waiting.back().is_none_or(|&(last, _)| last <= position),
            "not in the log's order"
        );
        // Checked under the lock: the applier releases completions after it has applied a batch.
        if self.state.applied() < position {
            waiting.push_back((position, completions));
            return;
        }
        drop(waiting);
        self.mailboxes.complete(completions);
    }

    /// Sends the completions whose changes are applied.
    pub(super) fn release(&self) {
        let mut due = Vec::new();
        let mut waiting = self.waiting();
        let applied = self.state.applied();
        while let Some((_, some)) = waiting.pop_front_if(|(position, _)| *position <= applied) {
            due.extend(some);
        }
        drop(waiting);
        self.mailboxes.complete(due);
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<(Revision, Vec<Completion>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
