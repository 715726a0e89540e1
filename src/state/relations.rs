//! What is so between users and posts, one question at a time: for those who decide changes. All of it
//! is in memory; for what may not be there see [`crate::query::lookups`].

use super::State;
use crate::model::{Revision, UserId};

impl State {
    /// How many users the log has named.
    #[must_use]
    pub fn user_count(&self) -> usize {
        self.ids.len()
    }

    /// Whether the log has named `user`.
    #[must_use]
    pub fn is_user(&self, user: &UserId) -> bool {
        self.ids.get(user).is_some()
    }

    /// The revision at which `blocker` blocked `blocked`, if they do still.
    #[must_use]
    pub fn blocked_since(&self, blocker: &UserId, blocked: &UserId) -> Option<Revision> {
        self.hidden.blocked_since(self.ids.get(blocker)?, self.ids.get(blocked)?)
    }

    /// The revision at which `muter` muted `muted`, if they do still.
    #[must_use]
    pub fn muted_since(&self, muter: &UserId, muted: &UserId) -> Option<Revision> {
        self.hidden.muted_since(self.ids.get(muter)?, self.ids.get(muted)?)
    }

    /// How many `blocker` blocks.
    #[must_use]
    pub fn block_count(&self, blocker: &UserId) -> usize {
        self.ids.get(blocker).map_or(0, |blocker| self.hidden.block_count(blocker))
    }

    /// How many `muter` mutes.
    #[must_use]
    pub fn mute_count(&self, muter: &UserId) -> usize {
        self.ids.get(muter).map_or(0, |muter| self.hidden.mute_count(muter))
    }

    /// When the post or repost at `revision` was deleted or taken back, if it was.
    #[must_use]
    pub fn retracted_at(&self, revision: Revision) -> Option<Revision> {
        self.hidden.retracted(revision)
    }

    /// The revisions after `after`, up to `until`, that deleted posts or took reposts back, rising.
    /// Looks at all that ever did.
    #[must_use]
    pub fn retractions(&self, after: Revision, until: Revision) -> Vec<Revision> {
        self.hidden.retractions(after, until)
    }
}
