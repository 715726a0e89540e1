//! The bounds of a snapshot: the newest entries, which a new stream is sent first. Never reads the
//! entries themselves: a backlog does.

use crate::model::{Revision, UserId};
use crate::query::{HomeFeed, Query, Source, Unanswered, notifications};

/// The bounds of the newest entries of a home feed.
#[derive(Clone, Debug)]
pub struct FeedSnapshot {
    /// The feed's user.
    pub user: UserId,
    /// As in [`HomeFeed`].
    pub all_replies: bool,
    /// The maximum number of entries.
    pub items_max: usize,
}

/// The bounds of the newest notifications of a user.
#[derive(Clone, Debug)]
pub struct NotificationSnapshot {
    /// The user who is notified.
    pub user: UserId,
    /// The maximum number of notifications.
    pub items_max: usize,
}

/// The bounds of a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotBounds {
    /// The position of the oldest entry; `None` if the snapshot is empty.
    pub oldest: Option<Revision>,
    /// The revision of the state that the snapshot shows.
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
        // The stream delivers later notifications live.
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
