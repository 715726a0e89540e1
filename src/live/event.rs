//! The events that streams of a home feed, or of notifications, deliver.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::model::{Post, PostId, Revision, UserId};
use crate::query::{LaterReposts, Notification};

/// One event of a feed.
#[derive(Debug)]
pub struct FeedEvent {
    /// The change that it comes from.
    pub revision: Revision,
    /// What happened.
    pub kind: FeedEventKind,
    /// At this position and before it other entries may have appeared or gone, for which there is no
    /// event each: the client has to page again there. [`Revision::ZERO`] if there are none.
    pub page_again: Revision,
    /// For a repost that was taken back: the reposts that may replace it. Looked up by the first stream
    /// that needs them.
    later_reposts: OnceLock<LaterReposts>,
    /// Its bytes on the wire, once somebody has encoded them.
    encoded: OnceLock<Bytes>,
}

/// What happened to a home feed or to notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedEventKind {
    /// A post entered it.
    Posted(Arc<Post>),
    /// A post was reposted into it.
    Reposted {
        /// The post.
        post: Arc<Post>,
        /// By whom.
        by: UserId,
    },
    /// A repost was taken back. It may not have been in the feed.
    Unreposted {
        /// The post.
        post: PostId,
        /// Whose repost it was.
        by: UserId,
        /// Where it was, if that is known.
        repost: Option<Revision>,
        /// The repost of the same post that the feed has now because this one is gone.
        stand_in: Option<Box<StandIn>>,
    },
    /// A post was deleted, and the reposts of it, or the notifications about it, are gone. It may not
    /// have been there.
    Deleted(PostId),
    /// Somebody's posts are in the feed from now on.
    AuthorAdded(UserId),
    /// Somebody's posts are not in the feed from now on.
    AuthorRemoved {
        /// Whose.
        author: UserId,
        /// Why.
        reason: Removal,
    },
    /// A user who is not followed is no longer hidden from the feed's user: reposts of their posts,
    /// replies to them and quotes of them by others may be in the feed again.
    AuthorShown(UserId),
    /// The user is notified of something.
    Notified(Arc<Notification>),
    /// Nothing that somebody did is among the notifications from now on.
    ActorRemoved {
        /// Who.
        actor: UserId,
        /// Why.
        reason: Removal,
    },
    /// Somebody is no longer hidden from the user: notifications of what they did are there again.
    ActorShown(UserId),
    /// What the user was notified of was taken back.
    Withdrawn {
        /// The notification; [`Revision::ZERO`] if it is not known which.
        notification: Revision,
    },
    /// The user has seen their notifications.
    Seen {
        /// Up to here.
        until: Revision,
    },
}

/// A repost that is in a feed because another is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// Its position in the feed.
    pub revision: Revision,
    /// The post.
    pub post: Arc<Post>,
    /// Whose repost it is.
    pub by: UserId,
}

/// Why somebody is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The user ceased to follow them.
    Unfollow,
    /// One of the two blocked the other.
    Block,
    /// The user muted them.
    Mute,
}

/// Bytes on the wire that an event takes in addition to its texts, at most: its revision twice, the post's name,
/// the time, and the tags and lengths around them.
const EVENT_OVERHEAD_BYTES: usize = 128;
/// What a reference, an attachment's part, a language or a facet takes in addition to its text, at
/// most: a post's name, a tag and a length, or a range and two lengths.
const PART_OVERHEAD_BYTES: usize = 24;

impl FeedEvent {
    /// What happened at `revision`.
    #[must_use]
    pub fn new(revision: Revision, kind: FeedEventKind) -> Self {
        Self::with_page_again(revision, kind, Revision::ZERO)
    }

    /// What happened at `revision`, after which a client has to page again from a place on.
    #[must_use]
    pub fn with_page_again(revision: Revision, kind: FeedEventKind, page_again: Revision) -> Self {
        let (later_reposts, encoded) = (OnceLock::new(), OnceLock::new());
        Self { revision, kind, page_again, later_reposts, encoded }
    }

    /// What may stand in for the repost that was taken back, once somebody has looked it up.
    pub(super) fn later_reposts(&self) -> &OnceLock<LaterReposts> {
        &self.later_reposts
    }

    /// Its bytes on the wire. The first caller encodes them, with `encode`; all later callers share the
    /// bytes.
    pub fn encoded(&self, encode: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.encoded.get_or_init(|| encode(self)).clone()
    }

    /// At least as many bytes as it takes on the wire.
    #[must_use]
    pub fn wire_bytes_max(&self) -> usize {
        let of_user = |user: &UserId| user.as_str().len();
        EVENT_OVERHEAD_BYTES
            + match &self.kind {
                FeedEventKind::Posted(post) => of_post(post),
                FeedEventKind::Reposted { post, by } => of_post(post) + of_user(by),
                FeedEventKind::Notified(notification) => {
                    let post = notification.post.as_deref().map_or(0, of_post);
                    EVENT_OVERHEAD_BYTES + post + of_user(&notification.actor)
                }
                FeedEventKind::Unreposted { by, stand_in, .. } => {
                    let stand_in = stand_in
                        .as_ref()
                        .map_or(0, |it| EVENT_OVERHEAD_BYTES + of_post(&it.post) + of_user(&it.by));
                    stand_in + of_user(by)
                }
                FeedEventKind::AuthorAdded(user)
                | FeedEventKind::AuthorShown(user)
                | FeedEventKind::ActorShown(user)
                | FeedEventKind::AuthorRemoved { author: user, .. }
                | FeedEventKind::ActorRemoved { actor: user, .. } => of_user(user),
                FeedEventKind::Deleted(_)
                | FeedEventKind::Withdrawn { .. }
                | FeedEventKind::Seen { .. } => 0,
            }
    }

    /// Whether it takes a look at what the user follows and hides to say if it concerns them, or
    /// what else it does to their feed.
    pub(super) fn is_conditional(&self) -> bool {
        match &self.kind {
            FeedEventKind::Posted(post) => post.content.is_conditional(&post.author),
            FeedEventKind::Reposted { .. } | FeedEventKind::Notified(_) => true,
            _ => self.has_consequences(),
        }
    }

    /// Whether it may do more to a feed than take away what it names.
    pub(super) fn has_consequences(&self) -> bool {
        matches!(
            self.kind,
            FeedEventKind::Unreposted { repost: Some(_), .. }
                | FeedEventKind::AuthorRemoved { .. }
                | FeedEventKind::AuthorShown(_)
                | FeedEventKind::ActorShown(_)
        )
    }
}

/// Bytes on the wire that a post takes in addition to its time and revision, at most.
fn of_post(post: &Post) -> usize {
    // What it refers to, each with its name and tags.
    let parts = &post.content;
    let references =
        4 * usize::from(parts.reply_to.is_some()) + 2 * usize::from(parts.quote.is_some());
    let parts_count =
        references + parts.attachments.len() * 4 + parts.langs.len() + parts.facets.all().len();
    parts.bytes() + post.author.as_str().len() + parts_count * PART_OVERHEAD_BYTES
}

impl PartialEq for FeedEvent {
    fn eq(&self, other: &Self) -> bool {
        (self.revision, &self.kind, self.page_again)
            == (other.revision, &other.kind, other.page_again)
    }
}

impl Eq for FeedEvent {}
