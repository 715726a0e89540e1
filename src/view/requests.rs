//! Which post a request id made, for as long as that is remembered.

use std::collections::VecDeque;
use std::hash::Hasher;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::log::Request;
use crate::model::{RequestId, Revision, Timestamp, UserId};

/// The posts of the request ids used lately. The age is that of the log's own time, so a replay
/// remembers and forgets exactly as before.
///
/// An author and a request id are 128 bits under a secret key. Whoever finds a revision by them
/// must compare the event there: the bits are no proof, though two that meet by chance are not to
/// be expected in the life of the universe.
#[derive(Debug)]
pub(super) struct Requests {
    kept: Duration,
    hash_key: [u64; 2],
    revisions: DashMap<u128, Revision>,
    by_age: Mutex<VecDeque<(Timestamp, u128)>>,
}

impl Requests {
    pub(super) fn new(kept: Duration, hash_key: [u64; 2]) -> Self {
        Self { kept, hash_key, revisions: DashMap::new(), by_age: Mutex::default() }
    }

    /// Remembers `request`, and forgets what is too old at its time. Only the applier calls it.
    pub(super) fn insert(&self, request: &Request) {
        self.revisions.insert(request.hash, request.revision);

        let mut by_age = self.by_age.lock().unwrap_or_else(PoisonError::into_inner);
        by_age.push_back((request.time, request.hash));
        while let Some(&(time, old)) = by_age.front()
            && time.is_older_than(self.kept, request.time)
        {
            by_age.pop_front();
            self.revisions.remove(&old);
        }
    }

    pub(super) fn get(&self, author: &UserId, request_id: &RequestId) -> Option<Revision> {
        self.revisions.get(&self.hash(author, request_id)).map(|revision| *revision)
    }

    /// The use of `request_id` by `author` for `revision`.
    pub(super) fn request(
        &self,
        author: &UserId,
        request_id: &RequestId,
        revision: Revision,
        time: Timestamp,
    ) -> Request {
        Request { revision, hash: self.hash(author, request_id), time }
    }

    /// Stored in the index, so it must be the same in every version of this program.
    fn hash(&self, author: &UserId, request_id: &RequestId) -> u128 {
        let mut hasher = SipHasher13::new_with_keys(self.hash_key[0], self.hash_key[1]);
        hasher.write(author.as_str().as_bytes());
        // Neither text has a NUL, so no two pairs are the same bytes.
        hasher.write(&[0]);
        hasher.write(request_id.as_str().as_bytes());
        hasher.finish128().as_u128()
    }
}
