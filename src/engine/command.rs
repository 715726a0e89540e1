//! Commands on their way to the committer, and their results.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Error;
use crate::model::{
    Attachment, Content, Cursor, Facets, Lang, Post, PostId, PostRef, PostText, Relation,
    RequestId, Revision, UserId,
};
use crate::query::UsedRequest;
use crate::runtime;
use crate::state::Evidence;

/// A change that a caller asks for, and where its result goes.
#[derive(Debug)]
pub(super) enum Command {
    Change {
        request: ChangeRequest,
        responder: Responder<Changed>,
    },
    Publish {
        author: UserId,
        content: Content,
        request: Option<RequestCheck>,
        responder: Responder<PublishedAt>,
    },
    /// Take no more.
    Stop,
}

/// A request id, which makes a publish safe to repeat, and what was found of it.
#[derive(Debug)]
pub(super) struct RequestCheck {
    pub(super) id: RequestId,
    pub(super) found: Option<UsedRequest>,
}

/// A change that does nothing if it was made already.
#[derive(Debug)]
pub(super) enum ChangeRequest {
    /// Sets a relation, or ends it.
    Relation {
        relation: Relation,
        on: bool,
        /// For a relation to a post.
        post: Option<PostTarget>,
    },
    Delete {
        post: PostRef,
        reply_to: Option<PostId>,
        quote: Option<PostId>,
        /// The users whom the post may have notified.
        notified: Vec<UserId>,
    },
    See {
        user: UserId,
        until: Revision,
        evidence: Evidence,
    },
}

/// What was looked up of the post of a relation.
#[derive(Clone, Debug)]
pub(super) struct PostTarget {
    pub(super) author: UserId,
    pub(super) evidence: Evidence,
}

/// Why a command did nothing.
#[derive(Debug)]
pub(super) enum Rejection {
    Refused(Error),
    /// What was looked up for it may have changed: it has to be looked up again.
    LookUpAgain,
}

impl Rejection {
    /// The error of a command that nothing was looked up for, or whose call gives up.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Refused(error) => error,
            Self::LookUpAgain => Error::Overloaded,
        }
    }
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// Where a result goes.
#[derive(Debug)]
pub(super) struct Responder<T> {
    /// The shard of the worker on which the caller waits.
    pub(super) shard: usize,
    sender: oneshot::Sender<Result<T, Rejection>>,
}

impl<T> Responder<T> {
    /// A responder to a caller on this thread, and the receiver that the caller waits for.
    pub(super) fn new() -> (Self, oneshot::Receiver<Result<T, Rejection>>) {
        let (sender, receiver) = oneshot::channel();
        (Self { shard: runtime::current_shard(), sender }, receiver)
    }

    /// Sends the result. A caller that has gone away gets none.
    pub(super) fn respond(self, result: Result<T, Rejection>) {
        let _ = self.sender.send(result);
    }
}

impl Command {
    /// Responds with an error; nothing was done.
    pub(super) fn refuse(self, error: Error) {
        match self {
            Self::Change { responder, .. } => responder.respond(Err(error.into())),
            Self::Publish { responder, .. } => responder.respond(Err(error.into())),
            Self::Stop => {}
        }
    }
}

/// A post to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Its text; empty only with attachments.
    pub text: PostText,
    /// The post that it replies to.
    pub reply_to: Option<PostId>,
    /// The post that it quotes.
    pub quote: Option<PostId>,
    /// Its attachments.
    pub attachments: Box<[Attachment]>,
    /// Its languages.
    pub langs: Box<[Lang]>,
    /// The mentions, links and hashtags in its text; `None` to find them in it.
    pub facets: Option<Facets>,
}

impl From<PostText> for Draft {
    /// A post with only a text.
    fn from(text: PostText) -> Self {
        let (attachments, langs) = (Box::default(), Box::default());
        Self { text, reply_to: None, quote: None, attachments, langs, facets: None }
    }
}

/// The result of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Whether this call made the change; false if it was made before.
    pub changed: bool,
    /// The revision of the change; [`Revision::ZERO`] if there was nothing to end.
    pub revision: Revision,
    /// A position at which every read shows it.
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

/// The result of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The post.
    pub post: Arc<Post>,
    /// Whether an earlier call with the same request id had made it.
    pub deduplicated: bool,
    /// A position at which it is in every feed it belongs to.
    pub cursor: Cursor,
}
