//! The errors of the engine. An error says what to do, and never claims an outcome that is not
//! known.

use crate::config::LimitError;
use crate::model::{CursorError, PostId, RelationKind, RequestId, UserId};
use crate::query;
use crate::storage;

/// The reason why a call is refused or fails. Unless a variant says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A user cannot follow themselves.
    #[error("{user} is both user_id and followee_id: name another user as followee_id")]
    SelfFollow {
        /// The caller.
        user: UserId,
    },
    /// A user cannot block or mute themselves.
    #[error("{user} is both user_id and the user to be hidden from them: name another user")]
    SelfTarget {
        /// The caller.
        user: UserId,
    },
    /// The user follows, blocks or mutes as many users as the limit allows.
    #[error("{user} {of} {max} users, and that is the most: undo one first")]
    TooMany {
        /// The caller.
        user: UserId,
        /// The kind of the relations.
        of: RelationKind,
        /// The limit.
        max: usize,
    },
    /// There are as many users as the limit allows.
    #[error("there are {max} users, and that is the most: no change can name another")]
    TooManyUsers {
        /// The limit.
        max: usize,
    },
    /// One of the two users blocks the other.
    #[error("{user} and {other} do not see each other, because one of them blocks the other")]
    Blocked {
        /// The caller.
        user: UserId,
        /// The other user of the change.
        other: UserId,
    },
    /// The post does not exist, or was deleted.
    #[error("there is no post at revision {}: it never was, or it was deleted", post.revision())]
    PostNotFound {
        /// The requested id.
        post: PostId,
    },
    /// The request id belongs to a post that was deleted.
    #[error(
        "the post that {author} made with the request_id {:?} was deleted: give a new post a new \
         one",
        request_id.as_str()
    )]
    PostDeleted {
        /// The author of the request.
        author: UserId,
        /// The used id.
        request_id: RequestId,
    },
    /// Only its author can delete a post.
    #[error(
        "{user} did not publish the post at revision {}: only its author can delete it",
        post.revision()
    )]
    NotTheAuthor {
        /// The caller.
        user: UserId,
        /// The post of another author.
        post: PostId,
    },
    /// The request id belongs to another post.
    #[error(
        "{author} has used the request_id {:?} for another body: give a new post a new one",
        request_id.as_str()
    )]
    RequestIdReused {
        /// The author of the request.
        author: UserId,
        /// The used id.
        request_id: RequestId,
    },
    /// The queue of commands is full.
    #[error("the server's queue of changes is full: try again in a moment")]
    Overloaded,
    /// The disk is nearly full.
    #[error(
        "the server's disk is nearly full, so it takes no changes for now: try again later \
         (reads go on)"
    )]
    DiskFull,
    /// The server's clock is outside the range of a timestamp.
    #[error(
        "the server's clock is not between the years 1970 and 2554, so it takes no changes: set it \
         right, and try again (reads go on)"
    )]
    NoTime,
    /// The server is stopping, and makes no more changes.
    #[error("the server is stopping: connect again")]
    Stopping,
    /// The log failed before the change was acknowledged, or the change cannot be read back. It may
    /// or may not be made.
    #[error(
        "the server's log failed while the change was under way, so it may or may not have been \
         made: try again with the same request_id"
    )]
    OutcomeUnknown,
    /// The index or the log could not be read, or a cursor is not of this log.
    #[error(transparent)]
    Read(query::Error),
}

/// The reason why an engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A limit is outside its range.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The log or the index cannot be read.
    #[error(transparent)]
    Log(#[from] storage::Error),
    /// The operating system refuses a thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

impl From<query::Error> for Error {
    fn from(error: query::Error) -> Self {
        match error {
            query::Error::Blocked { user, other } => Self::Blocked { user, other },
            query::Error::PostNotFound { post } => Self::PostNotFound { post },
            error => Self::Read(error),
        }
    }
}

impl From<CursorError> for Error {
    fn from(error: CursorError) -> Self {
        Self::Read(error.into())
    }
}
