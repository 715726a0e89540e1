//! Answers that wait until what they tell of can be read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::command::{PublishedAt, Rejection, Responder};
use super::mailbox::Mailboxes;
use super::{Changed, Error};
use crate::live::DeliveryBatch;
use crate::model::Revision;
use crate::state::State;

/// One answer, and where it goes.
#[derive(Debug)]
pub(super) enum Completion {
    Change(Responder<Changed>, Result<Changed, Rejection>),
    Publish(Responder<PublishedAt>, Result<PublishedAt, Rejection>),
}

/// Answers in the order of the log, held back until the view has come to them.
#[derive(Debug)]
pub(super) struct Completions {
    view: Arc<State>,
    carriers: Mailboxes,
    /// Bounded by the batches that are not applied yet, each bounded itself.
    waiting: Mutex<VecDeque<(Revision, Vec<Completion>)>>,
}

impl Completion {
    /// Answers with an error instead.
    pub(super) fn refuse(self, error: impl FnOnce() -> Error) {
        match self {
            Self::Change(caller, _) => caller.answer(Err(error().into())),
            Self::Publish(caller, _) => caller.answer(Err(error().into())),
        }
    }

    /// The lane on which the caller waits.
    pub(super) fn lane(&self) -> usize {
        match self {
            Self::Change(caller, _) => caller.lane,
            Self::Publish(caller, _) => caller.lane,
        }
    }

    pub(super) fn send(self) {
        match self {
            Self::Change(caller, answer) => caller.answer(answer),
            Self::Publish(caller, answer) => caller.answer(answer),
        }
    }
}

impl Completions {
    pub(super) fn new(view: Arc<State>, carriers: Mailboxes) -> Self {
        Self { view, carriers, waiting: Mutex::default() }
    }

    /// Sends `replies` once `position` is applied, which it may be already.
    pub(super) fn hand_in(&self, position: Revision, replies: Vec<Completion>) {
        let mut waiting = self.waiting();
        // Under the lock: whoever applies it later looks here afterwards.
        if self.view.applied() < position {
            waiting.push_back((position, replies));
            return;
        }
        drop(waiting);
        self.carriers.answer(replies);
    }

    /// Sends the answers that the view has come to.
    pub(super) fn release(&self) {
        let mut due = Vec::new();
        let mut waiting = self.waiting();
        let applied = self.view.applied();
        while let Some((_, replies)) = waiting.pop_front_if(|(position, _)| *position <= applied) {
            due.extend(replies);
        }
        drop(waiting);
        self.carriers.answer(due);
    }

    /// Brings what was applied to the live feeds, before it is answered; `None` if what that is to them
    /// cannot be read: then they read it for themselves.
    pub(super) fn dispatch(&self, dispatch: Option<DeliveryBatch>) {
        match dispatch {
            Some(dispatch) => self.carriers.dispatch(&Arc::new(dispatch)),
            None => self.carriers.lose(),
        }
    }

    /// Whether anybody is to be told what is applied.
    pub(super) fn is_watched(&self) -> bool {
        self.carriers.is_watched()
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<(Revision, Vec<Completion>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
