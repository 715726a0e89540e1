//! The newest likes and reposts in memory, also those that the index has: whether a reader likes the
//! posts of a page is asked for every post of every page.
//!
//! ```text
//!   revisions  ─────┬── earlier ──┬── newer ──▶         a new generation begins when `newer` is full,
//!                 since                                 and the earlier one is dropped
//! ```
//!
//! A reaction is newer than its post. So of a post at or after `since` memory has all reactions, and
//! what it lacks does not exist. Of older posts [`older_reactions`](super::older_reactions) has what
//! the index had.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use dashmap::DashMap;

use super::super::apply_right::ApplyRight;
use super::older_reactions::{OlderReactions, ReaderReactions};
use super::record::{Key, Value};
use crate::model::Revision;
use crate::state::metrics::CacheUse;
use crate::state::users::UserIx;
use crate::storage::{self, Snapshot};

/// The reactions of two generations.
#[derive(Debug)]
pub(super) struct RecentReactions {
    generations: RwLock<Generations>,
    /// Of each generation.
    reactions_max: usize,
    older: OlderReactions,
}

#[derive(Debug)]
struct Generations {
    newer: DashMap<Key, Value>,
    /// Reactions that `newer` was given: to count what it has would lock all parts of the map.
    newer_count: AtomicUsize,
    newer_since: Revision,
    earlier: DashMap<Key, Value>,
    /// All reactions from here on are in one of the two.
    since: Revision,
}

impl RecentReactions {
    /// All reactions from `since` on, of which there are none yet; and at most `reactions_max` of
    /// them at a time. None at all if that is 0. Those from before have `older_bytes_max` bytes.
    pub(super) fn new(since: Revision, reactions_max: usize, older_bytes_max: u64) -> Self {
        let (newer, earlier) = (DashMap::new(), DashMap::new());
        let newer_count = AtomicUsize::new(0);
        let generations = Generations { newer, newer_count, newer_since: since, earlier, since };
        let generations = RwLock::new(generations);
        let older = OlderReactions::new(older_bytes_max);
        Self { generations, reactions_max: reactions_max / 2, older }
    }

    /// What a scrape shows of the cache of older ones.
    pub(super) fn use_of_older(&self) -> CacheUse {
        self.older.use_of()
    }

    /// To be called for each change of a record, after it is made.
    pub(super) fn put(&self, key: Key, value: Option<Value>, at: Revision, by: &ApplyRight) {
        if self.reactions_max == 0 || !key.table.is_reaction() {
            return;
        }
        let generations = self.read();
        match value {
            Some(value) => {
                generations.newer.insert(key, value);
                generations.newer_count.fetch_add(1, Ordering::Relaxed);
            }
            None => {
                generations.newer.remove(&key);
                generations.earlier.remove(&key);
                self.older.removed(key.subject.user(), at, by);
            }
        }
        let is_full = generations.newer_count.load(Ordering::Relaxed) >= self.reactions_max;
        drop(generations);
        if is_full {
            self.begin_generation(at.next());
        }
    }

    /// The record at `key`; `None` if only the index knows.
    pub(super) fn get(&self, key: Key) -> Option<Option<Value>> {
        if self.reactions_max == 0 || !key.table.is_reaction() {
            return None;
        }
        let generations = self.read();
        let known = generations.newer.get(&key).or_else(|| generations.earlier.get(&key));
        if let Some(value) = known {
            return Some(Some(*value));
        }
        if key.reacted_post().revision() >= generations.since {
            return Some(None);
        }
        self.older.get(key, generations.since)
    }

    /// Reads the older reactions of `user` from the index, which blocks; `None` if memory has what is
    /// kept of them, or nothing is kept.
    pub(super) fn load_older(
        &self,
        user: UserIx,
        index: &Snapshot,
    ) -> Result<Option<Arc<ReaderReactions>>, storage::Error> {
        if self.reactions_max == 0 {
            return Ok(None);
        }
        let since = self.read().since;
        self.older.load(user, since, index)
    }

    fn begin_generation(&self, since: Revision) {
        let mut generations = self.generations.write().unwrap_or_else(PoisonError::into_inner);
        let Generations { newer, newer_count, newer_since, earlier, since: kept_since } =
            &mut *generations;
        *newer_count.get_mut() = 0;
        *kept_since = mem::replace(newer_since, since);
        let before = mem::replace(earlier, mem::take(newer));
        drop(generations);
        // After the lock: it may be large.
        drop(before);
    }

    fn read(&self) -> RwLockReadGuard<'_, Generations> {
        self.generations.read().unwrap_or_else(PoisonError::into_inner)
    }
}
