//! Who follows whom, and since when; in both directions.
//!
//! An edge takes 10 bytes by its follower and 4 by its followee. Lists are as long as what is in
//! them: an allocator's blocks leave room enough for the next few.

mod followers;

use super::apply_right::ApplyRight;
use super::dense::Dense;
use super::graph::followers::Followers;
use super::users::UserIx;
use crate::model::Revision;
use crate::storage;

/// In how many parts the other direction is made when a graph is loaded: each goes through all
/// edges once, and needs memory for its share of them.
const REVERSE_PARTS: usize = 4;

/// The follow graph.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    following: Dense<Following>,
    followers: Dense<Followers>,
}

/// Whom one user follows.
#[derive(Debug, Default)]
struct Following {
    /// Sorted by followee.
    list: Box<[PackedEdge]>,
    /// The revision that changed the list last.
    changed_at: Revision,
}

/// Whom one user follows, as it was at one moment.
#[derive(Debug, Default)]
pub(crate) struct Edges {
    list: Box<[PackedEdge]>,
    /// The revision that changed the list last.
    pub(crate) changed_at: Revision,
}

/// One follow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    /// Who is followed.
    pub(crate) followee: UserIx,
    /// The revision at which it began.
    pub(crate) since: Revision,
}

/// An [`Edge`] in 10 bytes: the halves of a followee's number, and the lower 48 bits of a revision,
/// which a log of a million changes a second passes in nine years.
#[derive(Clone, Copy, Debug)]
struct PackedEdge {
    followee: [u16; 2],
    since: [u16; 3],
}

impl PackedEdge {
    /// # Panics
    /// The revision has more than 48 bits.
    fn new(followee: UserIx, since: Revision) -> Self {
        assert!(since.get() >> 48 == 0, "an edge cannot say that it began at {since}");
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
    /// Takes over all edges there are, of users numbered below `user_count`.
    ///
    /// What is needed meanwhile is kept small: it would be the process's for long.
    ///
    /// # Panics
    /// The graph is not empty.
    pub(crate) fn load(
        &self,
        pieces: Vec<Vec<storage::StoredEdge>>,
        user_count: usize,
        by: &ApplyRight,
    ) {
        assert!(self.following.is_empty() && self.followers.is_empty(), "it has edges");
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

    /// Fills in the followers of the users from number `first` on, who have `counts` of them, by
    /// what is known of whom everybody follows.
    fn load_followers(&self, first: usize, counts: &[u32], user_count: usize, by: &ApplyRight) {
        // Where the next follower of each is written.
        let mut places = Vec::with_capacity(counts.len());
        let mut end = 0;
        for &count in counts {
            places.push(end);
            end += count as usize;
        }
        let mut followers = vec![UserIx::new(0); end];
        for follower in (0..).take(user_count).map(UserIx::new) {
            self.following.get(follower, |following| {
                for edge in &following.list {
                    let followee = edge.followee().index().checked_sub(first);
                    if let Some(place) = followee.and_then(|followee| places.get_mut(followee)) {
                        followers[*place] = follower;
                        *place += 1;
                    }
                }
            });
        }
        for ((followee, &end), &count) in (first..).zip(&places).zip(counts) {
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
                Ok(place) => following.list[place] = edge,
                Err(place) => insert(&mut following.list, place, edge),
            }
            following.changed_at = since;
        });
        self.followers.change(followee, by, |followers| followers.insert(follower));
    }

    pub(crate) fn remove(&self, follower: UserIx, followee: UserIx, at: Revision, by: &ApplyRight) {
        self.following.change(follower, by, |following| {
            if let Ok(place) = find(&following.list, followee) {
                remove(&mut following.list, place);
            }
            following.changed_at = at;
        });
        self.followers.change(followee, by, |followers| followers.remove(follower));
    }

    pub(crate) fn edge(&self, follower: UserIx, followee: UserIx) -> Option<Revision> {
        let since = |following: &Following| {
            let place = find(&following.list, followee).ok()?;
            Some(following.list[place].since())
        };
        self.following.get(follower, since)?
    }

    pub(crate) fn followee_count(&self, follower: UserIx) -> usize {
        self.following.get(follower, |following| following.list.len()).unwrap_or(0)
    }

    pub(crate) fn follower_count(&self, followee: UserIx) -> usize {
        self.followers.get(followee, Followers::len).unwrap_or(0)
    }

    /// Those who follow `followee` and have a number beyond `after`, at most `max`, by number.
    pub(crate) fn followers(
        &self,
        followee: UserIx,
        after: Option<UserIx>,
        max: usize,
    ) -> Vec<UserIx> {
        let page = |followers: &Followers| followers.page(after, max);
        self.followers.get(followee, page).unwrap_or_default()
    }

    /// A copy of the user's edges, all of one moment.
    pub(crate) fn edges(&self, follower: UserIx) -> Edges {
        let copy = |following: &Following| Edges {
            list: following.list.clone(),
            changed_at: following.changed_at,
        };
        self.following.get(follower, copy).unwrap_or_default()
    }
}

impl Edges {
    /// The edges, by the followee's number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Edge> {
        self.list.iter().map(|edge| Edge { followee: edge.followee(), since: edge.since() })
    }

    /// Since when there has been an edge to `followee`.
    pub(crate) fn since(&self, followee: UserIx) -> Option<Revision> {
        Some(self.list[find(&self.list, followee).ok()?].since())
    }
}

/// Where `followee` is, or would have to be.
fn find(list: &[PackedEdge], followee: UserIx) -> Result<usize, usize> {
    list.binary_search_by_key(&followee, |edge| edge.followee())
}

/// Inserts `value`, taking no more memory than for it.
pub(crate) fn insert<T>(list: &mut Box<[T]>, place: usize, value: T) {
    let mut longer = std::mem::take(list).into_vec();
    longer.reserve_exact(1);
    longer.insert(place, value);
    *list = longer.into_boxed_slice();
}

/// Removes the value at `place`, and gives back its memory.
pub(crate) fn remove<T>(list: &mut Box<[T]>, place: usize) {
    let mut shorter = std::mem::take(list).into_vec();
    shorter.remove(place);
    *list = shorter.into_boxed_slice();
}
