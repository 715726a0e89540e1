//! Rows of the index, as plain numbers: those that a write adds, and those that a start loads.
//! Never reads or writes a table.

use std::io;

use super::TimelineKind;
use super::files::FileRole;
use super::opener::IndexOpener;
use super::runs::SpilledMap;
use crate::model::{LogTime, Mark, Revision, UserId};
use crate::storage::error::Error;
use crate::storage::redb_file::storage;

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
    opener: IndexOpener,
    /// The tables are in memory, because no file can be written.
    is_in_memory: bool,
    /// The number of the first new user.
    pub(super) users_from: u32,
    pub(super) users: Vec<UserId>,
    /// (follower, followee) → the revision of the follow, or `None` for an unfollow.
    pub(super) edges: SpilledMap<(u32, u32), Option<u64>>,
    /// Author and mark.
    pub(super) posts: SpilledMap<(u32, u64), ()>,
    /// User and mark.
    pub(super) changes: SpilledMap<(u32, u64), ()>,
    /// Records of [`Residency::OnDisk`]; `None` for one that was removed.
    pub(super) records: SpilledMap<StoredKey, Option<u128>>,
    /// Records of [`Residency::InMemory`]; `None` for one that was removed.
    pub(super) resident: SpilledMap<StoredKey, Option<u128>>,
    pub(super) requests: Vec<StoredRequest>,
}

impl IndexRows {
    pub(super) fn new(opener: IndexOpener, is_in_memory: bool, users_from: u32) -> Self {
        Self {
            opener,
            is_in_memory,
            users_from,
            users: Vec::new(),
            edges: SpilledMap::default(),
            posts: SpilledMap::default(),
            changes: SpilledMap::default(),
            records: SpilledMap::default(),
            resident: SpilledMap::default(),
            requests: Vec::new(),
        }
    }

    /// The memory that the rows take, as an estimate: names and request ids are few in
    /// comparison.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let marks = self.posts.bytes() + self.changes.bytes();
        self.edges.bytes() + marks + self.records.bytes() + self.resident.bytes()
    }

    /// Moves most rows from memory to the disk. `false` if there is none to write to.
    ///
    /// # Errors
    /// The disk is full or failed. The rows must not be used further.
    pub fn spill(&mut self) -> Result<bool, Error> {
        if self.is_in_memory {
            return Ok(false);
        }
        if let Some(space) = &self.opener.space {
            space.check()?;
        }
        let files = &self.opener.files;
        let mut spilled = || -> io::Result<()> {
            self.edges.spill(|| files.make_spill())?;
            self.posts.spill(|| files.make_spill())?;
            self.changes.spill(|| files.make_spill())?;
            self.records.spill(|| files.make_spill())?;
            self.resident.spill(|| files.make_spill())
        };
        spilled().map_err(|error| storage(files.name(FileRole::New), error))?;
        if let Some(newest) = self.requests.last().map(|newest| newest.time) {
            let retention = self.opener.request_id_retention;
            self.requests.retain(|request| !request.time.is_older_than(retention, newest));
        }
        Ok(true)
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
        self.edges.insert((follower, followee), since.map(Revision::get));
    }

    /// The last [`IndexRows::set_edge`] of an edge; `None` if there was none.
    ///
    /// # Errors
    /// Rows on the disk cannot be read.
    pub fn edge(&self, follower: u32, followee: u32) -> Result<Option<Option<Revision>>, Error> {
        let edge = self.read(self.edges.get((follower, followee)))?;
        Ok(edge.map(|since| since.map(Revision::new)))
    }

    /// Adds `mark` to one of `user`'s lists.
    pub fn push_mark(&mut self, kind: TimelineKind, user: u32, mark: Mark) {
        match kind {
            TimelineKind::Posts => self.posts.insert((user, mark.number()), ()),
            TimelineKind::Changes => self.changes.insert((user, mark.number()), ()),
        }
    }

    /// Sets the record at `key`, or removes it.
    pub fn put_record(&mut self, key: StoredKey, value: Option<u128>, residency: Residency) {
        match residency {
            Residency::OnDisk => self.records.insert(key, value),
            Residency::InMemory => self.resident.insert(key, value),
        }
    }

    /// The last [`IndexRows::put_record`] at `key`; `None` if there was none.
    ///
    /// # Errors
    /// Rows on the disk cannot be read.
    pub fn record(
        &self,
        key: StoredKey,
        residency: Residency,
    ) -> Result<Option<Option<u128>>, Error> {
        self.read(self.records(residency).get(key))
    }

    /// Every [`IndexRows::put_record`] of the list of a table and a subject, by position.
    ///
    /// # Errors
    /// Rows on the disk cannot be read.
    pub fn records_of(
        &self,
        (table, subject): (u8, u64),
        residency: Residency,
    ) -> Result<impl Iterator<Item = (StoredKey, Option<u128>)>, Error> {
        let all = (table, subject, 0)..=(table, subject, u64::MAX);
        Ok(self.read(self.records(residency).range(all))?.into_iter())
    }

    /// The keys of all records of [`Residency::OnDisk`] that were set or removed.
    pub fn record_keys(&self) -> impl Iterator<Item = Result<StoredKey, Error>> {
        self.records.iter().map(|row| Ok(self.read(row)?.0))
    }

    fn records(&self, residency: Residency) -> &SpilledMap<StoredKey, Option<u128>> {
        match residency {
            Residency::OnDisk => &self.records,
            Residency::InMemory => &self.resident,
        }
    }

    /// Adds the request id of a post.
    pub fn push_request(&mut self, request: StoredRequest) {
        self.requests.push(request);
    }

    /// The users with new marks in one of the lists, each once.
    pub fn users_with(&self, kind: TimelineKind) -> impl Iterator<Item = Result<u32, Error>> {
        let marks = match kind {
            TimelineKind::Posts => &self.posts,
            TimelineKind::Changes => &self.changes,
        };
        let mut last = None;
        let users = marks.iter().map(|row| Ok(self.read(row)?.0.0));
        users.filter(move |user| {
            user.as_ref().map_or(true, |&user| last.replace(user) != Some(user))
        })
    }

    fn read<T>(&self, read: io::Result<T>) -> Result<T, Error> {
        read.map_err(|error| storage(self.opener.files.name(FileRole::New), error))
    }
}
