//! A set of revisions, in one bit for each up to the greatest. Never shrinks.

use super::Revision;

/// A set of revisions.
#[derive(Debug, Default)]
pub struct RevisionSet(Vec<u64>);

impl RevisionSet {
    /// Adds `revision`.
    pub fn insert(&mut self, revision: Revision) {
        let (word, bit) = Self::place(revision);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit;
    }

    /// Whether `revision` was added.
    #[must_use]
    pub fn has(&self, revision: Revision) -> bool {
        let (word, bit) = Self::place(revision);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    fn place(revision: Revision) -> (usize, u64) {
        let bits = u64::from(u64::BITS);
        ((revision.get() / bits) as usize, 1 << (revision.get() % bits))
    }
}
