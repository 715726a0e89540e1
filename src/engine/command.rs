//! What callers ask for, and what they get.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Error;
use crate::model::{Cursor, Post, PostText, RequestId, Revision, UserId};
use crate::runtime;

/// A change that is asked for, with where to answer.
#[derive(Debug)]
pub(super) enum Command {
    Edge {
        kind: EdgeKind,
        follower: UserId,
        followee: UserId,
        caller: Caller<EdgeChange>,
    },
    Publish {
        author: UserId,
        text: PostText,
        request_id: Option<RequestId>,
        caller: Caller<Published>,
    },
    /// Take no more.
    Stop,
}

/// Where an answer goes.
#[derive(Debug)]
pub(super) struct Caller<T> {
    /// The lane on which the caller waits.
    pub(super) lane: usize,
    sender: oneshot::Sender<Result<T, Error>>,
}

impl<T> Caller<T> {
    /// A caller on this thread's lane, and what it is to wait for.
    pub(super) fn new() -> (Self, oneshot::Receiver<Result<T, Error>>) {
        let (sender, answer) = oneshot::channel();
        (Self { lane: runtime::lane(), sender }, answer)
    }

    /// Answers. A caller that has gone away gets no answer.
    pub(super) fn answer(self, answer: Result<T, Error>) {
        let _ = self.sender.send(answer);
    }
}

impl Command {
    /// Answers with an error; nothing was done.
    pub(super) fn refuse(self, error: Error) {
        match self {
            Self::Edge { caller, .. } => caller.answer(Err(error)),
            Self::Publish { caller, .. } => caller.answer(Err(error)),
            Self::Stop => {}
        }
    }
}

/// What becomes of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EdgeKind {
    Follow,
    Unfollow,
}

/// A follow or unfollow that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeChange {
    /// Whether this call made it so.
    pub changed: bool,
    /// The change that made it so; [`Revision::ZERO`] for an unfollow that found nothing to end.
    pub revision: Revision,
    /// A position at which it is in force.
    pub cursor: Cursor,
}

/// A post that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The post.
    pub post: Arc<Post>,
    /// Whether an earlier call had made it.
    pub deduplicated: bool,
    /// A position at which it is in every feed it belongs to.
    pub cursor: Cursor,
}
