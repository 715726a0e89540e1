//! Rows of the index, as plain numbers: those that a write adds, and those that a start loads.
//! Never touches a file.

use std::collections::BTreeMap;

use super::TimelineKind;
use crate::model::{LogTime, Mark, Revision, UserId};

/// A follow. Users are their numbers in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredEdge {
    /// The user who follows.
    pub follower: u32,
    /// The user who is followed.
    pub followee: u32,
    /// The revision of the follow.
    pub since: Revision,
}

/// A request id that was used for a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRequest {
    /// The revision of the post.
    pub revision: Revision,
    /// The hash of the author and the request id, under
    /// [`Index::hash_key`](super::Index::hash_key).
    pub hash: u128,
    /// The log's own time of the post.
    pub time: LogTime,
}

/// The key of a record: its table, its subject, and its position in the subject's list.
pub type StoredKey = (u8, u64, u64);

/// Where the records of a table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residency {
    /// In the index only: each read goes there.
    OnDisk,
    /// In the state's memory too: a start loads all of them.
    InMemory,
}

/// Rows that the state loads at a start: a piece of one table. The pieces come in the order of the
/// variants. Users are numbers below that of the names.
#[derive(Debug)]
pub enum LoadedRows {
    /// Names of users. A user's number is the position in the list of all names.
    Users(Vec<UserId>),
    /// Follows, sorted by follower and followee. No follower's edges are in two pieces.
    Edges(Vec<StoredEdge>),
    /// The numbers of authors, and each author's newest mark.
    Newest(Vec<(u32, Mark)>),
    /// The request ids that are remembered, oldest first.
    Requests(Vec<StoredRequest>),
    /// The records of [`Residency::InMemory`].
    Records(Vec<(StoredKey, u128)>),
}

/// The changes of the tables by consecutive events.
#[derive(Debug)]
pub struct IndexRows {
    /// The number of the first new user.
    pub(super) users_from: u32,
    pub(super) users: Vec<UserId>,
    /// (follower, followee) → the revision of the follow, or `None` for an unfollow.
    pub(super) edges: BTreeMap<(u32, u32), Option<Revision>>,
    /// Author and mark. [`Index::write`](super::Index::write) sorts them.
    pub(super) posts: Vec<(u32, Mark)>,
    /// User and mark. [`Index::write`](super::Index::write) sorts them.
    pub(super) changes: Vec<(u32, Mark)>,
    /// Records of [`Residency::OnDisk`]; `None` for one that was removed.
    pub(super) records: BTreeMap<StoredKey, Option<u128>>,
    /// Records of [`Residency::InMemory`]; `None` for one that was removed.
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

    /// The memory that the rows take, as an estimate: names and request ids are few in
    /// comparison.
    #[must_use]
    pub fn bytes(&self) -> usize {
        // Nodes of these trees are two thirds full.
        let edges = self.edges.len() * size_of::<((u32, u32), Option<Revision>)>() * 3 / 2;
        let records = self.records.len() + self.resident.len();
        let records = records * size_of::<(StoredKey, Option<u128>)>() * 3 / 2;
        let marks = (self.posts.capacity() + self.changes.capacity()) * size_of::<(u32, Mark)>();
        edges + records + marks
    }

    /// The number of the next new user. Numbers have no gaps.
    ///
    /// # Panics
    /// All numbers of 32 bits are in use.
    #[must_use]
    pub fn next_user(&self) -> u32 {
        let next = u32::try_from(self.users.len()).ok();
        match next.and_then(|users| self.users_from.checked_add(users)) {
            Some(next) => next,
            None => panic!("all numbers of users are in use"),
        }
    }

    /// Adds a user, who gets the number [`IndexRows::next_user`].
    pub fn push_user(&mut self, name: UserId) {
        self.users.push(name);
    }

    /// Sets the revision since which `follower` follows `followee`; `None` ends the follow.
    pub fn set_edge(&mut self, follower: u32, followee: u32, since: Option<Revision>) {
        self.edges.insert((follower, followee), since);
    }

    /// The last [`IndexRows::set_edge`] of an edge; `None` if there was none.
    #[must_use]
    pub fn edge(&self, follower: u32, followee: u32) -> Option<Option<Revision>> {
        self.edges.get(&(follower, followee)).copied()
    }

    /// Adds `mark` to one of `user`'s lists.
    pub fn push_mark(&mut self, kind: TimelineKind, user: u32, mark: Mark) {
        match kind {
            TimelineKind::Posts => self.posts.push((user, mark)),
            TimelineKind::Changes => self.changes.push((user, mark)),
        }
    }

    /// Sets the record at `key`, or removes it.
    pub fn put_record(&mut self, key: StoredKey, value: Option<u128>, residency: Residency) {
        match residency {
            Residency::OnDisk => self.records.insert(key, value),
            Residency::InMemory => self.resident.insert(key, value),
        };
    }

    /// The last [`IndexRows::put_record`] at `key`; `None` if there was none.
    #[must_use]
    pub fn record(&self, key: StoredKey, residency: Residency) -> Option<Option<u128>> {
        self.records(residency).get(&key).copied()
    }

    /// Every [`IndexRows::put_record`] of the list of a table and a subject, by position.
    pub fn records_of(
        &self,
        (table, subject): (u8, u64),
        residency: Residency,
    ) -> impl Iterator<Item = (StoredKey, Option<u128>)> {
        let all = (table, subject, 0)..=(table, subject, u64::MAX);
        self.records(residency).range(all).map(|(&key, &value)| (key, value))
    }

    /// The keys of all records of [`Residency::OnDisk`] that were set or removed.
    pub fn record_keys(&self) -> impl Iterator<Item = StoredKey> {
        self.records.keys().copied()
    }

    fn records(&self, residency: Residency) -> &BTreeMap<StoredKey, Option<u128>> {
        match residency {
            Residency::OnDisk => &self.records,
            Residency::InMemory => &self.resident,
        }
    }

    /// Adds the request id of a post.
    pub fn push_request(&mut self, request: StoredRequest) {
        self.requests.push(request);
    }

    /// The users with new marks in [`TimelineKind::Posts`], each once. Only after the rows were
    /// written, which sorts them.
    pub fn authors(&self) -> impl Iterator<Item = u32> {
        each_once(&self.posts)
    }

    /// The users with new marks in [`TimelineKind::Changes`], each once. Only after the rows were
    /// written, which sorts them.
    pub fn changers(&self) -> impl Iterator<Item = u32> {
        each_once(&self.changes)
    }
}

fn each_once(sorted: &[(u32, Mark)]) -> impl Iterator<Item = u32> {
    debug_assert!(sorted.is_sorted(), "the rows are not written yet");
    sorted.chunk_by(|a, b| a.0 == b.0).map(|of_one| of_one[0].0)
}
