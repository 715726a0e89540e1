//! What a change is to others than those whom it names: values, without any behaviour.

use std::sync::Arc;

use super::records::record::NotificationKind;
use crate::model::{Post, PostId, UserId};

/// What has to be known beside a change to tell of it, as it was when the change was applied.
#[derive(Debug, Default)]
pub struct AppliedEvent {
    /// The post that it published.
    pub post: Option<Arc<Post>>,
    /// To whose followers it is told that a post is deleted or a repost taken back.
    pub authors: Vec<UserId>,
    /// Who is notified of it.
    pub notices: Vec<NewNotification>,
    /// For a follow: whether the follower mutes the followee.
    pub is_muted: bool,
}

/// Somebody who is notified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNotification {
    /// Who.
    pub user: UserId,
    /// Of what kind of thing.
    pub kind: NotificationKind,
    /// Who did it.
    pub actor: UserId,
    /// The user's post that it was done to, if it was.
    pub subject: Option<PostId>,
}
