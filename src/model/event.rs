//! Events: the changes that the log has. An event never changes once it is in the log, except that
//! the content of a deleted post is erased.

use super::{
    Content, LogTime, PostId, PostRef, Relation, ReplyTo, RequestId, Revision, Timestamp, UserId,
};

/// One change with its times. Its revision is its position in the log, and no part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The server's clock when the change was accepted.
    pub time: Timestamp,
    /// The log's own time when the change was accepted. Never less than that of the event before.
    pub log_time: LogTime,
    /// The change.
    pub change: Change,
}

/// A change. The log has no change without an effect: a second follow is no event. A change has all
/// data of earlier events that is needed to apply it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `follower` follows `followee`.
    Follow {
        /// The user who follows.
        follower: UserId,
        /// The user who is followed.
        followee: UserId,
    },
    /// `follower` no longer follows `followee`.
    Unfollow {
        /// The user who followed.
        follower: UserId,
        /// The user who was followed.
        followee: UserId,
        /// The revision of the follow; `None` in records of older versions.
        since: Option<Revision>,
    },
    /// `author` published a post.
    Publish {
        /// The author.
        author: UserId,
        /// The content of the post.
        content: Content,
        /// The client's key for retries, if it sent one.
        request_id: Option<RequestId>,
    },
    /// `author` published a post here that was deleted later. Its content is erased. The references
    /// keep its thread together, and the request id still finds the post.
    Erased {
        /// The author.
        author: UserId,
        /// The parent and the root, if it was a reply.
        reply_to: Option<Box<ReplyTo>>,
        /// The post that it quoted.
        quote: Option<PostRef>,
        /// The client's key for retries, if it sent one.
        request_id: Option<RequestId>,
    },
    /// The author deleted a post.
    Delete {
        /// The post.
        post: PostRef,
        /// Its parent, if it was a reply.
        reply_to: Option<PostId>,
        /// The post that it quoted.
        quote: Option<PostId>,
        /// The users that the post may have notified, see [`Content::notified`].
        notified: Vec<UserId>,
    },
    /// `user` likes a post.
    Like {
        /// The user.
        user: UserId,
        /// The post.
        post: PostRef,
    },
    /// `user` no longer likes a post.
    Unlike {
        /// The user.
        user: UserId,
        /// The post.
        post: PostRef,
        /// The revision of the like; `None` in records of older versions.
        since: Option<Revision>,
    },
    /// `user` reposted a post.
    Repost {
        /// The user.
        user: UserId,
        /// The post.
        post: PostRef,
    },
    /// `user` removed a repost.
    Unrepost {
        /// The user.
        user: UserId,
        /// The post that was reposted.
        post: PostRef,
        /// The revision of the repost; `None` in records of older versions.
        since: Option<Revision>,
    },
    /// `blocker` blocks `blocked`. The follows between the two end.
    Block {
        /// The user who blocks.
        blocker: UserId,
        /// The user who is blocked.
        blocked: UserId,
        /// The follows that ended.
        severed: SeveredFollows,
    },
    /// `blocker` no longer blocks `blocked`.
    Unblock {
        /// The user who blocked.
        blocker: UserId,
        /// The user who was blocked.
        blocked: UserId,
    },
    /// `muter` mutes `muted`.
    Mute {
        /// The user who mutes.
        muter: UserId,
        /// The user who is muted.
        muted: UserId,
    },
    /// `muter` no longer mutes `muted`.
    Unmute {
        /// The user who muted.
        muter: UserId,
        /// The user who was muted.
        muted: UserId,
        /// Whether `muter` follows `muted`: then the posts of `muted` are in the feed again.
        follows: bool,
    },
    /// `user` has seen their notifications up to a revision.
    See {
        /// The user.
        user: UserId,
        /// The revision.
        until: Revision,
    },
}

impl Change {
    /// The relation that the change sets (true) or ends (false), if it is such a change. A block may
    /// end follows as well: see [`SeveredFollows`].
    #[must_use]
    pub fn relation(&self) -> Option<(Relation, bool)> {
        Some(match self {
            Self::Follow { follower, followee } => {
                (Relation::Follow(follower.clone(), followee.clone()), true)
            }
            Self::Unfollow { follower, followee, .. } => {
                (Relation::Follow(follower.clone(), followee.clone()), false)
            }
            Self::Block { blocker, blocked, .. } => {
                (Relation::Block(blocker.clone(), blocked.clone()), true)
            }
            Self::Unblock { blocker, blocked } => {
                (Relation::Block(blocker.clone(), blocked.clone()), false)
            }
            Self::Mute { muter, muted } => (Relation::Mute(muter.clone(), muted.clone()), true),
            Self::Unmute { muter, muted, .. } => {
                (Relation::Mute(muter.clone(), muted.clone()), false)
            }
            Self::Like { user, post } => (Relation::Like(user.clone(), post.id), true),
            Self::Unlike { user, post, .. } => (Relation::Like(user.clone(), post.id), false),
            Self::Repost { user, post } => (Relation::Repost(user.clone(), post.id), true),
            Self::Unrepost { user, post, .. } => (Relation::Repost(user.clone(), post.id), false),
            Self::Publish { .. } | Self::Erased { .. } | Self::Delete { .. } | Self::See { .. } => {
                return None;
            }
        })
    }
}

impl Event {
    /// An event whose log time equals its clock time, as in a log that is served without a break
    /// under a clock that nobody sets.
    #[must_use]
    pub fn new(time: Timestamp, change: Change) -> Self {
        Self { time, log_time: LogTime::from_nanos(time.as_nanos()), change }
    }

    /// The event after its post is erased: [`Change::Publish`] becomes [`Change::Erased`], and any
    /// other change stays as it is.
    #[must_use]
    pub fn erased(self) -> Self {
        let change = match self.change {
            Change::Publish { author, content, request_id } => {
                let Content { reply_to, quote, .. } = content;
                Change::Erased { author, reply_to, quote, request_id }
            }
            other => other,
        };
        Self { change, ..self }
    }
}

/// The follows that a block ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeveredFollows {
    /// The blocker followed the blocked user.
    pub following: bool,
    /// The blocked user followed the blocker.
    pub follower: bool,
}
