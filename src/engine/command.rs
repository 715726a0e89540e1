//! What callers ask for, and what they get.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Error;
use crate::model::{
    Attachment, Content, Cursor, Facets, Lang, Post, PostId, PostRef, PostText, RequestId,
    Revision, UserId,
};
use crate::runtime;

/// A change that is asked for, with where to answer.
#[derive(Debug)]
pub(super) enum Command {
    Change {
        ask: Ask,
        caller: Caller<Changed>,
    },
    Publish {
        author: UserId,
        content: Content,
        request_id: Option<RequestId>,
        caller: Caller<Published>,
    },
    /// Take no more.
    Stop,
}

/// A change that makes something so, and nothing if it is so already.
#[derive(Debug)]
pub(super) enum Ask {
    Edge {
        kind: EdgeKind,
        user: UserId,
        other: UserId,
    },
    React {
        kind: ReactionKind,
        user: UserId,
        post: PostRef,
    },
    Delete {
        post: PostRef,
        reply_to: Option<PostId>,
        quote: Option<PostId>,
        /// Those whom the post may have notified.
        notified: Vec<UserId>,
    },
    See {
        user: UserId,
        until: Revision,
    },
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
            Self::Change { caller, .. } => caller.answer(Err(error)),
            Self::Publish { caller, .. } => caller.answer(Err(error)),
            Self::Stop => {}
        }
    }
}

/// What becomes of what is between two users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeKind {
    /// The one follows the other.
    Follow,
    /// The one follows the other no longer.
    Unfollow,
    /// The one blocks the other, which ends the follows between them.
    Block,
    /// The one blocks the other no longer.
    Unblock,
    /// The one mutes the other.
    Mute,
    /// The one mutes the other no longer.
    Unmute,
}

/// What becomes of what is between a user and a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReactionKind {
    /// The user likes it.
    Like,
    /// The user likes it no longer.
    Unlike,
    /// The user reposts it.
    Repost,
    /// The user takes the repost back.
    Unrepost,
}

/// A post that is to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Its text; empty only beside attachments.
    pub text: PostText,
    /// The post it answers.
    pub reply_to: Option<PostId>,
    /// The post it quotes.
    pub quote: Option<PostId>,
    /// Its attachments.
    pub attachments: Box<[Attachment]>,
    /// The languages it is in.
    pub langs: Box<[Lang]>,
    /// What parts of its text are; `None` to find them in it.
    pub facets: Option<Facets>,
}

impl From<PostText> for Draft {
    /// A post that is only a text.
    fn from(text: PostText) -> Self {
        let (attachments, langs) = (Box::default(), Box::default());
        Self { text, reply_to: None, quote: None, attachments, langs, facets: None }
    }
}

/// Something that is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Whether this call made it so.
    pub changed: bool,
    /// The change that made it so; [`Revision::ZERO`] where there was nothing to end.
    pub revision: Revision,
    /// A position at which it is so.
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
