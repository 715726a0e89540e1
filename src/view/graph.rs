//! Who follows whom, and since when; in both directions.
//!
//! An edge takes 12 bytes by its follower and 4 by its followee. Lists are as long as what is in
//! them: an allocator's blocks leave room enough for the next few.

use super::dense::Dense;
use super::followers::Followers;
use super::ids::UserIx;
use crate::model::Revision;

/// The follow graph.
#[derive(Debug, Default)]
pub(super) struct Graph {
    following: Dense<Following>,
    followers: Dense<Followers>,
}

/// Whom one user follows.
#[derive(Debug, Default)]
struct Following {
    /// Sorted by followee.
    list: Box<[Packed]>,
    /// The revision that changed the list last.
    changed_at: Revision,
}

/// Whom one user follows, as it was at one moment.
#[derive(Debug, Default)]
pub(super) struct Edges {
    list: Box<[Packed]>,
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

/// An [`Edge`] without the gap that the alignment of a `u64` would leave.
#[derive(Clone, Copy, Debug)]
struct Packed {
    followee: UserIx,
    since: [u32; 2],
}

impl Packed {
    fn new(followee: UserIx, since: Revision) -> Self {
        let since = since.get();
        Self { followee, since: [(since >> 32) as u32, since as u32] }
    }

    fn since(self) -> Revision {
        let [upper, lower] = self.since;
        Revision::new(u64::from(upper) << 32 | u64::from(lower))
    }
}

impl Graph {
    /// Adds the edges of one follower who has none yet, sorted by followee.
    pub(super) fn load(&self, follower: UserIx, edges: impl Iterator<Item = (UserIx, Revision)>) {
        let list = edges.map(|(followee, since)| Packed::new(followee, since)).collect();
        self.following.change(follower, |following| following.list = list);
    }

    /// Adds the followers of one followee who has none yet, sorted.
    pub(super) fn load_followers(&self, followee: UserIx, followers: &[UserIx]) {
        self.followers.change(followee, |of_one| *of_one = Followers::from_sorted(followers));
    }

    pub(super) fn insert(&self, follower: UserIx, followee: UserIx, since: Revision) {
        self.following.change(follower, |following| {
            if let Err(place) = find(&following.list, followee) {
                insert(&mut following.list, place, Packed::new(followee, since));
            }
            following.changed_at = since;
        });
        self.followers.change(followee, |followers| followers.insert(follower));
    }

    pub(super) fn remove(&self, follower: UserIx, followee: UserIx, at: Revision) {
        self.following.change(follower, |following| {
            if let Ok(place) = find(&following.list, followee) {
                remove(&mut following.list, place);
            }
            following.changed_at = at;
        });
        self.followers.change(followee, |followers| followers.remove(follower));
    }

    pub(super) fn edge(&self, follower: UserIx, followee: UserIx) -> Option<Revision> {
        let since = |following: &Following| {
            let place = find(&following.list, followee).ok()?;
            Some(following.list[place].since())
        };
        self.following.get(follower, since)?
    }

    pub(super) fn followee_count(&self, follower: UserIx) -> usize {
        self.following.get(follower, |following| following.list.len()).unwrap_or(0)
    }

    pub(super) fn follower_count(&self, followee: UserIx) -> usize {
        self.followers.get(followee, Followers::len).unwrap_or(0)
    }

    /// Those who follow `followee` and have a number beyond `after`, at most `max`, by number.
    pub(super) fn followers(
        &self,
        followee: UserIx,
        after: Option<UserIx>,
        max: usize,
    ) -> Vec<UserIx> {
        let page = |followers: &Followers| followers.page(after, max);
        self.followers.get(followee, page).unwrap_or_default()
    }

    /// A copy of the user's edges, all of one moment.
    pub(super) fn edges(&self, follower: UserIx) -> Edges {
        let copy = |following: &Following| Edges {
            list: following.list.clone(),
            changed_at: following.changed_at,
        };
        self.following.get(follower, copy).unwrap_or_default()
    }
}

impl Edges {
    /// The edges, by the followee's number.
    pub(super) fn iter(&self) -> impl Iterator<Item = Edge> {
        self.list.iter().map(|edge| Edge { followee: edge.followee, since: edge.since() })
    }
}

/// Where `followee` is, or would have to be.
fn find(list: &[Packed], followee: UserIx) -> Result<usize, usize> {
    list.binary_search_by_key(&followee, |edge| edge.followee)
}

/// Inserts `value`, taking no more memory than for it.
pub(super) fn insert<T>(list: &mut Box<[T]>, place: usize, value: T) {
    let mut longer = std::mem::take(list).into_vec();
    longer.reserve_exact(1);
    longer.insert(place, value);
    *list = longer.into_boxed_slice();
}

/// Removes the value at `place`, and gives back its memory.
pub(super) fn remove<T>(list: &mut Box<[T]>, place: usize) {
    let mut shorter = std::mem::take(list).into_vec();
    shorter.remove(place);
    *list = shorter.into_boxed_slice();
}
