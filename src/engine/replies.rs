//! Answers that wait until what they tell of can be read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::command::Caller;
use super::porter::Carriers;
use super::{Changed, Error, Published};
use crate::hub::Dispatch;
use crate::model::{Cursor, Revision};
use crate::view::View;

/// One answer, as far as it is known before the view has come to it, and where it goes.
#[derive(Debug)]
pub(super) enum Reply {
    Change(Caller<Changed>, Result<Changed, Error>),
    Publish(Caller<Published>, Result<PublishedAt, Error>),
}

/// A post that is in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct PublishedAt {
    pub(super) revision: Revision,
    pub(super) deduplicated: bool,
}

/// One answer that is due.
#[derive(Debug)]
pub(super) enum Answer {
    Change(Caller<Changed>, Result<Changed, Error>),
    Publish(Caller<Published>, Result<Published, Error>),
}

/// Answers in the order of the log, held back until the view has come to them.
#[derive(Debug)]
pub(super) struct Replies {
    view: Arc<View>,
    carriers: Carriers,
    /// Bounded by the batches that are not applied yet, each bounded itself.
    waiting: Mutex<VecDeque<(Revision, Vec<Reply>)>>,
}

impl Reply {
    /// Answers with an error instead.
    pub(super) fn refuse(self, error: impl FnOnce() -> Error) {
        match self {
            Self::Change(caller, _) => caller.answer(Err(error())),
            Self::Publish(caller, _) => caller.answer(Err(error())),
        }
    }
}

impl Answer {
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

impl Replies {
    pub(super) fn new(view: Arc<View>, carriers: Carriers) -> Self {
        Self { view, carriers, waiting: Mutex::default() }
    }

    /// Sends `replies` once `position` is applied, which it may be already.
    pub(super) fn hand_in(&self, position: Revision, replies: Vec<Reply>) {
        let mut waiting = self.waiting();
        // Under the lock: whoever applies it later looks here afterwards.
        if self.view.applied() < position {
            waiting.push_back((position, replies));
            return;
        }
        drop(waiting);
        self.carriers.bring(None, self.answers(position, replies).collect());
    }

    /// Sends the answers that the view has come to, and `dispatch` to the live feeds with them.
    pub(super) fn release(&self, dispatch: Option<Arc<Dispatch>>) {
        let mut due = Vec::new();
        let mut waiting = self.waiting();
        let applied = self.view.applied();
        while let Some((position, replies)) =
            waiting.pop_front_if(|(position, _)| *position <= applied)
        {
            due.extend(self.answers(position, replies));
        }
        drop(waiting);
        self.carriers.bring(dispatch, due);
    }

    /// Whether anybody is to be told what is applied.
    pub(super) fn is_watched(&self) -> bool {
        self.carriers.is_watched()
    }

    fn answers(&self, position: Revision, replies: Vec<Reply>) -> impl Iterator<Item = Answer> {
        let cursor = Cursor::after(self.view.log().id(), position);
        replies.into_iter().map(move |reply| match reply {
            Reply::Change(caller, answer) => Answer::Change(caller, answer),
            Reply::Publish(caller, answer) => {
                Answer::Publish(caller, answer.and_then(|at| self.published(at, cursor)))
            }
        })
    }

    fn published(&self, at: PublishedAt, cursor: Cursor) -> Result<Published, Error> {
        let post = self.view.published(at.revision)?.ok_or(Error::OutcomeUnknown)?;
        Ok(Published { post, deduplicated: at.deduplicated, cursor })
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<(Revision, Vec<Reply>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
