//! A value for every user, in an array that grows without being copied.
//!
//! The only owner of its locks: values are looked at and changed inside closures, which must not
//! come back here. It never grows for a reader: that what was counted is there does not mean that it
//! can be looked at yet, but to whoever put it there.

use std::sync::{PoisonError, RwLock};

use super::apply_right::ApplyRight;
use super::users::UserIx;

/// Users under one lock. A lock a user would cost more than most of what it guards.
const PAGE_USERS: usize = 64;

/// A `T` for every user; a user who was not looked at has the default one.
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
    /// Whether nobody has a value.
    pub(crate) fn is_empty(&self) -> bool {
        self.pages.count() == 0
    }

    /// Looks at `user`'s value; `None` if there is none yet, which is as good as the default.
    pub(crate) fn get<R>(&self, user: UserIx, look: impl FnOnce(&T) -> R) -> Option<R> {
        let page = self.pages.get(user.index() / PAGE_USERS)?;
        let page = page.read().unwrap_or_else(PoisonError::into_inner);
        Some(look(&page[user.index() % PAGE_USERS]))
    }

    /// ChangeTimelines `user`'s value, which may be a new one.
    pub(crate) fn change<R>(
        &self,
        user: UserIx,
        by: &ApplyRight,
        change: impl FnOnce(&mut T) -> R,
    ) -> R {
        self.make_room(user, by);
        let page = &self.pages[user.index() / PAGE_USERS];
        let mut page = page.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut page[user.index() % PAGE_USERS])
    }

    /// ChangeTimelines `user`'s value, if there is one: for those who do not change what the state says.
    pub(crate) fn change_if_there<R>(
        &self,
        user: UserIx,
        change: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let page = self.pages.get(user.index() / PAGE_USERS)?;
        let mut page = page.write().unwrap_or_else(PoisonError::into_inner);
        Some(change(&mut page[user.index() % PAGE_USERS]))
    }

    /// Gives `user` a value, if they have none.
    pub(crate) fn make_room(&self, user: UserIx, _: &ApplyRight) {
        while self.pages.count() <= user.index() / PAGE_USERS {
            self.pages.push(RwLock::new(std::array::from_fn(|_| T::default())));
        }
    }
}
