//! Which post a request id made, for as long as that is remembered.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;

use crate::model::{RequestId, Revision, Timestamp, UserId};

/// An author and a request id, as 128 bits under keys of this process. Whoever finds a revision by
/// it must compare the event there: the bits are no proof, though two that meet by chance are not
/// to be expected in the life of the universe.
type Key = (u64, u64);

/// The posts of the request ids used lately. The age is that of the log's own time, so a replay
/// remembers and forgets exactly as before.
#[derive(Debug)]
pub(super) struct Requests {
    kept: Duration,
    hashers: (RandomState, RandomState),
    revisions: DashMap<Key, Revision>,
    by_age: Mutex<VecDeque<(Timestamp, Key)>>,
}

impl Requests {
    pub(super) fn new(kept: Duration) -> Self {
        Self {
            kept,
            hashers: (RandomState::new(), RandomState::new()),
            revisions: DashMap::new(),
            by_age: Mutex::default(),
        }
    }

    /// Remembers that `author` made `revision` with `request_id`, and forgets what is too old at
    /// `now`. Only the applier calls it.
    pub(super) fn insert(
        &self,
        author: &UserId,
        request_id: &RequestId,
        revision: Revision,
        now: Timestamp,
    ) {
        let key = self.key(author, request_id);
        self.revisions.insert(key, revision);

        let mut by_age = self.by_age.lock().unwrap_or_else(PoisonError::into_inner);
        by_age.push_back((now, key));
        while let Some(&(time, old)) = by_age.front()
            && time.is_older_than(self.kept, now)
        {
            by_age.pop_front();
            self.revisions.remove(&old);
        }
    }

    pub(super) fn get(&self, author: &UserId, request_id: &RequestId) -> Option<Revision> {
        self.revisions.get(&self.key(author, request_id)).map(|revision| *revision)
    }

    fn key(&self, author: &UserId, request_id: &RequestId) -> Key {
        let (first, second) = &self.hashers;
        (first.hash_one((author, request_id)), second.hash_one((author, request_id)))
    }
}
