//! The posts of recently used request ids. Never reads a clock: age is measured in the log's own
//! time, so a replay keeps and drops exactly the same ids, and no error of the system clock, and no
//! correction of one, drops an id too early.

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

/// The posts of recently used request ids, by a hash of the author and the id: 128 bits under a
/// secret key. A caller that finds a revision by a hash must compare the event there, because two
/// requests can have the same hash, though the probability is negligible.
#[derive(Debug)]
pub(crate) struct RequestIds {
    retention: Duration,
    hash_key: [u64; 2],
    /// The ids that the state was loaded with, sorted by hash. There can be millions, and an array
    /// takes a third of a map's memory and loading time.
    loaded: RwLock<Vec<StoredRequest>>,
    /// The ids since then.
    recent: DashMap<u128, (Revision, LogTime)>,
    by_age: Mutex<VecDeque<(LogTime, u128)>>,
    /// The time of the newest id. The age of all others is measured from it.
    now: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(retention: Duration, hash_key: [u64; 2]) -> Self {
        Self {
            retention,
            hash_key,
            loaded: RwLock::default(),
            recent: DashMap::new(),
            by_age: Mutex::default(),
            now: AtomicU64::new(0),
        }
    }

    /// Loads `requests`, oldest first. Only before the first [`RequestIds::insert`].
    pub(crate) fn load(&mut self, mut requests: Vec<StoredRequest>) {
        debug_assert!(self.recent.is_empty(), "request ids are loaded first");
        debug_assert!(requests.is_sorted_by_key(|request| request.revision), "oldest first");
        let newest = requests.last().map_or(0, |newest| newest.time.as_nanos());
        self.now.store(newest, Ordering::SeqCst);
        requests.shrink_to_fit();
        requests.sort_unstable_by_key(|request| (request.hash, request.revision));
        *self.loaded.get_mut().unwrap_or_else(PoisonError::into_inner) = requests;
    }

    /// Inserts `request`, and drops the ids that are older than the retention at its time.
    pub(crate) fn insert(&self, request: &StoredRequest, _: &ApplyRight) {
        self.recent.insert(request.hash, (request.revision, request.time));
        self.now.store(request.time.as_nanos(), Ordering::SeqCst);

        let mut by_age = self.by_age.lock().unwrap_or_else(PoisonError::into_inner);
        by_age.push_back((request.time, request.hash));
        while let Some(&(time, old)) = by_age.front()
            && self.is_expired(time)
        {
            by_age.pop_front();
            // The id may have been used again since.
            self.recent.remove_if(&old, |_, (_, used)| *used == time);
            // All loaded ids are older than this one.
            *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Vec::new();
        }
    }

    pub(crate) fn get(&self, author: &UserId, request_id: &RequestId) -> Option<Revision> {
        let hash = hash(self.hash_key, author, request_id);
        let recent = self.recent.get(&hash).map(|found| *found);
        let (revision, time) = recent.or_else(|| self.get_loaded(hash))?;
        (!self.is_expired(time)).then_some(revision)
    }

    fn get_loaded(&self, hash: u128) -> Option<(Revision, LogTime)> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let after = loaded.partition_point(|request| request.hash <= hash);
        let found = loaded[..after].last().filter(|request| request.hash == hash)?;
        Some((found.revision, found.time))
    }

    fn is_expired(&self, time: LogTime) -> bool {
        time.is_older_than(self.retention, LogTime::from_nanos(self.now.load(Ordering::SeqCst)))
    }

    /// The row of `request_id`, which `author` used for the post at `revision`.
    pub(crate) fn request(
        &self,
        author: &UserId,
        request_id: &RequestId,
        revision: Revision,
        time: LogTime,
    ) -> StoredRequest {
        StoredRequest { revision, hash: hash(self.hash_key, author, request_id), time }
    }
}

/// The hash of a request id and its author under a key. The index stores hashes, so every version of this
/// program must compute the same.
pub(crate) fn hash(hash_key: [u64; 2], author: &UserId, request_id: &RequestId) -> u128 {
    let mut hasher = SipHasher13::new_with_keys(hash_key[0], hash_key[1]);
    hasher.write(author.as_str().as_bytes());
    // Neither text contains a NUL, so different pairs give different bytes.
    hasher.write(&[0]);
    hasher.write(request_id.as_str().as_bytes());
    hasher.finish128().as_u128()
}
