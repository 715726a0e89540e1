//! Users in numbers, and what is between them.

use super::View;
use super::answers::{Profile, Relationship};
use super::fact::{Key, Table, UserCounts, Value};
use super::ids::UserIx;
use crate::log;
use crate::model::UserId;

impl View {
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

    /// `user` in numbers, as `viewer` sees them; `None` if a part of that is not in memory.
    #[must_use]
    pub fn profile_at_hand(&self, viewer: &UserId, user: &UserId) -> Option<Profile> {
        let counts = match self.ids.get(user) {
            Some(number) => self.facts.get_at_hand(Key::of(Table::UserCounts, number))?,
            None => None,
        };
        Some(self.profile_with(viewer, user, counts))
    }

    /// As [`View::profile_at_hand`]. May read the index, which blocks for a moment.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn profile(&self, viewer: &UserId, user: &UserId) -> Result<Profile, log::Error> {
        let counts = match self.ids.get(user) {
            Some(number) => self.facts.get(Key::of(Table::UserCounts, number))?,
            None => None,
        };
        Ok(self.profile_with(viewer, user, counts))
    }

    fn profile_with(&self, viewer: &UserId, user: &UserId, counts: Option<Value>) -> Profile {
        let UserCounts { posts, likes } =
            counts.map_or_else(UserCounts::default, Value::user_counts);
        let (mut followers, mut following) = (0, 0);
        if let Some(number) = self.ids.get(user) {
            let viewer = self.viewer(viewer);
            let seen = |users: &mut dyn Iterator<Item = UserIx>| {
                users.filter(|&user| viewer.sees(user)).count()
            };
            let unseen = |is_one: &dyn Fn(UserIx) -> bool| {
                viewer.apart().iter().filter(|&&apart| is_one(apart)).count()
            };
            // Whichever are fewer are looked at.
            followers = self.graph.follower_count(number);
            followers = if viewer.apart().len() <= followers {
                followers - unseen(&|apart| self.graph.edge(apart, number).is_some()).min(followers)
            } else {
                seen(&mut self.graph.followers(number, None, usize::MAX).into_iter())
            };
            following = self.graph.followee_count(number);
            following = if viewer.apart().len() <= following {
                following - unseen(&|apart| self.graph.edge(number, apart).is_some()).min(following)
            } else {
                seen(&mut self.graph.edges(number).iter().map(|edge| edge.followee))
            };
        }
        Profile {
            user: user.clone(),
            followers: followers as u64,
            following: following as u64,
            posts,
            likes_received: likes,
        }
    }
}
