//! The followers of one user, sorted by number, each at most once.
//!
//! Few followers are one list. Many are a list of chunks, so that a new follower of a user with a
//! million of them moves kilobytes and not megabytes.

use super::packed::PackedList;
use crate::state::users::UserIx;

/// The maximum number of followers in one chunk: at most 2 KiB.
const CHUNK_MAX: usize = 512;
/// Followers in a chunk that was just made: half of the maximum, less what makes a list with its head
/// fit into a size class of the allocator.
const CHUNK_NEW: usize = CHUNK_MAX / 2 - 1;

/// The followers of one user: 16 bytes, and 1 to 4 for each follower.
#[derive(Debug)]
pub(crate) enum Followers {
    Few(PackedList),
    Many(Box<FollowerChunks>),
}

/// Followers in chunks.
#[derive(Debug)]
pub(crate) struct FollowerChunks {
    len: usize,
    /// No chunk is empty. All numbers of a chunk are below those of the next.
    chunks: Vec<PackedList>,
}

impl Default for Followers {
    fn default() -> Self {
        Self::Few(PackedList::default())
    }
}

impl Followers {
    pub(crate) fn from_sorted(followers: &[UserIx]) -> Self {
        if followers.len() <= CHUNK_MAX {
            return Self::Few(packed(followers));
        }
        let chunks = followers.chunks(CHUNK_NEW).map(packed).collect();
        Self::Many(Box::new(FollowerChunks { len: followers.len(), chunks }))
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few(list) => list.len(),
            Self::Many(many) => many.len,
        }
    }

    /// Inserts `follower` if it is absent.
    pub(crate) fn insert(&mut self, follower: UserIx) {
        match self {
            Self::Few(list) => {
                list.insert(follower.number(), 0);
                if list.len() > CHUNK_MAX {
                    let all: Vec<_> = numbers(list.iter()).collect();
                    *self = Self::from_sorted(&all);
                }
            }
            Self::Many(many) => many.insert(follower),
        }
    }

    /// Removes `follower` if it is present.
    pub(crate) fn remove(&mut self, follower: UserIx) {
        match self {
            Self::Few(list) => {
                list.remove(follower.number());
            }
            Self::Many(many) => {
                many.remove(follower);
                if many.len <= CHUNK_MAX / 2 {
                    let all: Vec<_> = many.chunks.iter().flat_map(PackedList::iter).collect();
                    *self = Self::Few(PackedList::from_sorted(all.into_iter()));
                }
            }
        }
    }

    /// At most `max` followers with numbers above `after`, or from the first on.
    pub(crate) fn page(&self, after: Option<UserIx>, max: usize) -> Vec<UserIx> {
        // The least number of the page; a user with the greatest number has none after it.
        let Some(least) = after.map_or(Some(0), |after| after.number().checked_add(1)) else {
            return Vec::new();
        };
        let page_of = |list: &PackedList, max: usize| {
            let start = list.lower_bound(least);
            start..list.len().min(start.saturating_add(max))
        };
        match self {
            Self::Few(list) => numbers(list.items(page_of(list, max))).collect(),
            Self::Many(many) => {
                let mut page = Vec::with_capacity(max.min(many.len));
                for chunk in &many.chunks[many.chunk_of(least)..] {
                    page.extend(numbers(chunk.items(page_of(chunk, max - page.len()))));
                    if page.len() == max {
                        break;
                    }
                }
                page
            }
        }
    }
}

impl FollowerChunks {
    /// The index of the chunk that contains `follower`, or that it is to be inserted in.
    fn chunk_of(&self, follower: u32) -> usize {
        self.chunks.partition_point(|chunk| chunk.first() <= follower).saturating_sub(1)
    }

    fn insert(&mut self, follower: UserIx) {
        let at = self.chunk_of(follower.number());
        let chunk = &mut self.chunks[at];
        if !chunk.insert(follower.number(), 0) {
            return;
        }
        self.len += 1;
        let len = chunk.len();
        if len > CHUNK_MAX {
            let upper = PackedList::from_sorted(chunk.items(CHUNK_NEW..len));
            *chunk = PackedList::from_sorted(chunk.items(0..CHUNK_NEW));
            self.chunks.insert(at + 1, upper);
        }
    }

    fn remove(&mut self, follower: UserIx) {
        let at = self.chunk_of(follower.number());
        if !self.chunks[at].remove(follower.number()) {
            return;
        }
        self.len -= 1;
        let chunk = &self.chunks[at];
        if chunk.is_empty() {
            self.chunks.remove(at);
        } else if let Some(next) = self.chunks.get(at + 1)
            && chunk.len() + next.len() <= CHUNK_MAX / 2
        {
            // Otherwise unfollows would leave chunks of one follower.
            let both: Vec<_> = chunk.iter().chain(next.iter()).collect();
            self.chunks[at] = PackedList::from_sorted(both.into_iter());
            self.chunks.remove(at + 1);
        }
    }
}

fn packed(followers: &[UserIx]) -> PackedList {
    PackedList::from_sorted(followers.iter().map(|follower| (follower.number(), 0)))
}

fn numbers(items: impl Iterator<Item = super::packed::Item>) -> impl Iterator<Item = UserIx> {
    items.map(|(number, _)| UserIx::new(number))
}
