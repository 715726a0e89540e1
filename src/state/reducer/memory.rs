//! The state in memory as a store of the reducer. Only the applier uses it.

use super::ReducerStore;
use crate::model::{LogTime, Mark, MarkKind, RequestId, Revision, UserId};
use crate::state::State;
use crate::state::applied::{AppliedEvent, NewNotification};
use crate::state::apply_right::ApplyRight;
use crate::state::records::record::{Key, NotificationRecord, Position, Subject, Table, Value};
use crate::state::records::{ListOrder, Records};
use crate::state::users::UserIx;
use crate::storage::{self, Residency};

/// The state during one event, and the effects of the event so far.
pub(crate) struct MemoryStore<'a> {
    pub(crate) state: &'a State,
    pub(crate) by: &'a ApplyRight,
    pub(crate) applied: AppliedEvent,
}

impl MemoryStore<'_> {
    /// Reads records, which may be in the index only. A half applied event cannot be undone, so
    /// while the index is lost this waits until it is repaired.
    fn read_records<T>(
        &self,
        read: impl Fn(&Records) -> Result<T, storage::Error>,
    ) -> Result<T, storage::Error> {
        loop {
            match read(&self.state.records) {
                Err(error @ storage::Error::IndexLost { .. }) => {
                    if !self.state.index().is_some_and(|index| index.wait_until_repaired()) {
                        return Err(error);
                    }
                }
                done => return done,
            }
        }
    }
}

impl ReducerStore for MemoryStore<'_> {
    type Error = storage::Error;

    fn number(&mut self, user: &UserId) -> UserIx {
        self.state.users.intern(user, self.by)
    }

    fn followed_since(
        &self,
        follower: UserIx,
        followee: UserIx,
    ) -> Result<Option<Revision>, storage::Error> {
        Ok(self.state.graph.edge(follower, followee))
    }

    fn set_follow(
        &mut self,
        follower: UserIx,
        followee: UserIx,
        since: Option<Revision>,
        at: Revision,
    ) {
        match since {
            Some(since) => self.state.graph.insert(follower, followee, since, self.by),
            None => self.state.graph.remove(follower, followee, at, self.by),
        }
    }

    fn push_mark(&mut self, author: UserIx, mark: Mark) {
        self.state.post_timelines.push(author, mark, self.by);
        if mark.kind() == MarkKind::Change {
            self.applied.authors.push(self.state.users.name(author));
        }
    }

    fn push_change(&mut self, user: UserIx, mark: Mark) {
        self.state.change_timelines.push(user, mark, self.by);
    }

    fn push_request(
        &mut self,
        author: &UserId,
        request_id: &RequestId,
        revision: Revision,
        time: LogTime,
    ) {
        let requests = &self.state.requests;
        requests.insert(&requests.request(author, request_id, revision, time), self.by);
    }

    fn get(&self, key: Key) -> Result<Option<Value>, storage::Error> {
        match key.table.residency() {
            Residency::InMemory => Ok(self.state.visibility.get(key)),
            Residency::OnDisk => self.read_records(|records| records.get(key)),
        }
    }

    fn put(&mut self, key: Key, value: Option<Value>, at: Revision) {
        if let (Table::Notifications | Table::Followers, Some(value)) = (key.table, value) {
            let record = NotificationRecord::from_row(key.table, value);
            self.applied.notifications.push(NewNotification {
                user: self.state.users.name(key.subject.user()),
                kind: record.kind,
                actor: self.state.users.name(record.actor),
                subject: record.subject(),
            });
        }
        match key.table.residency() {
            Residency::InMemory => self.state.visibility.put(key, value, at, self.by),
            Residency::OnDisk => self.state.records.put(key, value, at, self.by),
        }
        if key.table == Table::PostCounts {
            // After the record, so that counts which were read before it are known to be old.
            self.state.posts.invalidate_counts(key.subject, self.by);
        }
    }

    fn all(&self, table: Table, subject: Subject) -> Result<Vec<(Key, Value)>, storage::Error> {
        let about = (table, subject);
        let all = self.read_records(|records| {
            records.list(about, Position::FIRST, ListOrder::OldestFirst, usize::MAX)
        });
        let record = |(position, value)| (Key { table, subject, position }, value);
        Ok(all?.into_iter().map(record).collect())
    }
}
