//! Small numbers for users, so that an edge costs bytes and not names.

use dashmap::DashMap;

use super::apply_right::ApplyRight;
use crate::model::UserId;

/// A user's number. Numbers are given in the order in which the log names users, without a gap, so
/// that every replay gives the same; the index stores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct UserIx(u32);

/// The numbers that were given.
#[derive(Debug, Default)]
pub(crate) struct Users {
    by_name: DashMap<UserId, UserIx>,
    names: boxcar::Vec<UserId>,
}

impl UserIx {
    /// Most users that there can be.
    pub(crate) const COUNT_MAX: usize = u32::MAX as usize;

    /// The user with this number.
    pub(crate) fn new(number: u32) -> Self {
        Self(number)
    }

    /// The user at this place of a dense array.
    ///
    /// # Panics
    /// No user can be there.
    pub(crate) fn at(index: usize) -> Self {
        match u32::try_from(index) {
            Ok(number) if index < Self::COUNT_MAX => Self(number),
            _ => panic!("there is no user number {index}: the most is {}", Self::COUNT_MAX - 1),
        }
    }

    /// The number.
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// The number as a place in a dense array.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

impl Users {
    /// The number of `user`, given now if they had none.
    ///
    /// # Panics
    /// There are [`UserIx::COUNT_MAX`] users already. ChangeTimelines that could lead there are refused.
    pub(crate) fn intern(&self, user: &UserId, _: &ApplyRight) -> UserIx {
        if let Some(known) = self.get(user) {
            return known;
        }
        let index = self.names.push(user.clone());
        let ix = UserIx::at(index);
        self.by_name.insert(user.clone(), ix);
        ix
    }

    /// The number of `user`, if the log has named them.
    pub(crate) fn get(&self, user: &UserId) -> Option<UserIx> {
        self.by_name.get(user).map(|ix| *ix)
    }

    /// How many users there are.
    pub(crate) fn len(&self) -> usize {
        self.names.count()
    }

    /// The name behind a number.
    pub(crate) fn name(&self, ix: UserIx) -> UserId {
        self.names[ix.index()].clone()
    }
}
