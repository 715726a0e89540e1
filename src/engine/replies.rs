//! Answers that wait until what they tell of can be read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::{EdgeChange, Error, Published};
use crate::model::{Cursor, Revision};
use crate::view::View;

/// One answer and where it goes.
#[derive(Debug)]
pub(super) enum Reply {
    Edge(oneshot::Sender<Result<EdgeChange, Error>>, Result<EdgeChange, Error>),
    Publish(oneshot::Sender<Result<Published, Error>>, Result<PublishedAt, Error>),
}

/// A post that is in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct PublishedAt {
    pub(super) revision: Revision,
    pub(super) deduplicated: bool,
}

/// Answers in the order of the log, held back until the view has come to them.
#[derive(Debug)]
pub(super) struct Replies {
    view: Arc<View>,
    /// Bounded by the batches that are not applied yet, each bounded itself.
    waiting: Mutex<VecDeque<(Revision, Vec<Reply>)>>,
}

impl Reply {
    /// Answers with an error instead.
    pub(super) fn refuse(self, error: impl FnOnce() -> Error) {
        match self {
            Self::Edge(caller, _) => drop(caller.send(Err(error()))),
            Self::Publish(caller, _) => drop(caller.send(Err(error()))),
        }
    }
}

impl Replies {
    pub(super) fn new(view: Arc<View>) -> Self {
        Self { view, waiting: Mutex::default() }
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
        self.send(position, replies);
    }

    /// Sends the answers that the view has come to.
    pub(super) fn release(&self) {
        loop {
            let mut waiting = self.waiting();
            let applied = self.view.applied();
            let due = waiting.pop_front_if(|(position, _)| *position <= applied);
            drop(waiting);
            let Some((position, replies)) = due else { return };
            self.send(position, replies);
        }
    }

    fn send(&self, position: Revision, replies: Vec<Reply>) {
        let cursor = Cursor::after(self.view.log().id(), position);
        for reply in replies {
            // A caller that has gone away gets no answer.
            match reply {
                Reply::Edge(caller, answer) => drop(caller.send(answer)),
                Reply::Publish(caller, answer) => {
                    drop(caller.send(answer.and_then(|at| self.published(at, cursor))));
                }
            }
        }
    }

    fn published(&self, at: PublishedAt, cursor: Cursor) -> Result<Published, Error> {
        let post = self.view.post(at.revision)?.ok_or(Error::OutcomeUnknown)?;
        Ok(Published { post, deduplicated: at.deduplicated, cursor })
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<(Revision, Vec<Reply>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
