//! A cache of the counts of posts that are read often. It never returns outdated counts.
//!
//! An entry is valid while no counts of its stripe have changed since before it was read. So a
//! change costs one addition, and does not need to find the entries that it invalidates.
//!
//! ```text
//!   reader:   generation ──▶ read the records ──▶ insert(counts, generation)
//!   applier:  put the record ──▶ invalidate: generation + 1
//!   get:      the entry's generation = the stripe's?  yes ──▶ counts     no ──▶ none
//! ```

use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;

use crate::state::apply_right::ApplyRight;
use crate::state::records::record::{PostCounts, Subject};

/// Posts share stripes. With this many, of 128 KiB in total, and a thousand changes a second, the
/// entry of a post that does not change stays valid for about 16 seconds.
const STRIPES: usize = 1 << 14;

/// The counts of posts, with all users included.
#[derive(Debug)]
pub(crate) struct CountCache {
    cache: Cache<Subject, CachedCounts>,
    /// For each stripe the number of changes of its posts' counts.
    generations: Box<[AtomicU64]>,
}

/// The number of changes in a stripe before a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(u64);

#[derive(Clone, Copy, Debug)]
struct CachedCounts {
    counts: PostCounts,
    generation: Generation,
}

impl CountCache {
    pub(crate) fn new(posts_max: usize) -> Self {
        let generations = (0..STRIPES).map(|_| AtomicU64::new(0)).collect();
        Self { cache: Cache::new(posts_max), generations }
    }

    /// Inserts the counts of a new post, which are all 0.
    pub(crate) fn insert_new(&self, post: impl Into<Subject>, _: &ApplyRight) {
        let post = post.into();
        self.insert(post, PostCounts::default(), self.generation(post));
    }

    /// Invalidates the counts of `post`. To be called after the record is changed, and before the
    /// watermark reaches that change.
    pub(crate) fn invalidate(&self, post: Subject, _: &ApplyRight) {
        self.stripe(post).fetch_add(1, Ordering::SeqCst);
    }

    /// To be read before the counts of `post` are, for [`CountCache::insert`].
    pub(crate) fn generation(&self, post: Subject) -> Generation {
        Generation(self.stripe(post).load(Ordering::SeqCst))
    }

    /// Inserts the counts of `post`, which were read after `generation`.
    pub(crate) fn insert(&self, post: Subject, counts: PostCounts, generation: Generation) {
        debug_assert!(generation <= self.generation(post), "the generation is of another stripe");
        self.cache.insert(post, CachedCounts { counts, generation });
    }

    /// The counts of `post`, if they are cached and valid.
    pub(crate) fn get(&self, post: Subject) -> Option<PostCounts> {
        let cached = self.cache.get(&post)?;
        (cached.generation == self.generation(post)).then_some(cached.counts)
    }

    fn stripe(&self, post: Subject) -> &AtomicU64 {
        &self.generations[post.number() as usize % STRIPES]
    }
}
