//! The followers of one user, sorted by number, each at most once.
//!
//! Few followers are one list. Many are a list of chunks, so that a new follower of a user with a
//! million of them moves kilobytes and not megabytes.

use super::{insert, remove};
use crate::state::users::UserIx;

/// The maximum number of followers in one chunk: 2 KiB.
const CHUNK_MAX: usize = 512;

/// The followers of one user: 16 bytes, and 4 for each follower.
#[derive(Debug)]
pub(crate) enum Followers {
    Few(Box<[UserIx]>),
    Many(Box<FollowerChunks>),
}

/// Followers in chunks.
#[derive(Debug)]
pub(crate) struct FollowerChunks {
    len: usize,
    /// No chunk is empty. All numbers of a chunk are below those of the next.
    chunks: Vec<Box<[UserIx]>>,
}

impl Default for Followers {
    fn default() -> Self {
        Self::Few(Box::default())
    }
}

impl Followers {
    pub(crate) fn from_sorted(followers: &[UserIx]) -> Self {
        debug_assert!(followers.is_sorted_by(|a, b| a < b), "followers are not sorted");
        if followers.len() <= CHUNK_MAX {
            return Self::Few(followers.into());
        }
        // Half full, like chunks that were split by single inserts.
        let chunks = followers.chunks(CHUNK_MAX / 2).map(Box::from).collect();
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
                if let Err(index) = list.binary_search(&follower) {
                    insert(list, index, follower);
                }
                if list.len() > CHUNK_MAX {
                    *self = Self::from_sorted(list);
                }
            }
            Self::Many(many) => many.insert(follower),
        }
    }

    /// Removes `follower` if it is present.
    pub(crate) fn remove(&mut self, follower: UserIx) {
        match self {
            Self::Few(list) => {
                if let Ok(index) = list.binary_search(&follower) {
                    remove(list, index);
                }
            }
            Self::Many(many) => {
                many.remove(follower);
                if many.len <= CHUNK_MAX / 2 {
                    *self = Self::Few(many.chunks.concat().into());
                }
            }
        }
    }

    /// At most `max` followers with numbers above `after`, or from the first on.
    pub(crate) fn page(&self, after: Option<UserIx>, max: usize) -> Vec<UserIx> {
        let start_in = |list: &[UserIx]| {
            after.map_or(0, |after| list.partition_point(|&follower| follower <= after))
        };
        match self {
            Self::Few(list) => list[start_in(list)..].iter().copied().take(max).collect(),
            Self::Many(many) => {
                let first = after.map_or(0, |after| many.chunk_of(after));
                let (start, rest) = many.chunks[first..].split_first().unzip();
                let start = start.map_or(&[][..], |chunk| &chunk[start_in(chunk)..]);
                let rest = rest.unwrap_or_default().iter().flatten();
                start.iter().chain(rest).copied().take(max).collect()
            }
        }
    }
}

impl FollowerChunks {
    /// The index of the chunk that contains `follower`, or that it is to be inserted in.
    fn chunk_of(&self, follower: UserIx) -> usize {
        self.chunks.partition_point(|chunk| chunk[0] <= follower).saturating_sub(1)
    }

    fn insert(&mut self, follower: UserIx) {
        let at = self.chunk_of(follower);
        let chunk = &mut self.chunks[at];
        let Err(index) = chunk.binary_search(&follower) else { return };
        insert(chunk, index, follower);
        self.len += 1;
        if chunk.len() > CHUNK_MAX {
            let (lower, upper) = chunk.split_at(CHUNK_MAX / 2);
            let (lower, upper) = (lower.into(), upper.into());
            self.chunks[at] = lower;
            self.chunks.insert(at + 1, upper);
        }
    }

    fn remove(&mut self, follower: UserIx) {
        let at = self.chunk_of(follower);
        let chunk = &mut self.chunks[at];
        let Ok(index) = chunk.binary_search(&follower) else { return };
        remove(chunk, index);
        self.len -= 1;
        if chunk.is_empty() {
            self.chunks.remove(at);
        } else if let Some(next) = self.chunks.get(at + 1)
            && self.chunks[at].len() + next.len() <= CHUNK_MAX / 2
        {
            // Otherwise unfollows would leave chunks of one follower.
            self.chunks[at] = [&self.chunks[at][..], &next[..]].concat().into();
            self.chunks.remove(at + 1);
        }
    }
}
