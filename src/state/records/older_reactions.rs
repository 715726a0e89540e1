//! The likes and reposts that memory no longer keeps for all, for those who read: what a reader did
//! with the newest posts is read from the index at once, and kept until it may be out of date.
//!
//! ```text
//!   posts     ──────┬──────────────────────────▶        of a reader it has all reactions to the
//!                since                                 posts from here on, as the index had them
//! ```
//!
//! Never has a reaction that the snapshot of the index did not have: [`super::reactions`] has those.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::record::{Key, Subject, Table, Value};
use crate::model::{PostId, Revision};
use crate::state::apply_right::ApplyRight;
use crate::state::metrics::CacheUse;
use crate::state::users::UserIx;
use crate::storage::{self, Snapshot};

/// Likes, and reposts, of a reader that are read at once: more than a reader reacts to on some
/// pages, and few enough for one read.
const LOADED_MAX: usize = 256;
/// Users share stripes. With this many, of 32 KiB in total, and one removed reaction a second, what
/// is kept of a reader is read again after an hour.
const STRIPES: usize = 1 << 12;
/// The memory of a reader's entry without its reactions: the struct, two lists, the entry of the
/// cache.
const ENTRY_BYTES: usize = 160;
/// A lower bound of [`ENTRY_BYTES`] and a few reactions, to size the tables of the cache.
const ENTRY_BYTES_EXPECTED: u64 = 256;

/// The older reactions of readers.
#[derive(Debug)]
pub(super) struct OlderReactions {
    readers: Cache<UserIx, Arc<ReaderReactions>, ReactionsWeighter>,
    /// For each stripe the newest removal of a reaction by one of its users.
    removed_at: Box<[AtomicU64]>,
}

/// The reactions of one reader that a snapshot of the index had.
#[derive(Debug)]
pub(super) struct ReaderReactions {
    /// The snapshot had every event up to here.
    complete_until: Revision,
    likes: ReactionsByPost,
    reposts: ReactionsByPost,
}

/// The reactions to all posts from `since` on.
#[derive(Debug)]
struct ReactionsByPost {
    since: Revision,
    /// Each post with the revision of the reaction, in rising order.
    list: Box<[(Revision, Revision)]>,
}

#[derive(Clone, Debug)]
struct ReactionsWeighter;

impl Weighter<UserIx, Arc<ReaderReactions>> for ReactionsWeighter {
    fn weight(&self, _: &UserIx, of_reader: &Arc<ReaderReactions>) -> u64 {
        let count = of_reader.likes.list.len() + of_reader.reposts.list.len();
        (ENTRY_BYTES + count * size_of::<(Revision, Revision)>()) as u64
    }
}

impl OlderReactions {
    pub(super) fn new(bytes_max: u64) -> Self {
        let Ok(readers) = usize::try_from(bytes_max / ENTRY_BYTES_EXPECTED) else {
            unreachable!("{bytes_max} bytes are more than the limits allow")
        };
        let removed_at = (0..STRIPES).map(|_| AtomicU64::new(0)).collect();
        Self { readers: Cache::with_weighter(readers, bytes_max, ReactionsWeighter), removed_at }
    }

    /// What a scrape shows of the cache.
    pub(super) fn use_of(&self) -> CacheUse {
        let (hits, misses) = (self.readers.hits(), self.readers.misses());
        CacheUse { entries: self.readers.len(), bytes: self.readers.weight(), hits, misses }
    }

    /// To be called when a reaction of `user` is removed, after the removal is in memory.
    pub(super) fn removed(&self, user: UserIx, at: Revision, _: &ApplyRight) {
        self.stripe(user).store(at.get(), Ordering::SeqCst);
    }

    /// The reaction at `key`, if it is from before `recent_since`; `None` if that is not known.
    pub(super) fn get(&self, key: Key, recent_since: Revision) -> Option<Option<Value>> {
        self.valid(key.subject.user(), recent_since)?.get(key)
    }

    /// Reads the entry of `user` from the index, which blocks, and caches it; `None` if a valid one is
    /// cached.
    pub(super) fn load(
        &self,
        user: UserIx,
        recent_since: Revision,
        index: &Snapshot,
    ) -> Result<Option<Arc<ReaderReactions>>, storage::Error> {
        if self.valid(user, recent_since).is_some() {
            return Ok(None);
        }
        let of_reader = Arc::new(ReaderReactions {
            complete_until: index.complete_until(),
            likes: ReactionsByPost::read(Table::Like, user, index)?,
            reposts: ReactionsByPost::read(Table::Repost, user, index)?,
        });
        self.readers.insert(user, Arc::clone(&of_reader));
        Ok(Some(of_reader))
    }

    /// The entry of `user`, unless a reaction was removed after it was read, or reactions after it
    /// are no longer among the recent ones.
    fn valid(&self, user: UserIx, recent_since: Revision) -> Option<Arc<ReaderReactions>> {
        let of_reader = self.readers.get(&user)?;
        let removed_at = self.stripe(user).load(Ordering::SeqCst);
        let is_valid = of_reader.complete_until.next() >= recent_since
            && of_reader.complete_until.get() >= removed_at;
        is_valid.then_some(of_reader)
    }

    fn stripe(&self, user: UserIx) -> &AtomicU64 {
        &self.removed_at[user.index() % STRIPES]
    }
}

impl ReaderReactions {
    /// The reaction at `key`, which is of this reader; `None` if the post is older than those that were
    /// read.
    pub(super) fn get(&self, key: Key) -> Option<Option<Value>> {
        let reactions = match key.table {
            Table::Like => &self.likes,
            _ => &self.reposts,
        };
        reactions.of(key.reacted_post())
    }
}

impl ReactionsByPost {
    fn read(table: Table, user: UserIx, index: &Snapshot) -> Result<Self, storage::Error> {
        let of_user = (table as u8, Subject::from(user).number());
        let newest_first = index.records_before(of_user, u64::MAX, LOADED_MAX)?;
        // Fewer are all that there are.
        let is_cut = newest_first.len() == LOADED_MAX;
        let since = newest_first.last().filter(|_| is_cut).map_or(0, |&(post, _)| post);
        let reaction =
            |&(post, value): &_| (Revision::new(post), Value::from_number(value).revision());
        let list = newest_first.iter().rev().map(reaction).collect();
        Ok(Self { since: Revision::new(since), list })
    }

    fn of(&self, post: PostId) -> Option<Option<Value>> {
        let post = post.revision();
        let found = self.list.binary_search_by_key(&post, |&(post, _)| post);
        let found = found.ok().map(|at| Value::from(self.list[at].1));
        (post >= self.since).then_some(found)
    }
}
