//! What goes into the index's tables, and what comes out of them: plain numbers.

use std::collections::BTreeMap;

use super::TimelineKind;
use crate::model::{LogTime, Mark, Revision, UserId};

/// A follow, by the numbers of the two users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredEdge {
    /// Who follows.
    pub follower: u32,
    /// Who is followed.
    pub followee: u32,
    /// The revision at which it began.
    pub since: Revision,
}

/// The use of a request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRequest {
    /// The post that it made.
    pub revision: Revision,
    /// The hash of its author and its id, under the index's key.
    pub hash: u128,
    /// When, in the log's own time.
    pub time: LogTime,
}

/// A record: its table, what it is about, and its place there.
pub type StoredKey = (u8, u64, u64);

/// Where those who read the index keep a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residency {
    /// Nowhere: it is read when it is asked for.
    OnDisk,
    /// In memory: it is loaded at the start.
    InMemory,
}

/// What a view is loaded from.
#[derive(Debug, Default)]
pub struct IndexContents {
    /// The position that all of it shows.
    pub complete_until: Revision,
    /// The names of all users; a user's number is the place here.
    pub users: Vec<UserId>,
    /// All edges, by follower and then by followee. In pieces that each have all of their
    /// followers', so that their memory can be used anew as they are taken.
    pub edges: Vec<Vec<StoredEdge>>,
    /// Each author's number and newest mark.
    pub newest: Vec<(u32, Mark)>,
    /// The request ids that are remembered, oldest first.
    pub requests: Vec<StoredRequest>,
    /// The records that are kept in memory.
    pub records: Vec<(StoredKey, u128)>,
}

/// What some consecutive events change in the tables.
#[derive(Debug)]
pub struct IndexRows {
    /// The number of the first new user.
    pub(super) users_from: u32,
    pub(super) users: Vec<UserId>,
    /// By follower and followee: since when, or `None` where the edge ended.
    pub(super) edges: BTreeMap<(u32, u32), Option<Revision>>,
    /// Author and mark. Sorted once they are written.
    pub(super) posts: Vec<(u32, Mark)>,
    /// User and mark. Sorted once they are written.
    pub(super) changes: Vec<(u32, Mark)>,
    pub(super) records: BTreeMap<StoredKey, Option<u128>>,
    pub(super) resident: BTreeMap<StoredKey, Option<u128>>,
    pub(super) requests: Vec<StoredRequest>,
}

impl IndexRows {
    pub(super) fn new(users_from: u32) -> Self {
        Self {
            users_from,
            users: Vec::new(),
            edges: BTreeMap::new(),
            posts: Vec::new(),
            changes: Vec::new(),
            records: BTreeMap::new(),
            resident: BTreeMap::new(),
            requests: Vec::new(),
        }
    }

    /// The number that the next new user must have: numbers are given without a gap.
    ///
    /// # Panics
    /// No number is left.
    #[must_use]
    pub fn next_user(&self) -> u32 {
        let next = u32::try_from(self.users.len()).ok();
        match next.and_then(|users| self.users_from.checked_add(users)) {
            Some(next) => next,
            None => panic!("no number is left for another user"),
        }
    }

    /// Adds the user with the number [`IndexRows::next_user`].
    pub fn push_user(&mut self, name: UserId) {
        self.users.push(name);
    }

    /// `follower` has followed `followee` since `since`, or does no longer.
    pub fn set_edge(&mut self, follower: u32, followee: u32, since: Option<Revision>) {
        self.edges.insert((follower, followee), since);
    }

    /// What was said of an edge here: since when it is, or that it is no longer.
    #[must_use]
    pub fn edge(&self, follower: u32, followee: u32) -> Option<Option<Revision>> {
        self.edges.get(&(follower, followee)).copied()
    }

    /// Adds `mark` to one of `user`'s lists.
    pub fn push_mark(&mut self, history: TimelineKind, user: u32, mark: Mark) {
        match history {
            TimelineKind::Posts => self.posts.push((user, mark)),
            TimelineKind::Changes => self.changes.push((user, mark)),
        }
    }

    /// Makes something a record, or none.
    pub fn put_record(&mut self, key: StoredKey, value: Option<u128>, keep: Residency) {
        match keep {
            Residency::OnDisk => self.records.insert(key, value),
            Residency::InMemory => self.resident.insert(key, value),
        };
    }

    /// What was said of a record here.
    #[must_use]
    pub fn record(&self, key: StoredKey, keep: Residency) -> Option<Option<u128>> {
        self.records(keep).get(&key).copied()
    }

    /// What was said here of the records of a table about a subject.
    pub fn records_of(
        &self,
        (table, subject): (u8, u64),
        keep: Residency,
    ) -> impl Iterator<Item = (StoredKey, Option<u128>)> {
        let all = (table, subject, 0)..=(table, subject, u64::MAX);
        self.records(keep).range(all).map(|(&key, &value)| (key, value))
    }

    /// The records that something was said of.
    pub fn record_keys(&self) -> impl Iterator<Item = StoredKey> {
        self.records.keys().copied()
    }

    fn records(&self, keep: Residency) -> &BTreeMap<StoredKey, Option<u128>> {
        match keep {
            Residency::OnDisk => &self.records,
            Residency::InMemory => &self.resident,
        }
    }

    /// A request id was used.
    pub fn push_request(&mut self, request: StoredRequest) {
        self.requests.push(request);
    }

    /// Those who published, each once. Only for rows that were written.
    pub fn authors(&self) -> impl Iterator<Item = u32> {
        each_once(&self.posts)
    }

    /// Those who changed whom they follow, each once. Only for rows that were written.
    pub fn changers(&self) -> impl Iterator<Item = u32> {
        each_once(&self.changes)
    }
}

fn each_once(sorted: &[(u32, Mark)]) -> impl Iterator<Item = u32> {
    debug_assert!(sorted.is_sorted(), "these rows are not written yet");
    sorted.chunk_by(|a, b| a.0 == b.0).map(|of_one| of_one[0].0)
}
