//! When every user changed whom they follow: what the index does not have yet.
//!
//! Only a stream that reads what it missed asks for these, so nothing is kept that the index has.

use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;

use super::authors::Found;
use super::ids::UserIx;
use crate::model::Revision;

/// A rising list of revisions for every user who has some that the index lacks.
#[derive(Debug, Default)]
pub(super) struct Changes {
    lists: DashMap<UserIx, Vec<u64>>,
    /// Up to here the index has all; the lists have all after it.
    indexed_until: AtomicU64,
    /// What was there when the view was loaded.
    loaded_until: AtomicU64,
}

impl Changes {
    /// The view is loaded from an index that is complete until `complete_until`.
    pub(super) fn load(&self, complete_until: Revision) {
        self.loaded_until.store(complete_until.get(), Ordering::SeqCst);
        self.indexed(complete_until);
    }

    /// The graph knows of every change after this one when it was made.
    pub(super) fn loaded_until(&self) -> Revision {
        Revision::new(self.loaded_until.load(Ordering::SeqCst))
    }

    /// The index is complete until `complete_until`.
    pub(super) fn indexed(&self, complete_until: Revision) {
        self.indexed_until.store(complete_until.get(), Ordering::SeqCst);
    }

    /// Adds `revision`, which is beyond all before it, to `user`'s list. Only the applier calls it.
    pub(super) fn push(&self, user: UserIx, revision: Revision) {
        self.lists.entry(user).or_default().push(revision.get());
    }

    /// Drops from `user`'s list what the index has, after [`Changes::indexed`] was told of it.
    pub(super) fn trim(&self, user: UserIx, complete_until: Revision) {
        self.lists.remove_if_mut(&user, |_, list| {
            list.drain(..list.partition_point(|&revision| revision <= complete_until.get()));
            list.shrink_to_fit();
            list.is_empty()
        });
    }

    /// Gives back the memory of lists that are gone, as after a long replay.
    pub(super) fn shrink(&self) {
        if self.lists.capacity() > 8 * (self.lists.len() + 1_024) {
            self.lists.shrink_to_fit();
        }
    }

    /// The oldest revision of `user`'s after `after` that memory has, and whether the index has to
    /// be asked for an older one first.
    pub(super) fn oldest_after(&self, user: UserIx, after: Revision) -> (Option<Revision>, Found) {
        let here = self.lists.get(&user).and_then(|list| {
            let place = list.partition_point(|&revision| revision <= after.get());
            list.get(place).map(|&revision| Revision::new(revision))
        });
        // Read after the list: what was missing there by then is at or below it.
        let indexed_until = Revision::new(self.indexed_until.load(Ordering::SeqCst));
        let found =
            if after < indexed_until { Found::InIndex(indexed_until) } else { Found::Here(here) };
        (here, found)
    }
}
