//! The index against its log: what the reducer makes of all events, compared with all rows. Never uses a
//! state, so that it also finds what a state has wrong.

use std::collections::{BTreeMap, HashMap};

use super::ReducerStore;
use crate::model::{Change, Event, LogTime, Mark, RequestId, Revision, RevisionSet, UserId};
use crate::state::records::record::{Key, NotificationKind, Subject, Table, Value};
use crate::state::reducer;
use crate::state::requests;
use crate::state::users::UserIx;
use crate::storage::{self, ExpectedRows, IndexView, StoredKey, StoredRequest, TimelineKind};

/// A check of an index under way. Memory: the names of all users, one bit for each revision, and
/// some rows.
#[derive(Debug)]
pub struct IndexCheck {
    expected: ExpectedRows,
    hash_key: [u64; 2],
    /// Memory for rows; the others are on the disk.
    rows_bytes_max: usize,
    numbers: HashMap<UserId, UserIx>,
    applied: Revision,
    /// The revisions of erased posts.
    erased: RevisionSet,
}

impl IndexCheck {
    /// A check of `view`, without an event yet, with so much memory for rows.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn new(view: &IndexView, rows_bytes_max: usize) -> Result<Self, storage::Error> {
        Ok(Self {
            expected: view.expected_rows()?,
            hash_key: view.hash_key(),
            rows_bytes_max,
            numbers: HashMap::new(),
            applied: Revision::ZERO,
            erased: RevisionSet::default(),
        })
    }

    /// Adds the next event, from the first on.
    ///
    /// # Errors
    /// The disk has no room for rows, or failed. The check must not be used further.
    ///
    /// # Panics
    /// Another event comes next.
    pub fn apply(&mut self, revision: Revision, event: &Event) -> Result<(), storage::Error> {
        assert_eq!(revision, self.applied.next(), "events come in order");
        if matches!(event.change, Change::Erased { .. }) {
            self.erased.insert(revision);
        }
        reducer::apply(self, revision, event)?;
        self.applied = revision;
        if self.expected.rows.bytes() > self.rows_bytes_max {
            self.expected.rows.spill()?;
        }
        Ok(())
    }

    /// Compares all rows of `view`, once all its events are added. Returns their number; `None` if
    /// `go_on`, which gets the number so far, stopped it.
    ///
    /// # Errors
    /// [`storage::Error::Damaged`]: a row differs, or is damaged. Or one cannot be read.
    ///
    /// # Panics
    /// The last event was another one than the last of `view`.
    pub fn compare(
        &self,
        view: &IndexView,
        go_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<u64>, storage::Error> {
        assert_eq!(self.applied, view.complete_until(), "all events of the index are added");
        // Who a post mentioned is erased with it. The row of the notification stays, and no read
        // shows one of a deleted post.
        let may_have = |key: StoredKey, value: u128| {
            let Some(key) = Key::from_stored(key) else { return false };
            let (_, _, position) = key.stored();
            key.table == Table::Notifications
                && self.erased.has(Revision::new(position))
                && Value::from_number(value).notification().kind == NotificationKind::Mention
        };
        view.compare(&self.expected, &may_have, go_on)
    }
}

impl ReducerStore for IndexCheck {
    type Error = storage::Error;

    fn number(&mut self, user: &UserId) -> UserIx {
        if let Some(&number) = self.numbers.get(user) {
            return number;
        }
        let number = UserIx::new(self.expected.rows.next_user());
        self.expected.rows.push_user(user.clone());
        self.numbers.insert(user.clone(), number);
        number
    }

    fn followed_since(
        &self,
        follower: UserIx,
        followee: UserIx,
    ) -> Result<Option<Revision>, storage::Error> {
        Ok(self.expected.rows.edge(follower.number(), followee.number())?.flatten())
    }

    fn set_follow(
        &mut self,
        follower: UserIx,
        followee: UserIx,
        since: Option<Revision>,
        _: Revision,
    ) {
        self.expected.rows.set_edge(follower.number(), followee.number(), since);
    }

    fn push_mark(&mut self, author: UserIx, mark: Mark) {
        self.expected.rows.push_mark(TimelineKind::Posts, author.number(), mark);
    }

    fn push_change(&mut self, user: UserIx, mark: Mark) {
        self.expected.rows.push_mark(TimelineKind::Changes, user.number(), mark);
    }

    fn push_request(
        &mut self,
        author: &UserId,
        request_id: &RequestId,
        revision: Revision,
        time: LogTime,
    ) {
        let hash = requests::hash(self.hash_key, author, request_id);
        self.expected.push_request(StoredRequest { revision, hash, time });
    }

    fn get(&self, key: Key) -> Result<Option<Value>, storage::Error> {
        let value = self.expected.rows.record(key.stored(), key.table.residency())?;
        Ok(value.flatten().map(Value::from_number))
    }

    fn put(&mut self, key: Key, value: Option<Value>, _: Revision) {
        let (stored, residency) = (key.stored(), key.table.residency());
        self.expected.rows.put_record(stored, value.map(Value::number), residency);
    }

    fn all(&self, table: Table, subject: Subject) -> Result<Vec<(Key, Value)>, storage::Error> {
        let list = (table as u8, subject.number());
        let all: BTreeMap<_, _> = self.expected.rows.records_of(list, table.residency())?.collect();
        let record = |(key, value): (_, Option<u128>)| {
            Some((Key::from_stored(key)?, Value::from_number(value?)))
        };
        Ok(all.into_iter().filter_map(record).collect())
    }
}
