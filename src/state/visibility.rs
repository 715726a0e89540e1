//! Visibility: blocks, mutes, and retractions, which are deletions of posts and removals of
//! reposts.
//!
//! Every read checks visibility, so all of it is in memory, and nothing here reads the index.
//! Blocks and mutes are edges like follows, of the same size; a retraction takes about 20 bytes.

use dashmap::DashMap;

use super::apply_right::ApplyRight;
use super::graph::Graph;
use super::records::record::{Key, Table, Value};
use super::users::UserIx;
use crate::model::Revision;
use crate::storage::Residency;

/// The number of blockers in one chunk of [`Visibility::blocked_with`]: between two chunks a reader
/// can check whether its caller still waits.
const BLOCKERS_AT_ONCE: usize = 1_024;

/// The records of the tables of [`Residency::InMemory`].
#[derive(Debug, Default)]
pub(crate) struct Visibility {
    blocks: Graph,
    mutes: Graph,
    /// (viewer, other) → the end of the last block or mute, which shows the other again.
    shown_since: Graph,
    /// Deleted post or removed repost → the revision of that.
    retracted: DashMap<Revision, Revision>,
}

impl Visibility {
    /// Sets the record at `key`, or removes it. Only for tables of [`Residency::InMemory`].
    pub(crate) fn put(&self, key: Key, value: Option<Value>, at: Revision, by: &ApplyRight) {
        debug_assert_eq!(key.table.residency(), Residency::InMemory, "{key:?}");
        let edge = |graph: &Graph| {
            let (one, other) = (key.subject.user(), key.position.user());
            match value {
                Some(since) => graph.insert(one, other, since.revision(), by),
                None => graph.remove(one, other, at, by),
            }
        };
        match (key.table, value) {
            (Table::Blocks, _) => edge(&self.blocks),
            (Table::Mutes, _) => edge(&self.mutes),
            (Table::ShownSince, _) => edge(&self.shown_since),
            (Table::Retracted, Some(value)) => {
                self.retracted.insert(key.subject.revision(), value.revision());
            }
            _ => {}
        }
    }

    /// The record at `key`. Only for tables of [`Residency::InMemory`].
    pub(crate) fn get(&self, key: Key) -> Option<Value> {
        debug_assert_eq!(key.table.residency(), Residency::InMemory, "{key:?}");
        let edge = |graph: &Graph| graph.edge(key.subject.user(), key.position.user());
        match key.table {
            Table::Blocks => edge(&self.blocks),
            Table::Mutes => edge(&self.mutes),
            Table::ShownSince => edge(&self.shown_since),
            Table::Retracted => self.retracted(key.subject.revision()),
            _ => None,
        }
        .map(Value::from)
    }

    /// The number of deleted posts and removed reposts.
    pub(crate) fn retracted_count(&self) -> usize {
        self.retracted.len()
    }

    /// Edges from blocker to blocked.
    pub(crate) fn blocks(&self) -> &Graph {
        &self.blocks
    }

    /// Edges from muter to muted.
    pub(crate) fn mutes(&self) -> &Graph {
        &self.mutes
    }

    /// Edges from viewer to other, as in [`Visibility::shown_since`].
    pub(crate) fn shown_again(&self) -> &Graph {
        &self.shown_since
    }

    /// Whether one of the two users blocks the other: then neither sees the other.
    pub(crate) fn is_blocked_either_way(&self, one: UserIx, other: UserIx) -> bool {
        self.blocks.edge(one, other).is_some() || self.blocks.edge(other, one).is_some()
    }

    /// Whether `viewer`'s feeds and notifications leave out `other`: by a block either way, or by a
    /// mute.
    pub(crate) fn is_hidden(&self, viewer: UserIx, other: UserIx) -> bool {
        self.is_blocked_either_way(viewer, other) || self.mutes.edge(viewer, other).is_some()
    }

    /// The end of the last block or mute that hid `other` from `viewer`; [`Revision::ZERO`] if none
    /// has ended.
    pub(crate) fn shown_since(&self, viewer: UserIx, other: UserIx) -> Revision {
        self.shown_since.edge(viewer, other).unwrap_or(Revision::ZERO)
    }

    /// At least the number of users in [`Visibility::blocked_with`]: a user who blocks `user` and
    /// is blocked by them counts twice.
    pub(crate) fn blocked_count_max(&self, user: UserIx) -> usize {
        self.blocks.followee_count(user) + self.blocks.follower_count(user)
    }

    /// All users whom `user` blocks or who block them, each once, in chunks: the number of users
    /// whom one user blocks is limited, and the number of their blockers is not.
    pub(crate) fn blocked_with(&self, user: UserIx) -> impl Iterator<Item = Vec<UserIx>> {
        let blocked = self.blocks.edges(user).iter().map(|edge| edge.followee).collect();
        let mut after = None;
        let blockers = std::iter::from_fn(move || {
            let blockers = self.blocks.followers(user, after, BLOCKERS_AT_ONCE);
            after = blockers.last().copied();
            (!blockers.is_empty()).then_some(blockers)
        });
        let without_blocked = move |mut blockers: Vec<UserIx>| {
            blockers.retain(|&blocker| self.blocks.edge(user, blocker).is_none());
            blockers
        };
        std::iter::once(blocked).chain(blockers.map(without_blocked))
    }

    /// The revisions of the retractions after `after` and up to `until`, in rising order. Reads all
    /// retractions of the log.
    pub(crate) fn retractions(&self, after: Revision, until: Revision) -> Vec<Revision> {
        let all = self.retracted.iter().map(|entry| *entry.value());
        let mut some: Vec<_> = all.filter(|&at| after < at && at <= until).collect();
        some.sort_unstable();
        some
    }

    /// The revision at which the post at `revision` was deleted, or the repost removed.
    pub(crate) fn retracted(&self, revision: Revision) -> Option<Revision> {
        self.retracted.get(&revision).map(|at| *at)
    }
}
