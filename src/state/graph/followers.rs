//! The followers of one user, sorted by number.
//!
//! Few are one list. Many are a list of lists, so that a new follower of somebody with a million of
//! them moves some kilobytes and not megabytes.

use super::{insert, remove};
use crate::state::users::UserIx;

/// Most followers in one list: 2 KiB.
const CHUNK_MAX: usize = 512;

/// Who follows one user. 16 bytes, and 4 for each of them.
#[derive(Debug)]
pub(crate) enum Followers {
    Few(Box<[UserIx]>),
    Many(Box<FollowerChunks>),
}

/// More than one list.
#[derive(Debug)]
pub(crate) struct FollowerChunks {
    len: usize,
    /// None empty, each before the next.
    chunks: Vec<Box<[UserIx]>>,
}

impl Default for Followers {
    fn default() -> Self {
        Self::Few(Box::default())
    }
}

impl Followers {
    pub(crate) fn from_sorted(followers: &[UserIx]) -> Self {
        if followers.len() <= CHUNK_MAX {
            return Self::Few(followers.into());
        }
        // Filled by half, as they would have been one by one.
        let chunks = followers.chunks(CHUNK_MAX / 2).map(Box::from).collect();
        Self::Many(Box::new(FollowerChunks { len: followers.len(), chunks }))
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few(list) => list.len(),
            Self::Many(many) => many.len,
        }
    }

    /// Adds `follower`, if not there.
    pub(crate) fn insert(&mut self, follower: UserIx) {
        match self {
            Self::Few(list) => {
                if let Err(place) = list.binary_search(&follower) {
                    insert(list, place, follower);
                }
                if list.len() > CHUNK_MAX {
                    *self = Self::from_sorted(list);
                }
            }
            Self::Many(many) => many.insert(follower),
        }
    }

    /// Takes out `follower`, if there.
    pub(crate) fn remove(&mut self, follower: UserIx) {
        match self {
            Self::Few(list) => {
                if let Ok(place) = list.binary_search(&follower) {
                    remove(list, place);
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

    /// Those beyond `after`, at most `max`.
    pub(crate) fn page(&self, after: Option<UserIx>, max: usize) -> Vec<UserIx> {
        let beyond = |list: &[UserIx]| {
            after.map_or(0, |after| list.partition_point(|&follower| follower <= after))
        };
        match self {
            Self::Few(list) => list[beyond(list)..].iter().copied().take(max).collect(),
            Self::Many(many) => {
                let first = after.map_or(0, |after| many.chunk_of(after));
                let (start, rest) = many.chunks[first..].split_first().unzip();
                let start = start.map_or(&[][..], |chunk| &chunk[beyond(chunk)..]);
                let rest = rest.unwrap_or_default().iter().flatten();
                start.iter().chain(rest).copied().take(max).collect()
            }
        }
    }
}

impl FollowerChunks {
    /// The chunk that `follower` is in, or would have to be.
    fn chunk_of(&self, follower: UserIx) -> usize {
        self.chunks.partition_point(|chunk| chunk[0] <= follower).saturating_sub(1)
    }

    fn insert(&mut self, follower: UserIx) {
        let at = self.chunk_of(follower);
        let chunk = &mut self.chunks[at];
        let Err(place) = chunk.binary_search(&follower) else { return };
        insert(chunk, place, follower);
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
        let Ok(place) = chunk.binary_search(&follower) else { return };
        remove(chunk, place);
        self.len -= 1;
        if chunk.is_empty() {
            self.chunks.remove(at);
        } else if let Some(next) = self.chunks.get(at + 1)
            && self.chunks[at].len() + next.len() <= CHUNK_MAX / 2
        {
            // Or unfollows would leave lists of one behind.
            self.chunks[at] = [&self.chunks[at][..], &next[..]].concat().into();
            self.chunks.remove(at + 1);
        }
    }
}
