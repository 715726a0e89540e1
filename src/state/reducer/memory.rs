//! MemoryStore as what changes are applied to.

use super::ReducerStore;
use crate::model::{LogTime, Mark, MarkKind, RequestId, Revision, UserId};
use crate::state::State;
use crate::state::applied::{AppliedEvent, NewNotification};
use crate::state::apply_right::ApplyRight;
use crate::state::records::record::{Key, NotificationRecord, Position, Subject, Table, Value};
use crate::state::records::{Order, Records};
use crate::state::users::UserIx;
use crate::storage::{self, Residency};

/// A view that is being changed, and what that is to others.
pub(crate) struct MemoryStore<'a> {
    pub(crate) view: &'a State,
    pub(crate) by: &'a ApplyRight,
    pub(crate) applied: AppliedEvent,
}

impl MemoryStore<'_> {
    /// ReadPool facts. What is half applied cannot be given up, so while the index is lost that may be
    /// asked for them, this waits until it is mended.
    fn of_facts<T>(
        &self,
        read: impl Fn(&Records) -> Result<T, storage::Error>,
    ) -> Result<T, storage::Error> {
        loop {
            match read(&self.view.facts) {
                Err(error @ storage::Error::IndexLost { .. }) => {
                    if !self.view.index().is_some_and(|index| index.wait_until_repaired()) {
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
        self.view.ids.intern(user, self.by)
    }

    fn followed_since(
        &self,
        follower: UserIx,
        followee: UserIx,
    ) -> Result<Option<Revision>, storage::Error> {
        Ok(self.view.graph.edge(follower, followee))
    }

    fn set_follow(
        &mut self,
        follower: UserIx,
        followee: UserIx,
        since: Option<Revision>,
        at: Revision,
    ) {
        match since {
            Some(since) => self.view.graph.insert(follower, followee, since, self.by),
            None => self.view.graph.remove(follower, followee, at, self.by),
        }
    }

    fn push_mark(&mut self, author: UserIx, mark: Mark) {
        self.view.posts_of.push(author, mark, self.by);
        if mark.kind() == MarkKind::Change {
            self.applied.authors.push(self.view.ids.name(author));
        }
    }

    fn push_change(&mut self, user: UserIx, mark: Mark) {
        self.view.changes_of.push(user, mark, self.by);
    }

    fn push_request(
        &mut self,
        author: &UserId,
        request_id: &RequestId,
        revision: Revision,
        time: LogTime,
    ) {
        let requests = &self.view.requests;
        requests.insert(&requests.request(author, request_id, revision, time), self.by);
    }

    fn get(&self, key: Key) -> Result<Option<Value>, storage::Error> {
        match key.table.keep() {
            Residency::InMemory => Ok(self.view.hidden.get(key)),
            Residency::OnDisk => self.of_facts(|facts| facts.get(key)),
        }
    }

    fn put(&mut self, key: Key, value: Option<Value>, at: Revision) {
        if let Some(notice) = value.and_then(|value| NotificationRecord::of(key, value)) {
            self.applied.notices.push(NewNotification {
                user: self.view.ids.name(key.subject.user()),
                kind: notice.kind,
                actor: self.view.ids.name(notice.actor),
                subject: notice.subject(),
            });
        }
        match key.table.keep() {
            Residency::InMemory => self.view.hidden.put(key, value, at, self.by),
            Residency::OnDisk => self.view.facts.put(key, value, at, self.by),
        }
        if key.table == Table::PostCounts {
            // After the fact: what was read before it is then known to be old.
            self.view.tallies.changed(key.subject, self.by);
        }
    }

    fn all(&self, table: Table, subject: Subject) -> Result<Vec<(Key, Value)>, storage::Error> {
        let about = (table, subject);
        let all = self
            .of_facts(|facts| facts.list(about, Position::FIRST, Order::OldestFirst, usize::MAX));
        let fact = |(place, value)| (Key { table, subject, place }, value);
        Ok(all?.into_iter().map(fact).collect())
    }
}
