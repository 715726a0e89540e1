//! A graph of users, for follows, blocks and mutes: edges in both directions, with the revision of
//! each. Never has two edges from one user to the same other.
//!
//! An edge takes as many bytes as its numbers need: with up to 16 million users and revisions 6 in its
//! follower's list and 3 in its followee's, at most 8 and 4 up to 4 billion.

mod followers;
mod loading;
mod packed;

use std::sync::atomic::{AtomicUsize, Ordering};

use super::apply_right::ApplyRight;
use super::dense::Dense;
use super::graph::followers::Followers;
pub(crate) use super::graph::loading::FollowerCounts;
use super::graph::packed::PackedList;
use super::users::UserIx;
use crate::model::Revision;

/// Edges from follower to followee, or from blocker to blocked, and so on.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    following: Dense<Following>,
    followers: Dense<Followers>,
    edges: AtomicUsize,
}

/// The edges of one follower.
#[derive(Debug, Default)]
struct Following {
    /// Followee and revision.
    list: PackedList,
    /// The revision that changed the list last.
    changed_at: Revision,
}

/// A copy of the edges of one follower, as they were at one revision.
#[derive(Debug, Default)]
pub(crate) struct Edges {
    /// Followee and revision.
    list: PackedList,
    /// The revision that changed the list last.
    pub(crate) changed_at: Revision,
}

/// One edge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    pub(crate) followee: UserIx,
    /// The revision that set the edge.
    pub(crate) since: Revision,
}

impl Graph {
    pub(crate) fn insert(
        &self,
        follower: UserIx,
        followee: UserIx,
        since: Revision,
        by: &ApplyRight,
    ) {
        self.following.change(follower, by, |following| {
            let before = following.list.len();
            following.list.insert(followee.number(), since.get());
            following.changed_at = since;
            self.edges.fetch_add(following.list.len() - before, Ordering::Relaxed);
        });
        self.followers.change(followee, by, |followers| followers.insert(follower));
    }

    pub(crate) fn remove(&self, follower: UserIx, followee: UserIx, at: Revision, by: &ApplyRight) {
        self.following.change(follower, by, |following| {
            let before = following.list.len();
            following.list.remove(followee.number());
            following.changed_at = at;
            self.edges.fetch_sub(before - following.list.len(), Ordering::Relaxed);
        });
        self.followers.change(followee, by, |followers| followers.remove(follower));
    }

    /// The number of all edges.
    pub(crate) fn edge_count(&self) -> usize {
        self.edges.load(Ordering::Relaxed)
    }

    pub(crate) fn edge(&self, follower: UserIx, followee: UserIx) -> Option<Revision> {
        let since = |following: &Following| following.list.get(followee.number());
        self.following.get(follower, since)?.map(Revision::new)
    }

    pub(crate) fn followee_count(&self, follower: UserIx) -> usize {
        self.following.get(follower, |following| following.list.len()).unwrap_or(0)
    }

    pub(crate) fn follower_count(&self, followee: UserIx) -> usize {
        self.followers.get(followee, Followers::len).unwrap_or(0)
    }

    /// At most `max` followers of `followee` with numbers above `after`, or from the first on,
    /// sorted by number.
    pub(crate) fn followers(
        &self,
        followee: UserIx,
        after: Option<UserIx>,
        max: usize,
    ) -> Vec<UserIx> {
        let page = |followers: &Followers| followers.page(after, max);
        self.followers.get(followee, page).unwrap_or_default()
    }

    /// A copy of the follower's edges, which are all of one revision.
    pub(crate) fn edges(&self, follower: UserIx) -> Edges {
        let copy = |following: &Following| Edges {
            list: following.list.clone(),
            changed_at: following.changed_at,
        };
        self.following.get(follower, copy).unwrap_or_default()
    }
}

impl Edges {
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The edges, sorted by followee.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Edge> {
        let edge = |(followee, since)| Edge {
            followee: UserIx::new(followee),
            since: Revision::new(since),
        };
        self.list.iter().map(edge)
    }

    /// The revision of the edge to `followee`, if there is one.
    pub(crate) fn since(&self, followee: UserIx) -> Option<Revision> {
        self.list.get(followee.number()).map(Revision::new)
    }
}
