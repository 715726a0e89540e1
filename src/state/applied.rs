//! The effects of an event that its own fields do not contain, at the time when it was applied.
//! Values without behaviour; they never change later.

use std::sync::Arc;

use super::records::record::NotificationKind;
use crate::model::{Post, PostId, UserId};

/// The effects of one event that live feeds deliver.
#[derive(Debug, Default)]
pub struct AppliedEvent {
    /// The published post, if the event is a post.
    pub post: Option<Arc<Post>>,
    /// For a deletion or the end of a repost: it is delivered to the followers of these users.
    pub authors: Vec<UserId>,
    /// The notifications that the event caused.
    pub notifications: Vec<NewNotification>,
    /// For a follow: whether the follower mutes the followee.
    pub is_muted: bool,
}

/// A notification that an event caused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNotification {
    /// The recipient.
    pub user: UserId,
    /// The kind of the event.
    pub kind: NotificationKind,
    /// The user who caused the event.
    pub actor: UserId,
    /// The recipient's post that was liked, reposted, replied to or quoted; `None` for a follow or
    /// a mention.
    pub subject: Option<PostId>,
}
