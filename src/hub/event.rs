//! What a feed's watchers are told.

use std::sync::Arc;

use crate::model::{Change, Post, Revision, UserId};

/// One event of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEvent {
    /// The change that it tells of.
    pub revision: Revision,
    /// What happened.
    pub kind: FeedEventKind,
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
        };
        Some(Self { revision, kind })
    }

    /// At least as many bytes as it takes on the wire.
    #[must_use]
    pub fn wire_bytes_max(&self) -> usize {
        EVENT_OVERHEAD_BYTES
            + match &self.kind {
                FeedEventKind::Posted(post) => {
                    post.text.as_str().len() + post.author.as_str().len()
                }
                FeedEventKind::AuthorAdded(author) | FeedEventKind::AuthorRemoved(author) => {
                    author.as_str().len()
                }
            }
    }
}
