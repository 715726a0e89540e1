//! How often posts were liked, and so on, at hand for those that are read over and over: a cache
//! of what the facts say, and never of what they said.
//!
//! An entry is good as long as no post of its stripe was changed since before it was read. So a
//! change costs one addition, and nobody has to know whose entries it ends.

use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;

use crate::state::apply_right::ApplyRight;
use crate::state::records::record::{PostCounts, Subject};

/// PostCache share stripes: with this many, of 128 KiB, a thousand changes a second end an entry of
/// another post every sixteen.
const STRIPES: usize = 1 << 14;

/// Counts of posts.
#[derive(Debug)]
pub(crate) struct CountCache {
    cache: Cache<Subject, CachedCounts>,
    /// How often the counts of a stripe's posts were changed.
    generations: Box<[AtomicU64]>,
}

/// A moment in the life of a stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// `post` is new: nobody can have liked it.
    pub(crate) fn begin(&self, post: impl Into<Subject>, _: &ApplyRight) {
        let post = post.into();
        self.keep(post, PostCounts::default(), self.generation(post));
    }

    /// The counts of `post` have been changed. To be called before anybody learns that the state has come so
    /// far.
    pub(crate) fn changed(&self, post: Subject, _: &ApplyRight) {
        self.stripe(post).fetch_add(1, Ordering::SeqCst);
    }

    /// To be asked for before the counts of `post` are read.
    pub(crate) fn generation(&self, post: Subject) -> Generation {
        Generation(self.stripe(post).load(Ordering::SeqCst))
    }

    /// Keeps what was read of `post` after `generation` was asked for.
    pub(crate) fn keep(&self, post: Subject, counts: PostCounts, generation: Generation) {
        self.cache.insert(post, CachedCounts { counts, generation });
    }

    /// The counts of `post`, if they are at hand.
    pub(crate) fn get(&self, post: Subject) -> Option<PostCounts> {
        let tally = self.cache.get(&post)?;
        (tally.generation == self.generation(post)).then_some(tally.counts)
    }

    fn stripe(&self, post: Subject) -> &AtomicU64 {
        &self.generations[post.number() as usize % STRIPES]
    }
}
