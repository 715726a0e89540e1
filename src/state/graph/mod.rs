//! A graph of users, for follows, blocks and mutes: edges in both directions, with the revision of
//! each. Never has two edges from one user to the same other.
//!
//! An edge takes 10 bytes in its follower's list and 4 in its followee's. Lists have no spare
//! capacity: the allocator's size classes leave room enough for the next few edges.

mod followers;

use super::apply_right::ApplyRight;
use super::dense::Dense;
use super::graph::followers::Followers;
use super::users::UserIx;
use crate::model::Revision;
use crate::storage;

/// The number of parts in which followers are computed when a graph is loaded. Each part reads all
/// edges once, and needs memory for its share of them.
const REVERSE_PARTS: usize = 4;

/// Edges from follower to followee, or from blocker to blocked, and so on.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    following: Dense<Following>,
    followers: Dense<Followers>,
}

/// The edges of one follower.
#[derive(Debug, Default)]
struct Following {
    /// Sorted by followee.
    list: Box<[PackedEdge]>,
    /// The revision that changed the list last.
    changed_at: Revision,
}

/// A copy of the edges of one follower, as they were at one revision.
#[derive(Debug, Default)]
pub(crate) struct Edges {
    /// Sorted by followee.
    list: Box<[PackedEdge]>,
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

/// An [`Edge`] in 10 bytes: the halves of a followee's number, and the lower 48 bits of a revision,
/// which a log of a million changes a second exceeds after nine years.
#[derive(Clone, Copy, Debug)]
struct PackedEdge {
    followee: [u16; 2],
    since: [u16; 3],
}

impl PackedEdge {
    /// # Panics
    /// The revision has more than 48 bits.
    fn new(followee: UserIx, since: Revision) -> Self {
        assert!(since.get() >> 48 == 0, "revision {since} does not fit into an edge");
        let (followee, since) = (followee.number(), since.get());
        Self {
            followee: [(followee >> 16) as u16, followee as u16],
            since: [(since >> 32) as u16, (since >> 16) as u16, since as u16],
        }
    }

    fn followee(self) -> UserIx {
        let [upper, lower] = self.followee.map(u32::from);
        UserIx::new(upper << 16 | lower)
    }

    fn since(self) -> Revision {
        let [upper, middle, lower] = self.since.map(u64::from);
        Revision::new(upper << 32 | middle << 16 | lower)
    }
}

impl Graph {
    /// Loads all edges, of users with numbers below `user_count`. They are sorted by follower, and
    /// no follower's edges are in two pieces.
    ///
    /// Uses little temporary memory, because the process would keep it for long.
    ///
    /// # Panics
    /// The graph is not empty.
    pub(crate) fn load(
        &self,
        pieces: Vec<Vec<storage::StoredEdge>>,
        user_count: usize,
        by: &ApplyRight,
    ) {
        assert!(self.following.is_empty() && self.followers.is_empty(), "the graph is not empty");
        let ix = UserIx::new;
        let mut counts = vec![0_u32; user_count];
        for piece in pieces {
            for of_one in piece.chunk_by(|a, b| a.follower == b.follower) {
                let packed =
                    |edge: &storage::StoredEdge| PackedEdge::new(ix(edge.followee), edge.since);
                let list = of_one.iter().map(packed).collect();
                let follower = ix(of_one[0].follower);
                self.following.change(follower, by, |following| following.list = list);
            }
            piece.iter().for_each(|edge| counts[edge.followee as usize] += 1);
        }
        let edge_count: usize = counts.iter().map(|&count| count as usize).sum();
        let mut first = 0;
        while first < user_count {
            let (mut end, mut edges) = (first, 0);
            while end < user_count && edges <= edge_count / REVERSE_PARTS {
                edges += counts[end] as usize;
                end += 1;
            }
            self.load_followers(first, &counts[first..end], user_count, by);
            first = end;
        }
    }

    /// Computes the followers of the users from number `first` on from the loaded edges. `counts`
    /// has the number of followers of each of these users.
    fn load_followers(&self, first: usize, counts: &[u32], user_count: usize, by: &ApplyRight) {
        // For each user the index in `followers` of the next follower.
        let mut ends = Vec::with_capacity(counts.len());
        let mut end = 0;
        for &count in counts {
            ends.push(end);
            end += count as usize;
        }
        let mut followers = vec![UserIx::new(0); end];
        for follower in (0..).take(user_count).map(UserIx::new) {
            self.following.get(follower, |following| {
                for edge in &following.list {
                    let followee = edge.followee().index().checked_sub(first);
                    if let Some(end) = followee.and_then(|followee| ends.get_mut(followee)) {
                        followers[*end] = follower;
                        *end += 1;
                    }
                }
            });
        }
        for ((followee, &end), &count) in (first..).zip(&ends).zip(counts) {
            let of_one = &followers[end - count as usize..end];
            if !of_one.is_empty() {
                let followee = UserIx::at(followee);
                self.followers.change(followee, by, |list| *list = Followers::from_sorted(of_one));
            }
        }
    }

    pub(crate) fn insert(
        &self,
        follower: UserIx,
        followee: UserIx,
        since: Revision,
        by: &ApplyRight,
    ) {
        self.following.change(follower, by, |following| {
            let edge = PackedEdge::new(followee, since);
            match find(&following.list, followee) {
                Ok(index) => following.list[index] = edge,
                Err(index) => insert(&mut following.list, index, edge),
            }
            following.changed_at = since;
        });
        self.followers.change(followee, by, |followers| followers.insert(follower));
    }

    pub(crate) fn remove(&self, follower: UserIx, followee: UserIx, at: Revision, by: &ApplyRight) {
        self.following.change(follower, by, |following| {
            if let Ok(index) = find(&following.list, followee) {
                remove(&mut following.list, index);
            }
            following.changed_at = at;
        });
        self.followers.change(followee, by, |followers| followers.remove(follower));
    }

    pub(crate) fn edge(&self, follower: UserIx, followee: UserIx) -> Option<Revision> {
        let since = |following: &Following| {
            let index = find(&following.list, followee).ok()?;
            Some(following.list[index].since())
        };
        self.following.get(follower, since)?
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
        self.list.iter().map(|edge| Edge { followee: edge.followee(), since: edge.since() })
    }

    /// The revision of the edge to `followee`, if there is one.
    pub(crate) fn since(&self, followee: UserIx) -> Option<Revision> {
        Some(self.list[find(&self.list, followee).ok()?].since())
    }
}

/// The index of `followee` in `list`, or the index at which to insert it.
fn find(list: &[PackedEdge], followee: UserIx) -> Result<usize, usize> {
    list.binary_search_by_key(&followee, |edge| edge.followee())
}

/// Inserts `value`, and allocates no spare capacity.
pub(crate) fn insert<T>(list: &mut Box<[T]>, index: usize, value: T) {
    let mut longer = std::mem::take(list).into_vec();
    longer.reserve_exact(1);
    longer.insert(index, value);
    *list = longer.into_boxed_slice();
}

/// Removes the value at `index`, and frees its memory.
pub(crate) fn remove<T>(list: &mut Box<[T]>, index: usize) {
    let mut shorter = std::mem::take(list).into_vec();
    shorter.remove(index);
    *list = shorter.into_boxed_slice();
}
