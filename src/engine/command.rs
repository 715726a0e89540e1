//! Commands for the committer, and their results. Nothing here decides anything.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::Error;
use crate::model::{
    Attachment, Content, Cursor, Facets, Lang, Post, PostId, PostRef, PostText, Relation,
    RequestId, Revision, UserId,
};
use crate::query::UsedRequest;
use crate::runtime;
use crate::state::Evidence;

/// A requested change, and the responder of its result.
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
    /// Changes nothing: its result is that of a decision that found everything done.
    Confirm {
        responder: Responder<Cursor>,
    },
    /// The last command: later ones are refused.
    Stop,
}

/// A request id, which makes a publish safe to repeat, and its earlier use, if one was found.
#[derive(Clone, Debug)]
pub(super) struct RequestCheck {
    pub(super) id: RequestId,
    pub(super) found: Option<UsedRequest>,
}

/// A requested change, which is not made again if it was made already.
#[derive(Clone, Debug)]
pub(super) enum ChangeRequest {
    /// Sets a relation, or ends it.
    Relation {
        relation: Relation,
        on: bool,
        /// Only for a relation to a post.
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

/// The post of a relation, as it was looked up.
#[derive(Clone, Debug)]
pub(super) struct PostTarget {
    pub(super) author: UserId,
    pub(super) evidence: Evidence,
}

/// The reason why a command did nothing.
#[derive(Debug)]
pub(super) enum Rejection {
    Refused(Error),
    /// The looked up value may have changed: the call has to look it up again.
    LookUpAgain,
    /// Another node has appended first: the same command is decided again.
    DecideAgain,
}

impl Rejection {
    /// The error of a command that has no lookup, or whose call ends its retries.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Refused(error) => error,
            Self::LookUpAgain | Self::DecideAgain => Error::Overloaded,
        }
    }
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// Sends the result of a command to its caller.
#[derive(Debug)]
pub(super) struct Responder<T> {
    /// The shard of the worker on which the caller waits.
    pub(super) shard: usize,
    /// Of the batch with its change; `None` if it needed none.
    times: Option<CommitTimes>,
    sender: oneshot::Sender<Responded<T>>,
}

/// The result of a command, and the times of its batch.
pub(super) type Responded<T> = (Result<T, Rejection>, Option<CommitTimes>);

/// When a batch came how far.
#[derive(Clone, Copy, Debug)]
pub(super) struct CommitTimes {
    /// The committer has decided it, and begins to write it.
    pub(super) begun_at: Instant,
    pub(super) durable_at: Instant,
}

impl<T> Responder<T> {
    /// A responder for a caller on this thread, and the caller's receiver.
    pub(super) fn new() -> (Self, oneshot::Receiver<Responded<T>>) {
        let (sender, receiver) = oneshot::channel();
        (Self { shard: runtime::current_shard(), times: None, sender }, receiver)
    }

    /// The batch is durable.
    pub(super) fn is_durable(&mut self, times: CommitTimes) {
        self.times = Some(times);
    }

    /// Sends the result, unless the call is cancelled.
    pub(super) fn respond(self, result: Result<T, Rejection>) {
        let _ = self.sender.send((result, self.times));
    }
}

impl Command {
    /// Responds with an error, and makes no change.
    pub(super) fn refuse(self, error: Error) {
        match self {
            Self::Change { responder, .. } => responder.respond(Err(error.into())),
            Self::Publish { responder, .. } => responder.respond(Err(error.into())),
            Self::Confirm { responder } => responder.respond(Err(error.into())),
            Self::Stop => {}
        }
    }
}

/// A post to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The text; empty only with attachments.
    pub text: PostText,
    /// The parent, for a reply.
    pub reply_to: Option<PostId>,
    /// The quoted post, for a quote.
    pub quote: Option<PostId>,
    /// The attachments, in order.
    pub attachments: Box<[Attachment]>,
    /// The languages of the text.
    pub langs: Box<[Lang]>,
    /// The mentions, links and hashtags of the text; `None` to find them in the text.
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
    /// The revision of the change; [`Revision::ZERO`] if the relation to end was not set.
    pub revision: Revision,
    /// A position at which every read shows the change.
    pub cursor: Cursor,
}

/// The position of a published post.
#[derive(Clone, Copy, Debug)]
pub(super) struct PublishedAt {
    pub(super) revision: Revision,
    pub(super) deduplicated: bool,
    /// A position at which every feed that the post belongs to has it.
    pub(super) cursor: Cursor,
}

/// The result of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The post, of this call or of an earlier one.
    pub post: Arc<Post>,
    /// Whether an earlier call with the same request id published it.
    pub deduplicated: bool,
    /// A position at which every feed that the post belongs to has it.
    pub cursor: Cursor,
}
