//! What callers ask for, and what they get.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Error;
use crate::model::{
    Attachment, Content, Cursor, Facets, Lang, Post, PostId, PostRef, PostText, RequestId,
    Revision, UserId,
};
use crate::query::{Evidence, Question};
use crate::runtime;

/// A change that is asked for, with where to answer.
#[derive(Debug)]
pub(super) enum Command {
    Change {
        ask: ChangeRequest,
        caller: Responder<Changed>,
    },
    Publish {
        author: UserId,
        content: Content,
        request: Option<RequestCheck>,
        caller: Responder<PublishedAt>,
    },
    /// Take no more.
    Stop,
}

/// What makes a post safe to repeat, and what was found of it.
#[derive(Debug)]
pub(super) struct RequestCheck {
    pub(super) id: RequestId,
    /// Where the view said that it was used, if it did, and what stands there.
    pub(super) found: Option<(Revision, RequestUse)>,
}

/// What stands where a request id was used.
#[derive(Debug)]
pub(super) enum RequestUse {
    /// A post that says this.
    Post(Box<Content>),
    /// A post that is erased: it was deleted.
    Erased,
    /// Something of another request: the view cannot tell two apart that have the same hash.
    Other,
}

/// A change that makes something so, and nothing if it is so already.
#[derive(Debug)]
pub(super) enum ChangeRequest {
    Edge {
        kind: EdgeKind,
        user: UserId,
        other: UserId,
    },
    React {
        kind: ReactionKind,
        user: UserId,
        post: PostRef,
        evidence: Evidence,
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
        evidence: Evidence,
    },
}

/// Why a command did nothing.
#[derive(Debug)]
pub(super) enum Rejection {
    Refused(Error),
    /// What was looked up for it may be so no longer: it is to be looked up again.
    LookAgain,
}

impl Rejection {
    /// Of a command that nothing was looked up for, or whose call gives up.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Refused(error) => error,
            Self::LookAgain => Error::Overloaded,
        }
    }
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// Where an answer goes.
#[derive(Debug)]
pub(super) struct Responder<T> {
    /// The lane on which the caller waits.
    pub(super) lane: usize,
    sender: oneshot::Sender<Result<T, Rejection>>,
}

impl<T> Responder<T> {
    /// A caller on this thread's lane, and what it is to wait for.
    pub(super) fn new() -> (Self, oneshot::Receiver<Result<T, Rejection>>) {
        let (sender, answer) = oneshot::channel();
        (Self { lane: runtime::current_shard(), sender }, answer)
    }

    /// Answers. A caller that has gone away gets no answer.
    pub(super) fn answer(self, answer: Result<T, Rejection>) {
        let _ = self.sender.send(answer);
    }
}

impl Command {
    /// Answers with an error; nothing was done.
    pub(super) fn refuse(self, error: Error) {
        match self {
            Self::Change { caller, .. } => caller.answer(Err(error.into())),
            Self::Publish { caller, .. } => caller.answer(Err(error.into())),
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

impl ReactionKind {
    /// What it is decided by.
    pub(super) fn question(self, user: &UserId, post: PostId) -> Question {
        match self {
            Self::Like | Self::Unlike => Question::Liked(post, user.clone()),
            Self::Repost | Self::Unrepost => Question::Reposted(post, user.clone()),
        }
    }
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

/// A post that is in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct PublishedAt {
    pub(super) revision: Revision,
    pub(super) deduplicated: bool,
    /// A position at which it is in every feed it belongs to.
    pub(super) cursor: Cursor,
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
