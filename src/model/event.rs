//! What the log is made of.

use super::{PostText, RequestId, Timestamp, UserId};

/// One change, as it stands in the log. Its revision is its place there, not part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it was accepted. Never before that of the event before it.
    pub time: Timestamp,
    /// What changed.
    pub change: Change,
}

/// What an event changes. Only changes that change something are in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `follower` began to follow `followee`.
    Follow {
        /// Who follows.
        follower: UserId,
        /// Whom.
        followee: UserId,
    },
    /// `follower` ceased to follow `followee`.
    Unfollow {
        /// Who followed.
        follower: UserId,
        /// Whom.
        followee: UserId,
    },
    /// `author` published a post.
    Publish {
        /// Who.
        author: UserId,
        /// What it says.
        text: PostText,
        /// What makes it safe to repeat, if the client gave it.
        request_id: Option<RequestId>,
    },
}
