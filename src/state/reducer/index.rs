//! The state and the index: loading the one from the other, and saying what to add to the index.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ReducerStore;
use crate::config::Limits;
use crate::model::{Event, LogTime, Mark, RequestId, Revision, UserId};
use crate::state::records::record::{Key, Subject, Table, Value};
use crate::state::users::UserIx;
use crate::state::{State, reducer};
use crate::storage::{
    self, Index, IndexContents, IndexRows, Log, OpenedIndex, Snapshot, TimelineKind,
};

/// The index as what changes are applied to: rows that are to be written, over those that are
/// there.
#[derive(Debug)]
pub struct IndexStore<'a> {
    state: &'a State,
    stored: Snapshot,
    rows: IndexRows,
}

impl State {
    /// The state that `opened` shows, of `log`, which it was made from.
    #[must_use]
    pub fn load(log: Arc<dyn Log>, opened: OpenedIndex, limits: &Limits) -> Self {
        let OpenedIndex { index, contents } = opened;
        let IndexContents { complete_until, users, edges, newest, requests, records } = contents;
        let mut state = Self::empty(log, index.hash_key(), limits);
        state.records.index = Some(Arc::new(index));
        state.change_timelines.load(complete_until);
        state.requests.load(requests);
        let by = state.turn.take();
        for user in &users {
            state.users.intern(user, &by);
        }
        state.graph.load(edges, users.len(), &by);
        for (author, mark) in newest {
            state.post_timelines.load(UserIx::new(author), mark, &by);
        }
        for (key, value) in records {
            // One that this version does not know was written by a later one, of another format.
            if let Some(key) = Key::from_stored(key) {
                state.visibility.put(key, Some(Value::from_number(value)), complete_until, &by);
            }
        }
        state.applied.advance(complete_until, &by);
        drop(by);
        state
    }

    /// Begins a write of `index` with the events after those it has.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn write_to<'a>(&'a self, index: &'a Index) -> Result<IndexStore<'a>, storage::Error> {
        Ok(IndexStore { state: self, stored: index.snapshot()?, rows: index.new_rows() })
    }

    /// Drops from memory what may be dropped now that `rows` are in the index.
    pub fn indexed(&self, rows: &IndexRows, complete_until: Revision) {
        for author in rows.authors() {
            self.post_timelines.trim(UserIx::new(author), complete_until);
        }
        self.change_timelines.indexed(complete_until);
        for user in rows.changers() {
            self.change_timelines.trim(UserIx::new(user), complete_until);
        }
        self.change_timelines.shrink();
        self.records.trim(rows.record_keys().filter_map(Key::from_stored), complete_until);
        self.records.shrink();
    }
}

impl IndexStore<'_> {
    /// Adds what `event` changes in the index.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    ///
    /// # Panics
    /// It is not applied to the state yet.
    pub fn apply(&mut self, revision: Revision, event: &Event) -> Result<(), storage::Error> {
        let applied = self.state.applied();
        assert!(revision <= applied, "the state is at {applied}, the event at {revision}");
        reducer::apply(self, revision, event)
    }

    /// The rows.
    #[must_use]
    pub fn into_rows(self) -> IndexRows {
        self.rows
    }
}

impl ReducerStore for IndexStore<'_> {
    type Error = storage::Error;

    fn number(&mut self, user: &UserId) -> UserIx {
        // The state has applied the event, and given the same numbers in the same order.
        let Some(number) = self.state.users.get(user) else { panic!("{user} has no number") };
        while self.rows.next_user() <= number.number() {
            let next = UserIx::new(self.rows.next_user());
            self.rows.push_user(self.state.users.name(next));
        }
        number
    }

    fn followed_since(
        &self,
        follower: UserIx,
        followee: UserIx,
    ) -> Result<Option<Revision>, storage::Error> {
        let (follower, followee) = (follower.number(), followee.number());
        let said = self.rows.edge(follower, followee);
        said.map_or_else(|| self.stored.edge(follower, followee), Ok)
    }

    fn set_follow(
        &mut self,
        follower: UserIx,
        followee: UserIx,
        since: Option<Revision>,
        _: Revision,
    ) {
        self.rows.set_edge(follower.number(), followee.number(), since);
    }

    fn push_mark(&mut self, author: UserIx, mark: Mark) {
        self.rows.push_mark(TimelineKind::Posts, author.number(), mark);
    }

    fn push_change(&mut self, user: UserIx, mark: Mark) {
        self.rows.push_mark(TimelineKind::Changes, user.number(), mark);
    }

    fn push_request(
        &mut self,
        author: &UserId,
        request_id: &RequestId,
        revision: Revision,
        time: LogTime,
    ) {
        let request = self.state.requests.request(author, request_id, revision, time);
        self.rows.push_request(request);
    }

    fn get(&self, key: Key) -> Result<Option<Value>, storage::Error> {
        let (stored, keep) = (key.stored(), key.table.keep());
        let value = match self.rows.record(stored, keep) {
            Some(said) => said,
            None => self.stored.record(stored, keep)?,
        };
        Ok(value.map(Value::from_number))
    }

    fn put(&mut self, key: Key, value: Option<Value>, _: Revision) {
        self.rows.put_record(key.stored(), value.map(Value::number), key.table.keep());
    }

    fn all(&self, table: Table, subject: Subject) -> Result<Vec<(Key, Value)>, storage::Error> {
        let (about, keep) = ((table as u8, subject.number()), table.keep());
        let stored = self.stored.records_after(about, 0, usize::MAX)?;
        let stored =
            stored.into_iter().map(|(place, value)| ((about.0, about.1, place), Some(value)));
        let mut all: BTreeMap<_, _> = stored.collect();
        all.extend(self.rows.records_of(about, keep));
        let fact = |(key, value): (_, Option<u128>)| {
            Some((Key::from_stored(key)?, Value::from_number(value?)))
        };
        Ok(all.into_iter().filter_map(fact).collect())
    }
}
