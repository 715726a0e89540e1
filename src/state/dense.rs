//! A value for every user, in an array that grows without being copied.
//!
//! The locks never leave this file: values are read and changed inside closures, and a closure must
//! not call the same array again. The array never grows for a reader: a page that is counted may
//! not be visible yet, except to the thread that pushed it.

use std::sync::{PoisonError, RwLock};

use super::apply_right::ApplyRight;
use super::users::UserIx;

/// Users under one lock. One lock per user would take more memory than most values do.
const PAGE_USERS: usize = 64;

/// A `T` for every user, which is the default until it is changed.
#[derive(Debug)]
pub(crate) struct Dense<T> {
    pages: boxcar::Vec<RwLock<[T; PAGE_USERS]>>,
}

impl<T> Default for Dense<T> {
    fn default() -> Self {
        Self { pages: boxcar::Vec::new() }
    }
}

impl<T: Default> Dense<T> {
    /// Reads `user`'s value; `None` if there is none yet, which means the default.
    pub(crate) fn get<R>(&self, user: UserIx, read: impl FnOnce(&T) -> R) -> Option<R> {
        let page = self.pages.get(user.index() / PAGE_USERS)?;
        let page = page.read().unwrap_or_else(PoisonError::into_inner);
        Some(read(&page[user.index() % PAGE_USERS]))
    }

    /// Changes `user`'s value, which is created if there is none.
    pub(crate) fn change<R>(
        &self,
        user: UserIx,
        by: &ApplyRight,
        change: impl FnOnce(&mut T) -> R,
    ) -> R {
        self.reserve(user, by);
        let page = &self.pages[user.index() / PAGE_USERS];
        let mut page = page.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut page[user.index() % PAGE_USERS])
    }

    /// Changes `user`'s value if there is one. Takes no [`ApplyRight`]: only for changes that no
    /// result of a read depends on.
    pub(crate) fn change_existing<R>(
        &self,
        user: UserIx,
        change: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let page = self.pages.get(user.index() / PAGE_USERS)?;
        let mut page = page.write().unwrap_or_else(PoisonError::into_inner);
        Some(change(&mut page[user.index() % PAGE_USERS]))
    }

    /// Gives `user` the default value if there is none.
    pub(crate) fn reserve(&self, user: UserIx, _: &ApplyRight) {
        while self.pages.count() <= user.index() / PAGE_USERS {
            self.pages.push(RwLock::new(std::array::from_fn(|_| T::default())));
        }
    }
}
