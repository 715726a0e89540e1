//! Small numbers for users, so that an edge costs bytes and not names.

use dashmap::DashMap;

use crate::model::UserId;

/// A user's number. Numbers are given in the order in which the log names users, without a gap, so
/// that every replay gives the same; the index stores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct UserIx(u32);

/// The numbers that were given. Numbers are only given by the applier.
#[derive(Debug, Default)]
pub(super) struct Ids {
    by_name: DashMap<UserId, UserIx>,
    names: boxcar::Vec<UserId>,
}

impl UserIx {
    /// The user with this number.
    pub(super) fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub(super) fn number(self) -> u32 {
        self.0
    }

    /// The number as a place in a dense array.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

impl Ids {
    /// The number of `user`, given now if they had none.
    pub(super) fn intern(&self, user: &UserId) -> UserIx {
        if let Some(known) = self.get(user) {
            return known;
        }
        let index = self.names.push(user.clone());
        // 2^32 users would need some hundred GiB for their names alone.
        let ix = UserIx(u32::try_from(index).unwrap_or(u32::MAX));
        self.by_name.insert(user.clone(), ix);
        ix
    }

    /// The number of `user`, if the log has named them.
    pub(super) fn get(&self, user: &UserId) -> Option<UserIx> {
        self.by_name.get(user).map(|ix| *ix)
    }

    /// The name behind a number.
    pub(super) fn name(&self, ix: UserIx) -> UserId {
        self.names[ix.index()].clone()
    }
}
