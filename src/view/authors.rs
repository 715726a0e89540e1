//! Revisions by user, rising: of what each published, or changed.
//!
//! The newest of every user stands in an array of its own. Most of a large feed's authors can be
//! told from it alone, without a lock or a look at their list.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use super::ids::UserIx;
use crate::model::Revision;

/// A rising list of revisions for every user.
#[derive(Debug, Default)]
pub(super) struct Authors {
    newest: boxcar::Vec<AtomicU64>,
    all: boxcar::Vec<RwLock<Vec<Revision>>>,
}

impl Authors {
    /// Adds `revision`, which is beyond all before it, to `user`'s list. Only the applier calls it.
    pub(super) fn push(&self, user: UserIx, revision: Revision) {
        while self.newest.count() <= user.index() {
            self.all.push(RwLock::default());
            self.newest.push(AtomicU64::new(Revision::ZERO.get()));
        }
        self.all[user.index()].write().unwrap_or_else(PoisonError::into_inner).push(revision);
        self.newest[user.index()].store(revision.get(), Ordering::Release);
    }

    /// The newest revision of `user`'s before `before`.
    pub(super) fn newest_before(&self, user: UserIx, before: Revision) -> Option<Revision> {
        let newest = self.newest(user)?;
        if newest < before {
            return Some(newest);
        }
        self.with_list(user, |list| {
            let place = list.partition_point(|&revision| revision < before);
            place.checked_sub(1).map(|place| list[place])
        })
    }

    /// The oldest revision of `user`'s after `after`.
    pub(super) fn oldest_after(&self, user: UserIx, after: Revision) -> Option<Revision> {
        if self.newest(user)? <= after {
            return None;
        }
        self.with_list(user, |list| {
            let place = list.partition_point(|&revision| revision <= after);
            list.get(place).copied()
        })
    }

    fn newest(&self, user: UserIx) -> Option<Revision> {
        let newest = self.newest.get(user.index())?.load(Ordering::Acquire);
        (newest > 0).then(|| Revision::new(newest))
    }

    fn with_list<T>(&self, user: UserIx, read: impl FnOnce(&[Revision]) -> Option<T>) -> Option<T> {
        read(&self.all.get(user.index())?.read().unwrap_or_else(PoisonError::into_inner))
    }
}
