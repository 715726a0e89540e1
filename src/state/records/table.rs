//! The tables of records, and what distinguishes them. Never has a record.

use crate::storage::Residency;

/// A table of records: (subject, position) → value. The numbers are stored, so the meaning of a
/// number never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Table {
    /// (user, post) → the like. By the user first, so that what a reader likes of a page is read at
    /// once.
    Like = 1,
    /// (post, like) → the user who likes it.
    Likes = 2,
    /// (user, post) → the repost. By the user first, as [`Table::Like`].
    Repost = 3,
    /// (post, repost) → the user who reposted it.
    Reposts = 4,
    /// (post, reply) → the author of the reply. Also of deleted replies, because threads reach the
    /// replies below them through these.
    Replies = 5,
    /// (post, quoting post) → the author of the quoting post.
    Quotes = 6,
    /// (post, 0) → [`PostCounts`].
    PostCounts = 7,
    /// (user, 0) → [`UserCounts`].
    UserCounts = 8,
    /// (user, follow) → the follower.
    Followers = 9,
    /// (user, event) → [`NotificationRecord`], except of follows: those are in
    /// [`Table::Followers`].
    Notifications = 10,
    /// (user, 0) → the revision up to which they have seen their notifications.
    Seen = 11,
    /// (post or repost, 0) → its deletion or removal.
    Retracted = 12,
    /// (blocker, blocked) → the block.
    Blocks = 13,
    /// (muter, muted) → the mute.
    Mutes = 14,
    /// (viewer, other) → the end of the last block or mute that hid the other.
    ShownSince = 15,
    /// (post, user) → [`RepliesByUser`].
    RepliesByUser = 16,
    /// (post, [`RepliesByUser::since`]) → the user.
    Repliers = 17,
    /// (author, user) → [`LikesByUser`].
    LikesByUser = 18,
    /// (author, [`LikesByUser::since`]) → the user.
    Likers = 19,
}

impl Table {
    const ALL: [Self; 19] = [
        Self::Like,
        Self::Likes,
        Self::Repost,
        Self::Reposts,
        Self::Replies,
        Self::Quotes,
        Self::PostCounts,
        Self::UserCounts,
        Self::Followers,
        Self::Notifications,
        Self::Seen,
        Self::Retracted,
        Self::Blocks,
        Self::Mutes,
        Self::ShownSince,
        Self::RepliesByUser,
        Self::Repliers,
        Self::LikesByUser,
        Self::Likers,
    ];

    pub(super) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| *table as u8 == number)
    }

    /// Whether its records are read as lists. The positions are revisions, so a new record is the
    /// last.
    pub(crate) fn is_list(self) -> bool {
        matches!(
            self,
            Self::Likes
                | Self::Reposts
                | Self::Replies
                | Self::Quotes
                | Self::Repliers
                | Self::Likers
                | Self::Followers
                | Self::Notifications
        )
    }

    /// Whether decisions about changes depend on its records, see
    /// [`Lookup`](crate::state::Lookup).
    pub(crate) fn is_decided_by(self) -> bool {
        matches!(self, Self::Like | Self::Repost | Self::Seen)
    }

    /// Whether it has what a user did with a post: one record for a user and a post.
    pub(crate) fn is_reaction(self) -> bool {
        matches!(self, Self::Like | Self::Repost)
    }

    /// Where its records are. Those that every page of a feed is filtered by are in memory.
    pub(crate) fn residency(self) -> Residency {
        match self {
            Self::Retracted | Self::Blocks | Self::Mutes | Self::ShownSince => Residency::InMemory,
            _ => Residency::OnDisk,
        }
    }
}
