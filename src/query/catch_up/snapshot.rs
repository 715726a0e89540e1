//! Where a stream starts that begins with the newest entries.

use crate::model::{Revision, UserId};
use crate::query::{HomeFeed, Query, Source, Unanswered, notifications};

/// The oldest of the newest entries of a home feed.
#[derive(Clone, Debug)]
pub struct FeedSnapshot {
    /// Whose feed.
    pub user: UserId,
    /// As in [`HomeFeed`].
    pub all_replies: bool,
    /// How many entries at most.
    pub items_max: usize,
}

/// The oldest of the newest notifications of a user.
#[derive(Clone, Debug)]
pub struct NotificationSnapshot {
    /// Whose notifications.
    pub user: UserId,
    /// How many at most.
    pub items_max: usize,
}

/// Where a snapshot begins and ends.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotBounds {
    /// Where its oldest entry is; `None` if there is none.
    pub oldest: Option<Revision>,
    /// The position that it shows.
    pub at: Revision,
}

impl Query for FeedSnapshot {
    type Answer = SnapshotBounds;

    fn answer(&self, source: &Source<'_>) -> Result<SnapshotBounds, Unanswered> {
        let Self { user, all_replies, items_max } = self.clone();
        let page = HomeFeed { user, items_max, position: None, with_own: true, all_replies };
        let page = page.entries(source)?;
        Ok(SnapshotBounds { oldest: page.items.last().map(|oldest| oldest.revision), at: page.at })
    }
}

impl Query for NotificationSnapshot {
    type Answer = SnapshotBounds;

    fn answer(&self, source: &Source<'_>) -> Result<SnapshotBounds, Unanswered> {
        // A later notification is sent as it happens.
        let at = source.state.applied();
        let mut oldest = None;
        if let Some(user) = source.state.users.get(&self.user) {
            let shown = notifications::shown(source, user, Revision::MAX, self.items_max);
            for notification in shown.take(self.items_max) {
                oldest = Some(notification?.0);
            }
        }
        Ok(SnapshotBounds { oldest: oldest.filter(|&oldest| oldest <= at), at })
    }
}
