//! Which post a request id made, for as long as that is remembered.

use std::collections::VecDeque;
use std::hash::Hasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use dashmap::DashMap;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::apply_right::ApplyRight;
use crate::model::{LogTime, RequestId, Revision, UserId};
use crate::storage::StoredRequest;

/// The posts of the request ids used lately. The age is counted in the log's own time: so a replay
/// remembers and forgets exactly as before, and no clock that is set wrong, or right, forgets early.
///
/// An author and a request id are 128 bits under a secret key. Whoever finds a revision by them
/// must compare the event there: the bits are no proof, though two that meet by chance are not to
/// be expected in the life of the universe.
#[derive(Debug)]
pub(crate) struct RequestIds {
    kept: Duration,
    hash_key: [u64; 2],
    /// Those that the state was loaded with, by hash: there can be millions, and an array takes a
    /// third of what a map takes, in memory and in time.
    loaded: RwLock<Vec<StoredRequest>>,
    /// Those since.
    recent: DashMap<u128, (Revision, LogTime)>,
    by_age: Mutex<VecDeque<(LogTime, u128)>>,
    /// The time of the newest. What is too old by then is forgotten.
    now: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(kept: Duration, hash_key: [u64; 2]) -> Self {
        Self {
            kept,
            hash_key,
            loaded: RwLock::default(),
            recent: DashMap::new(),
            by_age: Mutex::default(),
            now: AtomicU64::new(0),
        }
    }

    /// Remembers `requests`, oldest first, before any other.
    pub(crate) fn load(&mut self, mut requests: Vec<StoredRequest>) {
        let newest = requests.last().map_or(0, |newest| newest.time.as_nanos());
        self.now.store(newest, Ordering::SeqCst);
        requests.shrink_to_fit();
        requests.sort_unstable_by_key(|request| (request.hash, request.revision));
        *self.loaded.get_mut().unwrap_or_else(PoisonError::into_inner) = requests;
    }

    /// Remembers `request`, and forgets what is too old at its time.
    pub(crate) fn insert(&self, request: &StoredRequest, _: &ApplyRight) {
        self.recent.insert(request.hash, (request.revision, request.time));
        self.now.store(request.time.as_nanos(), Ordering::SeqCst);

        let mut by_age = self.by_age.lock().unwrap_or_else(PoisonError::into_inner);
        by_age.push_back((request.time, request.hash));
        while let Some(&(time, old)) = by_age.front()
            && self.is_forgotten(time)
        {
            by_age.pop_front();
            // The id may have been used anew since.
            self.recent.remove_if(&old, |_, (_, used)| *used == time);
            // All that were loaded are older still.
            *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Vec::new();
        }
    }

    pub(crate) fn get(&self, author: &UserId, request_id: &RequestId) -> Option<Revision> {
        let hash = self.hash(author, request_id);
        let recent = self.recent.get(&hash).map(|found| *found);
        let (revision, time) = recent.or_else(|| self.get_loaded(hash))?;
        (!self.is_forgotten(time)).then_some(revision)
    }

    fn get_loaded(&self, hash: u128) -> Option<(Revision, LogTime)> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let after = loaded.partition_point(|request| request.hash <= hash);
        let found = loaded[..after].last().filter(|request| request.hash == hash)?;
        Some((found.revision, found.time))
    }

    fn is_forgotten(&self, time: LogTime) -> bool {
        time.is_older_than(self.kept, LogTime::from_nanos(self.now.load(Ordering::SeqCst)))
    }

    /// The use of `request_id` by `author` for `revision`.
    pub(crate) fn request(
        &self,
        author: &UserId,
        request_id: &RequestId,
        revision: Revision,
        time: LogTime,
    ) -> StoredRequest {
        StoredRequest { revision, hash: self.hash(author, request_id), time }
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
