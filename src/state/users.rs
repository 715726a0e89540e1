//! User numbers, so that an edge takes a few bytes and not two names. A number is never changed and
//! never used again.

use dashmap::DashMap;

use super::apply_right::ApplyRight;
use crate::model::UserId;

/// A user's number. Numbers are assigned in the order in which users first occur in the log,
/// without gaps, so that every replay assigns the same. The index stores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct UserIx(u32);

/// All users, by name and by number.
#[derive(Debug, Default)]
pub(crate) struct Users {
    by_name: DashMap<UserId, UserIx>,
    names: boxcar::Vec<UserId>,
}

impl UserIx {
    /// The maximum number of users.
    pub(crate) const COUNT_MAX: usize = u32::MAX as usize;

    pub(crate) fn new(number: u32) -> Self {
        Self(number)
    }

    /// The user at this index of an array with one element per user.
    ///
    /// # Panics
    /// The index is [`UserIx::COUNT_MAX`] or more.
    pub(crate) fn at(index: usize) -> Self {
        match u32::try_from(index) {
            Ok(number) if index < Self::COUNT_MAX => Self(number),
            _ => panic!("{index} is not a user number: the maximum is {}", Self::COUNT_MAX - 1),
        }
    }

    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// The user's index in an array with one element per user.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

impl Users {
    /// No users, with capacity for `count`.
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self { by_name: DashMap::with_capacity(count), names: boxcar::Vec::with_capacity(count) }
    }

    /// Loads the users with the next numbers, in the order of their numbers.
    ///
    /// # Panics
    /// There are more than [`UserIx::COUNT_MAX`].
    pub(crate) fn load(&self, names: Vec<UserId>, _: &ApplyRight) {
        for name in names {
            let index = self.names.push(name.clone());
            self.by_name.insert(name, UserIx::at(index));
        }
    }

    /// The number of `user`, which is assigned now if there is none.
    ///
    /// # Panics
    /// There are [`UserIx::COUNT_MAX`] users already. The engine refuses changes before that.
    pub(crate) fn intern(&self, user: &UserId, _: &ApplyRight) -> UserIx {
        if let Some(known) = self.get(user) {
            return known;
        }
        let index = self.names.push(user.clone());
        let ix = UserIx::at(index);
        self.by_name.insert(user.clone(), ix);
        ix
    }

    /// The number of `user`; `None` if they do not occur in the log.
    pub(crate) fn get(&self, user: &UserId) -> Option<UserIx> {
        self.by_name.get(user).map(|ix| *ix)
    }

    /// The number of users.
    pub(crate) fn len(&self) -> usize {
        self.names.count()
    }

    /// The name of the user with this number.
    pub(crate) fn name(&self, ix: UserIx) -> UserId {
        self.names[ix.index()].clone()
    }
}
