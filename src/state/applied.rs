//! What an event does that its own fields do not say, as it was when the event was applied: values,
//! without any behaviour.

use std::sync::Arc;

use super::records::record::NotificationKind;
use crate::model::{Post, PostId, UserId};

/// What live feeds need to know of an event apart from its own fields.
#[derive(Debug, Default)]
pub struct AppliedEvent {
    /// The post that it published.
    pub post: Option<Arc<Post>>,
    /// The users to whose followers a deletion or the end of a repost is delivered.
    pub authors: Vec<UserId>,
    /// The notifications that it made.
    pub notifications: Vec<NewNotification>,
    /// For a follow: whether the follower mutes the followee.
    pub is_muted: bool,
}

/// A notification that an event made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNotification {
    /// Who is notified.
    pub user: UserId,
    /// Of what kind.
    pub kind: NotificationKind,
    /// Who did it.
    pub actor: UserId,
    /// The user's post that it was done to, if it was.
    pub subject: Option<PostId>,
}
