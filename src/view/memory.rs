//! Memory as what changes are applied to.

use super::View;
use super::applied::{Applied, Noticed};
use super::fact::Place;
use super::fact::{Key, Notice, Subject, Table, Value};
use super::facts::{Facts, Order};
use super::ids::UserIx;
use super::ledger::Store;
use crate::log::{self, Keep};
use crate::model::{Mark, MarkKind, RequestId, Revision, Timestamp, UserId};

/// A view that is being changed, and what that is to others. There is one at a time, the applier's.
pub(super) struct Memory<'a>(pub(super) &'a View, pub(super) Applied);

impl Memory<'_> {
    /// Reads facts. What is half applied cannot be given up, so while the index is lost that may be
    /// asked for them, this waits until it is mended.
    fn of_facts<T>(&self, read: impl Fn(&Facts) -> Result<T, log::Error>) -> Result<T, log::Error> {
        loop {
            match read(&self.0.facts) {
                Err(error @ log::Error::IndexLost { .. }) => {
                    if !self.0.index().is_some_and(|index| index.wait_until_mended()) {
                        return Err(error);
                    }
                }
                done => return done,
            }
        }
    }
}

impl Store for Memory<'_> {
    type Error = log::Error;

    fn number(&mut self, user: &UserId) -> UserIx {
        self.0.ids.intern(user)
    }

    fn followed_since(
        &self,
        follower: UserIx,
        followee: UserIx,
    ) -> Result<Option<Revision>, log::Error> {
        Ok(self.0.graph.edge(follower, followee))
    }

    fn set_follow(
        &mut self,
        follower: UserIx,
        followee: UserIx,
        since: Option<Revision>,
        at: Revision,
    ) {
        match since {
            Some(since) => self.0.graph.insert(follower, followee, since),
            None => self.0.graph.remove(follower, followee, at),
        }
    }

    fn push_mark(&mut self, author: UserIx, mark: Mark) {
        self.0.posts_of.push(author, mark);
        if mark.kind() == MarkKind::Change {
            self.1.authors.push(self.0.ids.name(author));
        }
    }

    fn push_change(&mut self, user: UserIx, mark: Mark) {
        self.0.changes_of.push(user, mark);
    }

    fn push_request(
        &mut self,
        author: &UserId,
        request_id: &RequestId,
        revision: Revision,
        time: Timestamp,
    ) {
        self.0.requests.insert(&self.0.requests.request(author, request_id, revision, time));
    }

    fn get(&self, key: Key) -> Result<Option<Value>, log::Error> {
        match key.table.keep() {
            Keep::InMemory => Ok(self.0.hidden.get(key)),
            Keep::OnDisk => self.of_facts(|facts| facts.get(key)),
        }
    }

    fn put(&mut self, key: Key, value: Option<Value>, at: Revision) {
        if let Some(notice) = value.and_then(|value| Notice::of(key, value)) {
            self.1.notices.push(Noticed {
                user: self.0.ids.name(key.subject.user()),
                kind: notice.kind,
                actor: self.0.ids.name(notice.actor),
                subject: notice.subject(),
            });
        }
        match key.table.keep() {
            Keep::InMemory => self.0.hidden.put(key, value, at),
            Keep::OnDisk => self.0.facts.put(key, value, at),
        }
        if key.table == Table::PostCounts {
            // After the fact: what was read before it is then known to be old.
            self.0.tallies.changed(key.subject);
        }
    }

    fn all(&self, table: Table, subject: Subject) -> Result<Vec<(Key, Value)>, log::Error> {
        let about = (table, subject);
        let all =
            self.of_facts(|facts| facts.list(about, Place::FIRST, Order::OldestFirst, usize::MAX));
        let fact = |(place, value)| (Key { table, subject, place }, value);
        Ok(all?.into_iter().map(fact).collect())
    }
}
