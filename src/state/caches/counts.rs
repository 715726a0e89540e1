//! Whether counts that were read are still the counts of their post. Never has counts of its own: they
//! are kept with the [cached post](super::posts).
//!
//! Kept counts are valid while no counts of their post's stripe have changed since before they were
//! read. So a change costs one addition, and does not need to find the counts that it invalidates.
//!
//! ```text
//!   reader:   generation ──▶ read the record ──▶ keep (counts, generation) with the post
//!   applier:  put the record ──▶ invalidate: generation + 1
//!   get:      the kept generation = the stripe's?  yes ──▶ counts     no ──▶ none
//! ```

use std::sync::atomic::{AtomicU64, Ordering};

use crate::state::apply_right::ApplyRight;
use crate::state::records::record::{PostCounts, Subject};

/// Posts share stripes. With this many, of 128 KiB in total, and a thousand changes a second, the
/// counts of a post that does not change stay valid for about 16 seconds.
const STRIPES: usize = 1 << 14;

/// For each stripe the number of changes of its posts' counts.
#[derive(Debug)]
pub(super) struct CountGenerations(Box<[AtomicU64]>);

/// The number of changes in a stripe before a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(u64);

/// The counts of a post, with all users included, as they were at a generation.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeptCounts {
    counts: PostCounts,
    generation: Generation,
}

impl Default for CountGenerations {
    fn default() -> Self {
        Self((0..STRIPES).map(|_| AtomicU64::new(0)).collect())
    }
}

impl CountGenerations {
    /// Makes kept counts of `post` invalid. To be called after the record is changed, and before
    /// the watermark reaches that change.
    pub(super) fn invalidate(&self, post: Subject, _: &ApplyRight) {
        self.stripe(post).fetch_add(1, Ordering::SeqCst);
    }

    /// To be read before the counts of `post` are.
    pub(super) fn now(&self, post: Subject) -> Generation {
        Generation(self.stripe(post).load(Ordering::SeqCst))
    }

    /// To be kept: the counts of `post`, which were read after `generation`.
    pub(super) fn keep(
        &self,
        post: Subject,
        counts: PostCounts,
        generation: Generation,
    ) -> KeptCounts {
        debug_assert!(generation <= self.now(post), "the generation is of another stripe");
        KeptCounts { counts, generation }
    }

    /// The kept counts of `post`, if they are valid.
    pub(super) fn valid(&self, post: Subject, kept: KeptCounts) -> Option<PostCounts> {
        (kept.generation == self.now(post)).then_some(kept.counts)
    }

    fn stripe(&self, post: Subject) -> &AtomicU64 {
        &self.0[post.number() as usize % STRIPES]
    }
}
