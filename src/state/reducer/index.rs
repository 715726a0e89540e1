//! The state and the index: loads the state from the index, and computes the rows that the index
//! lacks. Never writes to the index.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ReducerStore;
use crate::config::Limits;
use crate::model::{Event, LogTime, Mark, RequestId, Revision, UserId};
use crate::state::graph::FollowerCounts;
use crate::state::records::record::{Key, Subject, Table, Value};
use crate::state::users::{UserIx, Users};
use crate::state::{State, reducer};
use crate::storage::{
    self, Index, IndexRows, LoadedRows, Log, OpenedIndex, Snapshot, StoredRequest, TimelineKind,
};

/// A state that has a part of the rows of its index.
struct LoadingState {
    state: State,
    complete_until: Revision,
    follower_counts: FollowerCounts,
    requests: Vec<StoredRequest>,
}

/// Users for whom memory is reserved before they are read. Their number is not verified by then, and
/// may be anything.
const USERS_EXPECTED_MAX: usize = 1 << 20;

/// The index as a store of the reducer: new rows over the rows of a snapshot.
#[derive(Debug)]
pub struct IndexStore<'a> {
    state: &'a State,
    stored: Snapshot,
    rows: IndexRows,
}

impl State {
    /// Loads the state from `opened`, the index of `log`.
    ///
    /// # Errors
    /// The log cannot be read, or ends before the index does.
    pub fn load(
        log: Arc<dyn Log>,
        opened: OpenedIndex,
        limits: &Limits,
    ) -> Result<Self, storage::Error> {
        let begin = |index: &Index| LoadingState::new(Arc::clone(&log), index, limits);
        let (index, loading) = opened.load(&*log, begin, LoadingState::add)?;
        Ok(loading.finish(index, limits))
    }

    /// Starts the rows of the events that `index` lacks.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn write_to<'a>(&'a self, index: &'a Index) -> Result<IndexStore<'a>, storage::Error> {
        Ok(IndexStore { state: self, stored: index.snapshot()?, rows: index.new_rows() })
    }

    /// Drops from memory the marks and records of `rows`, which are now in the index. It is
    /// complete until `complete_until`.
    ///
    /// # Errors
    /// Rows on the disk cannot be read: memory keeps what it could have dropped.
    pub fn indexed(
        &self,
        rows: &IndexRows,
        complete_until: Revision,
    ) -> Result<(), storage::Error> {
        self.change_timelines.indexed(complete_until);
        for author in rows.users_with(TimelineKind::Posts) {
            self.post_timelines.trim(UserIx::new(author?), complete_until);
        }
        for user in rows.users_with(TimelineKind::Changes) {
            self.change_timelines.trim(UserIx::new(user?), complete_until);
        }
        self.change_timelines.shrink();
        let keys = rows.record_keys().map(|key| key.map(Key::from_stored));
        self.records.trim(keys.filter_map(Result::transpose), complete_until)?;
        self.records.shrink();
        Ok(())
    }
}

impl LoadingState {
    fn new(log: Arc<dyn Log>, index: &Index, limits: &Limits) -> Self {
        let users = (index.new_rows().next_user() as usize).min(USERS_EXPECTED_MAX);
        let mut state = State::empty(log, index.hash_key(), limits);
        state.users = Users::with_capacity(users);
        Self {
            state,
            complete_until: index.complete_until(),
            follower_counts: FollowerCounts::default(),
            requests: Vec::new(),
        }
    }

    fn add(&mut self, rows: LoadedRows) {
        let (state, by) = (&self.state, &*self.state.turn.acquire());
        match rows {
            LoadedRows::Users(names) => state.users.load(names, by),
            LoadedRows::Edges(edges) => {
                self.follower_counts.reserve(state.users.len());
                state.graph.load(&edges, &mut self.follower_counts, by);
            }
            LoadedRows::Newest(newest) => {
                for (author, mark) in newest {
                    state.post_timelines.load(UserIx::new(author), mark, by);
                }
            }
            LoadedRows::Requests(requests) => self.requests.extend(requests),
            LoadedRows::Records(records) => {
                for (key, value) in records {
                    // A later version may have written a table that this one does not know.
                    if let Some(key) = Key::from_stored(key) {
                        let value = Some(Value::from_number(value));
                        state.visibility.put(key, value, self.complete_until, by);
                    }
                }
            }
        }
    }

    /// The state, once it has all rows of `index`.
    fn finish(self, index: Index, limits: &Limits) -> State {
        let Self { mut state, complete_until, follower_counts, requests } = self;
        state.graph.load_followers(&follower_counts, &state.turn.acquire());
        state.records.attach(Arc::new(index), limits);
        state.change_timelines.load(complete_until);
        state.requests.load(requests);
        state.applied.advance(complete_until, LogTime::default(), &state.turn.acquire());
        state
    }
}

impl IndexStore<'_> {
    /// Adds the rows of `event`, the next one after those of the index and of the rows.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    ///
    /// # Panics
    /// The state has not applied the event yet.
    pub fn apply(&mut self, revision: Revision, event: &Event) -> Result<(), storage::Error> {
        let applied = self.state.applied();
        assert!(revision <= applied, "the state is at {applied}, the event at {revision}");
        reducer::apply(self, revision, event)
    }

    /// The memory that the rows take, as an estimate.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    /// Moves most rows from memory to the disk. `false` if there is none to write to.
    ///
    /// # Errors
    /// The disk is full or failed. The rows must not be used further.
    pub fn spill(&mut self) -> Result<bool, storage::Error> {
        self.rows.spill()
    }

    /// The rows of all added events.
    #[must_use]
    pub fn into_rows(self) -> IndexRows {
        self.rows
    }
}

impl ReducerStore for IndexStore<'_> {
    type Error = storage::Error;

    fn number(&mut self, user: &UserId) -> UserIx {
        // The state has applied the event, and assigned the same numbers in the same order.
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
        let changed = self.rows.edge(follower, followee)?;
        changed.map_or_else(|| self.stored.edge(follower, followee), Ok)
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
        let (stored, residency) = (key.stored(), key.table.residency());
        let value = match self.rows.record(stored, residency)? {
            Some(changed) => changed,
            None => self.stored.record(stored, residency)?,
        };
        Ok(value.map(Value::from_number))
    }

    fn put(&mut self, key: Key, value: Option<Value>, _: Revision) {
        self.rows.put_record(key.stored(), value.map(Value::number), key.table.residency());
    }

    fn all(&self, table: Table, subject: Subject) -> Result<Vec<(Key, Value)>, storage::Error> {
        let (about, residency) = ((table as u8, subject.number()), table.residency());
        let stored = self.stored.records_after(about, 0, usize::MAX)?;
        let stored =
            stored.into_iter().map(|(position, value)| ((about.0, about.1, position), Some(value)));
        let mut all: BTreeMap<_, _> = stored.collect();
        all.extend(self.rows.records_of(about, residency)?);
        let record = |(key, value): (_, Option<u128>)| {
            Some((Key::from_stored(key)?, Value::from_number(value?)))
        };
        Ok(all.into_iter().filter_map(record).collect())
    }
}
