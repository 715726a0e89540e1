//! Who follows whom, and since when.

use dashmap::DashMap;

use super::ids::UserIx;
use crate::model::Revision;

/// The follow graph, by follower.
#[derive(Debug, Default)]
pub(super) struct Graph {
    following: DashMap<UserIx, Edges>,
}

/// Whom one user follows.
#[derive(Clone, Debug, Default)]
pub(super) struct Edges {
    /// Sorted by followee.
    pub(super) list: Vec<Edge>,
    /// The revision that changed the list last.
    pub(super) changed_at: Revision,
}

/// One follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    /// Who is followed.
    pub(super) followee: UserIx,
    /// The revision at which it began.
    pub(super) since: Revision,
}

impl Graph {
    pub(super) fn insert(&self, follower: UserIx, followee: UserIx, since: Revision) {
        let mut edges = self.following.entry(follower).or_default();
        if let Err(place) = edges.find(followee) {
            edges.list.insert(place, Edge { followee, since });
        }
        edges.changed_at = since;
    }

    pub(super) fn remove(&self, follower: UserIx, followee: UserIx, at: Revision) {
        let mut edges = self.following.entry(follower).or_default();
        if let Ok(place) = edges.find(followee) {
            edges.list.remove(place);
        }
        edges.changed_at = at;
    }

    pub(super) fn edge(&self, follower: UserIx, followee: UserIx) -> Option<Revision> {
        let edges = self.following.get(&follower)?;
        edges.find(followee).ok().map(|place| edges.list[place].since)
    }

    pub(super) fn followee_count(&self, follower: UserIx) -> usize {
        self.following.get(&follower).map_or(0, |edges| edges.list.len())
    }

    /// A copy of the user's edges, all of one moment.
    pub(super) fn edges(&self, follower: UserIx) -> Edges {
        self.following.get(&follower).map_or_else(Edges::default, |edges| edges.clone())
    }
}

impl Edges {
    /// Where `followee` is, or would have to be.
    fn find(&self, followee: UserIx) -> Result<usize, usize> {
        self.list.binary_search_by_key(&followee, |edge| edge.followee)
    }
}
