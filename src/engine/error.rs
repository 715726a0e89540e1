//! Why a call is refused, or fails.

use crate::config::LimitError;
use crate::model::{CursorError, PostId, RelationKind, RequestId, UserId};
use crate::query;
use crate::storage;

/// Why a call is refused, or fails. Unless a variant says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody can follow themselves.
    #[error("{user} is both user_id and followee_id: name somebody else as followee_id")]
    SelfFollow {
        /// Who tried.
        user: UserId,
    },
    /// Nobody can block or mute themselves.
    #[error("{user} is both user_id and the one to be hidden from them: name somebody else")]
    SelfTarget {
        /// Who tried.
        user: UserId,
    },
    /// The user follows, blocks or mutes as many as allowed.
    #[error("{user} {of} {max} users, and that is the most: undo one first")]
    TooMany {
        /// Who.
        user: UserId,
        /// What there are too many of.
        of: RelationKind,
        /// How many there may be.
        max: usize,
    },
    /// There are as many users as there can be.
    #[error("there are {max} users, and that is the most: no change can name another")]
    TooManyUsers {
        /// How many there may be.
        max: usize,
    },
    /// One of the two blocks the other.
    #[error("{user} and {other} do not see each other, because one of them blocks the other")]
    Blocked {
        /// Who tried.
        user: UserId,
        /// Whom it would have concerned.
        other: UserId,
    },
    /// There is no such post, or none any more.
    #[error("there is no post {post}: it never was, or it was deleted")]
    PostNotFound {
        /// Which.
        post: PostId,
    },
    /// The request id belongs to a post that was deleted since.
    #[error(
        "the post that {author} made with the request_id {:?} was deleted: give a new post a new one",
        request_id.as_str()
    )]
    PostDeleted {
        /// Whose.
        author: UserId,
        /// Which.
        request_id: RequestId,
    },
    /// Only its author can delete a post.
    #[error("{user} did not publish {post}: only its author can delete it")]
    NotTheAuthor {
        /// Who tried.
        user: UserId,
        /// Which post.
        post: PostId,
    },
    /// The request id belongs to another post.
    #[error(
        "{author} has used the request_id {:?} for another body: give a new post a new one",
        request_id.as_str()
    )]
    RequestIdReused {
        /// Whose.
        author: UserId,
        /// Which.
        request_id: RequestId,
    },
    /// The queue of commands is full.
    #[error("the server has as many changes waiting as it takes: try again in a moment")]
    Overloaded,
    /// The disk is nearly full.
    #[error(
        "the server's disk is nearly full, so it takes no changes for now: try again later \
         (reads go on)"
    )]
    DiskFull,
    /// The server's clock is set to before 1970, or to later than can be written down.
    #[error(
        "the server's clock is not between the years 1970 and 2554, so it takes no changes: set it \
         right, and try again (reads go on)"
    )]
    NoTime,
    /// The server takes no more changes.
    #[error("the server is stopping: connect again")]
    Stopping,
    /// The log was lost while the change was under way. It may or may not have been made.
    #[error(
        "the server lost its log while the change was under way, so it may or may not have been \
         made: try again with the same request_id"
    )]
    OutcomeUnknown,
    /// The index or the log could not be read, or a position is not one of this log.
    #[error(transparent)]
    Read(query::Error),
}

/// Why an engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A limit is not as it must be.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] storage::Error),
    /// The machine gives no thread.
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
