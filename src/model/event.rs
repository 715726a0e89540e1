//! What the log is made of.

use super::{Content, LogTime, PostId, PostRef, ReplyTo, RequestId, Revision, Timestamp, UserId};

/// One change, as it stands in the log. Its revision is its place there, not part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it was accepted, by the server's clock.
    pub time: Timestamp,
    /// When it was accepted, in the log's own time. Never before that of the event before it.
    pub log_time: LogTime,
    /// What changed.
    pub change: Change,
}

/// What an event changes. Only changes that change something are in the log, and each says all that
/// has to be known of other events to apply it.
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
        /// The follow that ended; `None` in a log that was written before this was kept.
        since: Option<Revision>,
    },
    /// `author` published a post.
    Publish {
        /// Who.
        author: UserId,
        /// What it says.
        content: Content,
        /// What makes it safe to repeat, if the client gave it.
        request_id: Option<RequestId>,
    },
    /// A post was published here, was deleted since, and what it said is gone. What is left keeps
    /// the thread together, and the request id from being used for another.
    Erased {
        /// Who published it.
        author: UserId,
        /// What it answered.
        reply_to: Option<Box<ReplyTo>>,
        /// What it quoted.
        quote: Option<PostRef>,
        /// The request id it was published with.
        request_id: Option<RequestId>,
    },
    /// An author deleted a post of theirs.
    Delete {
        /// Which.
        post: PostRef,
        /// What it answered.
        reply_to: Option<PostId>,
        /// What it quoted.
        quote: Option<PostId>,
        /// The users, other than the author, whom the post may have notified: those it answered,
        /// quoted or mentioned.
        notified: Vec<UserId>,
    },
    /// `user` began to like a post.
    Like {
        /// Who.
        user: UserId,
        /// Which.
        post: PostRef,
    },
    /// `user` ceased to like a post.
    Unlike {
        /// Who.
        user: UserId,
        /// Which.
        post: PostRef,
        /// The like that ended; `None` in a log that was written before this was kept.
        since: Option<Revision>,
    },
    /// `user` reposted a post.
    Repost {
        /// Who.
        user: UserId,
        /// Which.
        post: PostRef,
    },
    /// `user` took a repost back.
    Unrepost {
        /// Who.
        user: UserId,
        /// Which post was reposted.
        post: PostRef,
        /// The repost that ended; `None` in a log that was written before this was kept.
        since: Option<Revision>,
    },
    /// `blocker` blocked `blocked`, which ended the follows between them.
    Block {
        /// Who blocks.
        blocker: UserId,
        /// Whom.
        blocked: UserId,
        /// The follows that ended.
        severed: SeveredFollows,
    },
    /// `blocker` blocks `blocked` no longer.
    Unblock {
        /// Who blocked.
        blocker: UserId,
        /// Whom.
        blocked: UserId,
    },
    /// `muter` muted `muted`.
    Mute {
        /// Who mutes.
        muter: UserId,
        /// Whom.
        muted: UserId,
    },
    /// `muter` mutes `muted` no longer.
    Unmute {
        /// Who muted.
        muter: UserId,
        /// Whom.
        muted: UserId,
        /// Whether `muter` follows `muted`, whose posts are then in the feed again.
        follows: bool,
    },
    /// `user` has seen their notifications up to a position.
    See {
        /// Who.
        user: UserId,
        /// The position.
        until: Revision,
    },
}

impl Event {
    /// A change that was accepted at `time`, on a log whose own time is that of the clock: as it is
    /// if the log was served without a break and the clock never set.
    #[must_use]
    pub fn new(time: Timestamp, change: Change) -> Self {
        Self { time, log_time: LogTime::from_nanos(time.as_nanos()), change }
    }

    /// What is left of it once the post that it published, if it did, is erased. Anything else is
    /// as it was.
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
    /// The blocker followed the blocked.
    pub following: bool,
    /// The blocked followed the blocker.
    pub follower: bool,
}
