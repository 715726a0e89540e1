//! What a feed's watchers are told.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::model::{Post, PostId, Revision, UserId};
use crate::view::Notification;

/// One event of a feed.
#[derive(Debug)]
pub struct FeedEvent {
    /// The change that it tells of.
    pub revision: Revision,
    /// What happened.
    pub kind: FeedEventKind,
    /// What is sent of it, once somebody has made that.
    encoded: OnceLock<Bytes>,
}

/// What happened to a feed, or beside it.
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
    },
    /// A post was deleted, and the reposts of it are gone. It may not have been in the feed.
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
    /// The user is notified of something.
    Notified(Arc<Notification>),
    /// Nothing that somebody did is among the notifications from now on.
    ActorRemoved {
        /// Who.
        actor: UserId,
        /// Why.
        reason: Removal,
    },
    /// The user has seen their notifications.
    Seen {
        /// Up to here.
        until: Revision,
    },
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

/// What an event takes on the wire beside its texts, at most: its revision twice, the post's name,
/// the time, and the tags and lengths around them.
const EVENT_OVERHEAD_BYTES: usize = 128;
/// What a reference, an attachment's part, a language or a facet takes in addition to its text, at
/// most: a post's name, a tag and a length, or a range and two lengths.
const PART_OVERHEAD_BYTES: usize = 24;

impl FeedEvent {
    /// What happened at `revision`.
    #[must_use]
    pub fn new(revision: Revision, kind: FeedEventKind) -> Self {
        Self { revision, kind, encoded: OnceLock::new() }
    }

    /// Its bytes on the wire. They are made by the first who asks, with `encode`, and shared by all
    /// who come after.
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
                FeedEventKind::AuthorAdded(user)
                | FeedEventKind::Unreposted { by: user, .. }
                | FeedEventKind::AuthorRemoved { author: user, .. }
                | FeedEventKind::ActorRemoved { actor: user, .. } => of_user(user),
                FeedEventKind::Deleted(_) | FeedEventKind::Seen { .. } => 0,
            }
    }

    /// Whether it takes a look at what the user follows and hides to say if it concerns them.
    pub(super) fn is_conditional(&self) -> bool {
        match &self.kind {
            FeedEventKind::Posted(post) => {
                let reply_to = post.content.reply_to.as_ref();
                reply_to.is_some_and(|to| !to.continues_thread_of(&post.author))
            }
            FeedEventKind::Reposted { .. } | FeedEventKind::Notified(_) => true,
            _ => false,
        }
    }
}

/// What a post takes on the wire beside its time and revision, at most.
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
        (self.revision, &self.kind) == (other.revision, &other.kind)
    }
}

impl Eq for FeedEvent {}
