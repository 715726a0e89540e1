//! When every user changed whom they follow, hide and so on: what the index does not have yet.
//!
//! Only a stream that reads what it missed asks for these, so nothing is kept that the index has.

use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;

use super::posts::MarkLookup;
use crate::model::{Mark, Revision};
use crate::state::apply_right::ApplyRight;
use crate::state::dense::Dense;
use crate::state::users::UserIx;

/// A rising list of marks for every user who has some that the index lacks.
#[derive(Debug, Default)]
pub(crate) struct ChangeTimelines {
    lists: DashMap<UserIx, Vec<Mark>>,
    /// The newest of everybody since the state was loaded.
    newest: Dense<Revision>,
    /// Up to here the index has all; the lists have all after it.
    indexed_until: AtomicU64,
    /// What was there when the state was loaded.
    loaded_until: AtomicU64,
}

impl ChangeTimelines {
    /// The state is loaded from an index that is complete until `complete_until`.
    pub(crate) fn load(&mut self, complete_until: Revision) {
        self.loaded_until.store(complete_until.get(), Ordering::SeqCst);
        self.indexed(complete_until);
    }

    /// Whether `user` may have changed anything after `after`. Most who read what they missed have
    /// not, and need not look for it.
    pub(crate) fn may_have(&self, user: UserIx, after: Revision) -> bool {
        let loaded_until = Revision::new(self.loaded_until.load(Ordering::SeqCst));
        let newest = self.newest.get(user, |newest| *newest);
        after < loaded_until || newest.is_some_and(|newest| newest > after)
    }

    /// The index is complete until `complete_until`.
    ///
    /// # Panics
    /// It was further already.
    pub(crate) fn indexed(&self, complete_until: Revision) {
        let before = self.indexed_until.swap(complete_until.get(), Ordering::SeqCst);
        assert!(before <= complete_until.get(), "the index goes back from {before}");
    }

    /// Adds `mark`, which is beyond all before it, to `user`'s list.
    ///
    /// # Panics
    /// It is not.
    pub(crate) fn push(&self, user: UserIx, mark: Mark, by: &ApplyRight) {
        self.newest.change(user, by, |newest| {
            assert!(*newest < mark.revision(), "{mark:?} comes after {newest}");
            *newest = mark.revision();
        });
        self.lists.entry(user).or_default().push(mark);
    }

    /// Drops from `user`'s list what the index has, after [`ChangeTimelines::indexed`] was told of it.
    pub(crate) fn trim(&self, user: UserIx, complete_until: Revision) {
        self.lists.remove_if_mut(&user, |_, list| {
            list.drain(..list.partition_point(|mark| mark.revision() <= complete_until));
            list.shrink_to_fit();
            list.is_empty()
        });
    }

    /// Gives back the memory of lists that are gone, as after a long replay.
    pub(crate) fn shrink(&self) {
        if self.lists.capacity() > 8 * (self.lists.len() + 1_024) {
            self.lists.shrink_to_fit();
        }
    }

    /// The oldest of `user`'s after `after` that memory has, and whether the index has to be asked
    /// for an older one first.
    pub(crate) fn oldest_after(&self, user: UserIx, after: Mark) -> (Option<Mark>, MarkLookup) {
        let here = self
            .lists
            .get(&user)
            .and_then(|list| list.get(list.partition_point(|&mark| mark <= after)).copied());
        // Read after the list: what was missing there by then is at or below it.
        let indexed_until = Revision::new(self.indexed_until.load(Ordering::SeqCst));
        let indexed_until = Mark::before(indexed_until.next()).previous();
        let found = if after < indexed_until {
            MarkLookup::InIndex(indexed_until)
        } else {
            MarkLookup::Here(here)
        };
        (here, found)
    }
}
