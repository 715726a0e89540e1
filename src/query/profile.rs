//! Profiles of users, and the relations between users. Never counts a user whom the viewer does not
//! see.

use super::hydrate::{self, Viewer};
use super::results::{Profile, Relationship};
use super::{Error, Query, Source, Unanswered};
use crate::model::{Relation, UserId};
use crate::state::records::record::{Key, Table, UserCounts, Value};
use crate::state::users::UserIx;

/// Followers that are scanned between two checks for a cancelled call.
const FOLLOWERS_AT_ONCE: usize = 1_024;

/// The profile of a user as the viewer sees it.
///
/// Fails with [`Error::Blocked`] if they do not see each other.
#[derive(Clone, Debug)]
pub struct GetProfile {
    /// The user who reads.
    pub viewer: UserId,
    /// The user whose profile is read.
    pub user: UserId,
}

/// The relations between a user and other users, in the order of `others`.
#[derive(Clone, Debug)]
pub struct GetRelationships {
    /// The user who reads.
    pub user: UserId,
    /// The other users.
    pub others: Vec<UserId>,
}

impl Query for GetProfile {
    type Answer = Profile;

    fn answer(&self, source: &Source<'_>) -> Result<Profile, Unanswered> {
        let state = source.state;
        if state.is_blocked_either_way(&self.viewer, &self.user) {
            let (user, other) = (self.viewer.clone(), self.user.clone());
            return Err(Error::Blocked { user, other }.into());
        }
        let mut profile = Profile {
            user: self.user.clone(),
            followers: 0,
            following: 0,
            posts: 0,
            likes_received: 0,
        };
        let Some(number) = state.users.get(&self.user) else { return Ok(profile) };
        let counts = source.record(Key::of(Table::UserCounts, number))?;
        let counts = counts.map_or_else(UserCounts::default, Value::user_counts);
        (profile.posts, profile.likes_received) = (counts.posts, counts.likes);
        profile.followers = state.graph.follower_count(number) as u64;
        profile.following = state.graph.followee_count(number) as u64;

        let viewer = hydrate::viewer(state, &self.viewer);
        if viewer.unseen_count_max() == 0 {
            return Ok(profile);
        }
        // Read after the totals, so they may include later changes, and saturate.
        let unseen = unseen_followers(source, viewer, number)?;
        profile.followers = profile.followers.saturating_sub(unseen);
        let followees = state.graph.edges(number);
        let unseen = followees.iter().filter(|edge| !viewer.sees(edge.followee)).count();
        profile.following = profile.following.saturating_sub(unseen as u64);
        let tables = (Table::LikesByUser, Table::Likers, number.into());
        let (likes, mut unseen) = (profile.likes_received, 0);
        hydrate::for_each_unseen(source, viewer, tables, likes, |value| {
            unseen += value.likes_by_user().posts;
        })?;
        profile.likes_received = likes.saturating_sub(unseen);
        Ok(profile)
    }
}

impl Query for GetRelationships {
    type Answer = Vec<Relationship>;

    fn answer(&self, source: &Source<'_>) -> Result<Vec<Relationship>, Unanswered> {
        let (state, user) = (source.state, &self.user);
        let holds = |relation: fn(UserId, UserId) -> Relation, one: &UserId, other: &UserId| {
            state.since(&relation(one.clone(), other.clone())).is_some()
        };
        let relationship = |other: &UserId| Relationship {
            user: other.clone(),
            following: holds(Relation::Follow, user, other),
            followed_by: holds(Relation::Follow, other, user),
            blocking: holds(Relation::Block, user, other),
            blocked_by: holds(Relation::Block, other, user),
            muting: holds(Relation::Mute, user, other),
        };
        Ok(self.others.iter().map(relationship).collect())
    }
}

/// The number of `user`'s followers whom `viewer` does not see. Scans the shorter of two lists: the
/// followers, or the users whom the viewer does not see.
fn unseen_followers(
    source: &Source<'_>,
    viewer: Viewer<'_>,
    user: UserIx,
) -> Result<u64, Unanswered> {
    let graph = &source.state.graph;
    let (mut unseen, mut after) = (0, None);
    if viewer.unseen_count_max() <= graph.follower_count(user) {
        for users in viewer.unseen() {
            source.skip(users.len())?;
            unseen += users.iter().filter(|&&it| graph.edge(it, user).is_some()).count();
        }
        return Ok(unseen as u64);
    }
    loop {
        let followers = graph.followers(user, after, FOLLOWERS_AT_ONCE);
        source.skip(followers.len())?;
        unseen += followers.iter().filter(|&&it| !viewer.sees(it)).count();
        after = followers.last().copied();
        if after.is_none() {
            return Ok(unseen as u64);
        }
    }
}
