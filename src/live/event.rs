//! The events of home feeds and notifications. Streams share an event, so it never has data that
//! differ between viewers, such as counts. An event with consequences for one feed is a copy of its
//! own.

use std::sync::{Arc, OnceLock};

use crate::model::{Encoded, Post, PostId, Revision, UserId};
use crate::query::{LaterReposts, Notification};

/// One event of a feed.
#[derive(Debug)]
pub struct FeedEvent {
    /// The revision of the change.
    pub revision: Revision,
    /// The effect of the change on the feed.
    pub kind: FeedEventKind,
    /// At this position and before it, entries may have appeared or disappeared without an event of
    /// their own: the client has to page again there. [`Revision::ZERO`] if there are none.
    pub page_again: Revision,
    /// For a removed repost: the reposts that may replace it. The first stream that needs them
    /// looks them up.
    later_reposts: OnceLock<LaterReposts>,
    encoded: Encoded,
}

/// The effect of a change on a home feed or on notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedEventKind {
    /// The feed has a new post.
    Posted(Arc<Post>),
    /// The feed has a new repost.
    Reposted {
        /// The reposted post.
        post: Arc<Post>,
        /// The user who reposted.
        by: UserId,
    },
    /// A repost was removed, also if the feed did not have it.
    Unreposted {
        /// The reposted post.
        post: PostId,
        /// The user who had reposted.
        by: UserId,
        /// The position of the repost, if it is known.
        repost: Option<Revision>,
        /// Another repost of the post, which is in the feed now because this one was removed.
        stand_in: Option<Box<StandIn>>,
    },
    /// A post was deleted, and with it its reposts, or the notifications about it; also if the feed
    /// did not have them.
    Deleted(PostId),
    /// The feed has the posts of this author from now on.
    AuthorAdded(UserId),
    /// The feed does not have the posts of an author from now on.
    AuthorRemoved {
        /// The author.
        author: UserId,
        /// The reason.
        reason: Removal,
    },
    /// A user who is not followed is no longer hidden from the feed's user: the feed may have
    /// reposts of their posts, and replies to them and quotes of them by others, again.
    AuthorShown(UserId),
    /// The user has a new notification.
    Notified(Arc<Notification>),
    /// Notifications by an actor are not shown from now on.
    ActorRemoved {
        /// The actor.
        actor: UserId,
        /// The reason.
        reason: Removal,
    },
    /// Notifications by this actor, who is no longer hidden from the user, are shown again.
    ActorShown(UserId),
    /// A like, a repost or a follow was removed, and with it its notification.
    Withdrawn {
        /// The revision of the notification; [`Revision::ZERO`] if it is not known.
        notification: Revision,
    },
    /// The user has seen their notifications.
    Seen {
        /// The revision up to which they have.
        until: Revision,
    },
}

/// A repost that replaces a removed repost of the same post in a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// The position in the feed.
    pub revision: Revision,
    /// The reposted post.
    pub post: Arc<Post>,
    /// The user who reposted.
    pub by: UserId,
}

/// The reason why an author or actor is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The user unfollowed them.
    Unfollow,
    /// One of the two users blocked the other.
    Block,
    /// The user muted them.
    Mute,
}

/// The maximum bytes of an event on the wire without its texts: the revision twice, the post's id,
/// the time, and the tags and lengths around them.
const EVENT_OVERHEAD_BYTES: usize = 128;
/// The maximum bytes of a reference, a part of an attachment, a language or a facet without its
/// text: a post's id, a tag and a length, or a range and two lengths.
const PART_OVERHEAD_BYTES: usize = 24;

impl FeedEvent {
    /// An event without [`FeedEvent::page_again`].
    #[must_use]
    pub fn new(revision: Revision, kind: FeedEventKind) -> Self {
        Self::with_page_again(revision, kind, Revision::ZERO)
    }

    /// An event after which a client has to page again from `page_again` on.
    #[must_use]
    pub fn with_page_again(revision: Revision, kind: FeedEventKind, page_again: Revision) -> Self {
        let (later_reposts, encoded) = (OnceLock::new(), Encoded::default());
        Self { revision, kind, page_again, later_reposts, encoded }
    }

    /// The cell of the reposts that may replace a removed one.
    pub(super) fn later_reposts(&self) -> &OnceLock<LaterReposts> {
        &self.later_reposts
    }

    /// The cell of the event's bytes on the wire.
    #[must_use]
    pub fn encoded(&self) -> &Encoded {
        &self.encoded
    }

    /// At least the number of bytes that the event takes on the wire.
    #[must_use]
    pub fn wire_bytes_max(&self) -> usize {
        let user_bytes = |user: &UserId| user.as_str().len();
        EVENT_OVERHEAD_BYTES
            + match &self.kind {
                FeedEventKind::Posted(post) => post_bytes_max(post),
                FeedEventKind::Reposted { post, by } => post_bytes_max(post) + user_bytes(by),
                FeedEventKind::Notified(notification) => {
                    let post = notification.post.as_deref().map_or(0, post_bytes_max);
                    EVENT_OVERHEAD_BYTES + post + user_bytes(&notification.actor)
                }
                FeedEventKind::Unreposted { by, stand_in, .. } => {
                    let stand_in = stand_in.as_ref().map_or(0, |repost| {
                        EVENT_OVERHEAD_BYTES + post_bytes_max(&repost.post) + user_bytes(&repost.by)
                    });
                    stand_in + user_bytes(by)
                }
                FeedEventKind::AuthorAdded(user)
                | FeedEventKind::AuthorShown(user)
                | FeedEventKind::ActorShown(user)
                | FeedEventKind::AuthorRemoved { author: user, .. }
                | FeedEventKind::ActorRemoved { actor: user, .. } => user_bytes(user),
                FeedEventKind::Deleted(_)
                | FeedEventKind::Withdrawn { .. }
                | FeedEventKind::Seen { .. } => 0,
            }
    }

    /// Whether streams have to filter the event: the relations of the feed's user decide whether it
    /// belongs to the feed, or have further consequences.
    pub(super) fn is_conditional(&self) -> bool {
        match &self.kind {
            FeedEventKind::Posted(post) => post.content.is_conditional(&post.author),
            FeedEventKind::Reposted { .. } | FeedEventKind::Notified(_) => true,
            _ => self.has_consequences(),
        }
    }

    /// Whether the event may have more effects on a feed than to remove the entries that it names.
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

/// The maximum bytes of a post on the wire without its time and revision.
fn post_bytes_max(post: &Post) -> usize {
    // Each reference has a post's id and an author.
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
