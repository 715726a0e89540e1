//! The timelines of changes: for each user the events that change only their own feeds and
//! notifications, such as a block.
//!
//! Only streams that catch up read them, so memory never keeps a mark that the index has.

use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;

use super::posts::MarkLookup;
use crate::model::{Mark, Revision};
use crate::state::apply_right::ApplyRight;
use crate::state::dense::Dense;
use crate::state::users::UserIx;

/// For each user a rising list of the marks that the index lacks, if there are any.
#[derive(Debug, Default)]
pub(crate) struct ChangeTimelines {
    lists: DashMap<UserIx, Vec<Mark>>,
    /// Each user's newest change since the state was loaded.
    newest: Dense<Revision>,
    /// The index has all marks up to this revision, and the lists have all after it.
    indexed_until: AtomicU64,
    /// The revision that the state was loaded at.
    loaded_until: AtomicU64,
}

impl ChangeTimelines {
    /// To be called when the state is loaded from an index that is complete until `complete_until`.
    pub(crate) fn load(&mut self, complete_until: Revision) {
        self.loaded_until.store(complete_until.get(), Ordering::SeqCst);
        self.indexed(complete_until);
    }

    /// Whether `user` may have changes after `after`. Most users who catch up have none, so their
    /// streams read no list.
    pub(crate) fn may_have(&self, user: UserIx, after: Revision) -> bool {
        let loaded_until = Revision::new(self.loaded_until.load(Ordering::SeqCst));
        let newest = self.newest.get(user, |newest| *newest);
        after < loaded_until || newest.is_some_and(|newest| newest > after)
    }

    /// To be called when the index is complete until `complete_until`, before the lists are
    /// trimmed.
    ///
    /// # Panics
    /// The index was complete until a later revision before.
    pub(crate) fn indexed(&self, complete_until: Revision) {
        let before = self.indexed_until.swap(complete_until.get(), Ordering::SeqCst);
        assert!(before <= complete_until.get(), "the index goes back from {before}");
    }

    /// Appends `mark` to `user`'s list.
    ///
    /// # Panics
    /// The revision of `mark` is not above those of the list.
    pub(crate) fn push(&self, user: UserIx, mark: Mark, by: &ApplyRight) {
        self.newest.change(user, by, |newest| {
            assert!(*newest < mark.revision(), "{mark:?} comes after {newest}");
            *newest = mark.revision();
        });
        self.lists.entry(user).or_default().push(mark);
    }

    /// Drops from `user`'s list the marks that the index has. Only after
    /// [`ChangeTimelines::indexed`].
    pub(crate) fn trim(&self, user: UserIx, complete_until: Revision) {
        debug_assert!(complete_until.get() <= self.indexed_until.load(Ordering::SeqCst));
        self.lists.remove_if_mut(&user, |_, list| {
            list.drain(..list.partition_point(|mark| mark.revision() <= complete_until));
            list.shrink_to_fit();
            list.is_empty()
        });
    }

    /// Frees the memory of dropped lists, as after a long replay.
    pub(crate) fn shrink(&self) {
        if self.lists.capacity() > 8 * (self.lists.len() + 1_024) {
            self.lists.shrink_to_fit();
        }
    }

    /// The oldest mark of `user` after `after` in memory; and whether that is the result, or the
    /// index may have an older one.
    pub(crate) fn oldest_after(&self, user: UserIx, after: Mark) -> (Option<Mark>, MarkLookup) {
        let in_memory = self
            .lists
            .get(&user)
            .and_then(|list| list.get(list.partition_point(|&mark| mark <= after)).copied());
        // Read after the list: any mark that the list had dropped by then is not above it.
        let indexed_until = Revision::new(self.indexed_until.load(Ordering::SeqCst));
        let indexed_until = Mark::before(indexed_until.next()).previous();
        let found = if after < indexed_until {
            MarkLookup::InIndex(indexed_until)
        } else {
            MarkLookup::InMemory(in_memory)
        };
        (in_memory, found)
    }
}
