//! Users in numbers, and what is between them.

use super::hydrate::Viewer;
use super::results::{Profile, Relationship};
use crate::model::UserId;
use crate::state::State;
use crate::state::reads::{ReadError, Reading};
use crate::state::records::record::{Key, Table, UserCounts, Value};
use crate::state::users::UserIx;

/// Followers that are looked at without asking whether anybody waits for that.
const AT_ONCE: usize = 1_024;

impl State {
    /// Whether one of the two blocks the other: then neither sees the other.
    #[must_use]
    pub fn are_apart(&self, one: &UserId, other: &UserId) -> bool {
        let numbers = self.ids.get(one).zip(self.ids.get(other));
        numbers.is_some_and(|(one, other)| self.hidden.are_apart(one, other))
    }

    /// What is between `user` and `other`.
    #[must_use]
    pub fn relationship(&self, user: &UserId, other: &UserId) -> Relationship {
        let numbers = self.ids.get(user).zip(self.ids.get(other));
        let is = |what: &dyn Fn(UserIx, UserIx) -> bool| {
            numbers.is_some_and(|(user, other)| what(user, other))
        };
        Relationship {
            user: other.clone(),
            following: is(&|user, other| self.graph.edge(user, other).is_some()),
            followed_by: is(&|user, other| self.graph.edge(other, user).is_some()),
            blocking: is(&|user, other| self.hidden.blocked_since(user, other).is_some()),
            blocked_by: is(&|user, other| self.hidden.blocked_since(other, user).is_some()),
            muting: is(&|user, other| self.hidden.muted_since(user, other).is_some()),
        }
    }

    /// `user` in numbers, as `viewer` sees them; `None` if a part of that is not in memory, or takes
    /// long.
    #[must_use]
    pub fn profile_at_hand(&self, viewer: &UserId, user: &UserId) -> Option<Profile> {
        if self.viewer(viewer).apart_max() > 0 {
            return None;
        }
        let Some(number) = self.ids.get(user) else { return Some(self.profile_of_all(user, None)) };
        let counts = self.facts.get_at_hand(Key::of(Table::UserCounts, number))?;
        Some(self.profile_of_all(user, counts))
    }

    /// `user` in numbers, as somebody sees them who is apart from nobody.
    fn profile_of_all(&self, user: &UserId, counts: Option<Value>) -> Profile {
        let UserCounts { posts, likes } =
            counts.map_or_else(UserCounts::default, Value::user_counts);
        Profile {
            user: user.clone(),
            followers: self.follower_count(user) as u64,
            following: self.followee_count(user) as u64,
            posts,
            likes_received: likes,
        }
    }
}

impl Reading<'_> {
    /// As [`State::profile_at_hand`]. May read the index.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn profile(&self, viewer: &UserId, user: &UserId) -> Result<Profile, ReadError> {
        let Some(number) = self.ids.get(user) else { return Ok(self.profile_of_all(user, None)) };
        let counts = self.facts.get(Key::of(Table::UserCounts, number))?;
        let mut profile = self.profile_of_all(user, counts);
        let viewer = self.viewer(viewer);

        let unseen = self.unseen_followers(viewer, number)?;
        profile.followers = profile.followers.saturating_sub(unseen);
        let followees = self.graph.edges(number);
        let unseen = followees.iter().filter(|edge| !viewer.sees(edge.followee)).count();
        profile.following = profile.following.saturating_sub(unseen as u64);
        let tables = (Table::Likings, Table::Likers, number.into());
        let mut unseen = 0;
        self.unseen(viewer, tables, profile.likes_received, |value| unseen += value.liked().posts)?;
        // Each is subtracted from what was counted before: what came in between may be more.
        profile.likes_received = profile.likes_received.saturating_sub(unseen);
        Ok(profile)
    }

    /// How many of those who follow `user` the `viewer` does not see: of the followers or of those
    /// whom the viewer does not see, whichever are fewer are looked at.
    fn unseen_followers(&self, viewer: Viewer<'_>, user: UserIx) -> Result<u64, ReadError> {
        let (mut unseen, mut after) = (0, None);
        if viewer.apart_max() <= self.graph.follower_count(user) {
            for apart in viewer.apart() {
                self.caller().check()?;
                unseen += apart.iter().filter(|&&it| self.graph.edge(it, user).is_some()).count();
            }
            return Ok(unseen as u64);
        }
        loop {
            self.caller().check()?;
            let followers = self.graph.followers(user, after, AT_ONCE);
            unseen += followers.iter().filter(|&&it| !viewer.sees(it)).count();
            after = followers.last().copied();
            if after.is_none() {
                return Ok(unseen as u64);
            }
        }
    }
}
