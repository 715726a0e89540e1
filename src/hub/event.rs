//! What a feed's watchers are told.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::model::{Change, Post, Revision, UserId};

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

/// What happened to a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedEventKind {
    /// A post entered it.
    Posted(Arc<Post>),
    /// The user began to follow somebody.
    AuthorAdded(UserId),
    /// The user ceased to follow somebody.
    AuthorRemoved(UserId),
}

/// What an event takes on the wire beside its texts, at most: its revision twice, the post's name,
/// the time, and the tags and lengths around them.
const EVENT_OVERHEAD_BYTES: usize = 112;

impl FeedEvent {
    /// What `change`, made at `revision`, is to the feeds that it concerns. A post's own is made
    /// from `post`; without it there is none.
    #[must_use]
    pub fn of(revision: Revision, change: &Change, post: Option<Arc<Post>>) -> Option<Self> {
        let kind = match change {
            Change::Follow { followee, .. } => FeedEventKind::AuthorAdded(followee.clone()),
            Change::Unfollow { followee, .. } => FeedEventKind::AuthorRemoved(followee.clone()),
            Change::Publish { .. } => FeedEventKind::Posted(post?),
            _ => return None,
        };
        Some(Self::new(revision, kind))
    }

    pub(super) fn new(revision: Revision, kind: FeedEventKind) -> Self {
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
        EVENT_OVERHEAD_BYTES
            + match &self.kind {
                FeedEventKind::Posted(post) => post.content.bytes() + post.author.as_str().len(),
                FeedEventKind::AuthorAdded(author) | FeedEventKind::AuthorRemoved(author) => {
                    author.as_str().len()
                }
            }
    }
}

impl PartialEq for FeedEvent {
    fn eq(&self, other: &Self) -> bool {
        (self.revision, &self.kind) == (other.revision, &other.kind)
    }
}

impl Eq for FeedEvent {}
