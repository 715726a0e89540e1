//! What is hidden from whom: by blocks and mutes, and from everybody what was deleted.
//!
//! All of it is in memory, because every read looks here. Blocks and mutes are edges like follows,
//! and each takes as much; what was retracted takes some 20 bytes.

use dashmap::DashMap;

use super::apply_right::ApplyRight;
use super::graph::Graph;
use super::records::record::{Key, Table, Value};
use super::users::UserIx;
use crate::model::Revision;

/// Blockers of somebody that are looked at without asking whether anybody waits for that.
const BLOCKERS_AT_ONCE: usize = 1_024;

/// Who hides whom, and what is no longer there.
#[derive(Debug, Default)]
pub(crate) struct Visibility {
    blocks: Graph,
    mutes: Graph,
    /// Since when somebody is shown again.
    shown: Graph,
    /// Deleted posts and reposts taken back, and when that was.
    retracted: DashMap<Revision, Revision>,
}

impl Visibility {
    /// Takes in a fact of one of the tables that are kept here.
    pub(crate) fn put(&self, key: Key, value: Option<Value>, at: Revision, by: &ApplyRight) {
        let edge = |graph: &Graph| {
            let (one, other) = (key.subject.user(), key.place.user());
            match value {
                Some(since) => graph.insert(one, other, since.revision(), by),
                None => graph.remove(one, other, at, by),
            }
        };
        match (key.table, value) {
            (Table::Blocks, _) => edge(&self.blocks),
            (Table::Mutes, _) => edge(&self.mutes),
            (Table::Shown, _) => edge(&self.shown),
            (Table::Retracted, Some(value)) => {
                self.retracted.insert(key.subject.revision(), value.revision());
            }
            _ => {}
        }
    }

    /// A fact of one of the tables that are kept here.
    pub(crate) fn get(&self, key: Key) -> Option<Value> {
        let edge = |graph: &Graph| graph.edge(key.subject.user(), key.place.user());
        match key.table {
            Table::Blocks => edge(&self.blocks),
            Table::Mutes => edge(&self.mutes),
            Table::Shown => edge(&self.shown),
            Table::Retracted => self.retracted(key.subject.revision()),
            _ => None,
        }
        .map(Value::from)
    }

    /// Who blocks whom.
    pub(crate) fn blocks(&self) -> &Graph {
        &self.blocks
    }

    /// Who mutes whom.
    pub(crate) fn mutes(&self) -> &Graph {
        &self.mutes
    }

    /// For whom somebody is shown again, since when.
    pub(crate) fn shown(&self) -> &Graph {
        &self.shown
    }

    /// Whether one of the two blocks the other: then neither sees the other.
    pub(crate) fn is_blocked_either_way(&self, one: UserIx, other: UserIx) -> bool {
        self.blocks.edge(one, other).is_some() || self.blocks.edge(other, one).is_some()
    }

    /// Whether `viewer`'s feeds and notices have nothing of `other`.
    pub(crate) fn is_hidden(&self, viewer: UserIx, other: UserIx) -> bool {
        self.is_blocked_either_way(viewer, other) || self.mutes.edge(viewer, other).is_some()
    }

    /// Since when `viewer` is shown `other` again, after a block or mute that is over;
    /// [`Revision::ZERO`] if there was none.
    pub(crate) fn shown_since(&self, viewer: UserIx, other: UserIx) -> Revision {
        self.shown.edge(viewer, other).unwrap_or(Revision::ZERO)
    }

    /// No fewer than those whom `user` blocks or who block them: who does both may count twice.
    pub(crate) fn blocked_count_max(&self, user: UserIx) -> usize {
        self.blocks.followee_count(user) + self.blocks.follower_count(user)
    }

    /// Everybody whom `user` blocks or who blocks them, each once, some at a time: whom somebody
    /// blocks is bounded, and who blocks them is not.
    pub(crate) fn blocked_with(&self, user: UserIx) -> impl Iterator<Item = Vec<UserIx>> {
        let blocked = self.blocks.edges(user).iter().map(|edge| edge.followee).collect();
        let mut after = None;
        let blockers = std::iter::from_fn(move || {
            let blockers = self.blocks.followers(user, after, BLOCKERS_AT_ONCE);
            after = blockers.last().copied();
            (!blockers.is_empty()).then_some(blockers)
        });
        let only_they = move |mut blockers: Vec<UserIx>| {
            blockers.retain(|&blocker| self.blocks.edge(user, blocker).is_none());
            blockers
        };
        std::iter::once(blocked).chain(blockers.map(only_they))
    }

    /// The revisions after `after`, up to `until`, that deleted posts or took reposts back, rising.
    pub(crate) fn retractions(&self, after: Revision, until: Revision) -> Vec<Revision> {
        let all = self.retracted.iter().map(|entry| *entry.value());
        let mut some: Vec<_> = all.filter(|&at| after < at && at <= until).collect();
        some.sort_unstable();
        some
    }

    /// When the post or repost at `revision` was deleted or taken back.
    pub(crate) fn retracted(&self, revision: Revision) -> Option<Revision> {
        self.retracted.get(&revision).map(|at| *at)
    }
}
