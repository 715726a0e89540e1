//! Relations between users and posts, from memory alone: for the decision of changes.
//!
//! Memory has all follows, blocks, mutes and retractions. Likes, reposts and what a user has seen
//! may be in the index alone. Whoever decides a change by one of those looks it up before the change
//! joins the queue ([`crate::query::LookUp`]); memory then confirms what was found:
//!
//! ```text
//!   lookup: applied = r ──▶ memory, else the index ──▶ Evidence { found, as_of: r }
//!   queue:  changed after r?  no ──▶ found
//!                             yes, and memory has it ──▶ what memory has
//!                             else ──▶ unknown: it has to be looked up again
//! ```

use super::State;
use super::records::record::{Key, Table, Value};
use crate::model::{PostId, Relation, RelationKind, Revision, UserId};

/// A value by which a change is decided, and which may be in the index alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// Since when the user likes the post.
    Like(UserId, PostId),
    /// Since when the user reposts the post.
    Repost(UserId, PostId),
    /// Up to which position the user has seen their notifications.
    Seen(UserId),
}

/// The result of a [`Lookup`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub(crate) found: Option<Revision>,
    /// All that was applied up to here is taken into account; of later changes perhaps some.
    pub(crate) as_of: Revision,
}

impl Lookup {
    /// The lookup that decides about `relation`; `None` if memory always has it.
    #[must_use]
    pub fn of(relation: &Relation) -> Option<Self> {
        match relation {
            Relation::Like(user, post) => Some(Self::Like(user.clone(), *post)),
            Relation::Repost(user, post) => Some(Self::Repost(user.clone(), *post)),
            Relation::Follow(..) | Relation::Block(..) | Relation::Mute(..) => None,
        }
    }
}

impl State {
    /// How many users the log has named.
    #[must_use]
    pub fn user_count(&self) -> usize {
        self.users.len()
    }

    /// Whether the log has named `user`.
    #[must_use]
    pub fn is_user(&self, user: &UserId) -> bool {
        self.users.get(user).is_some()
    }

    /// The revision since which a follow, a block or a mute holds, if it does.
    ///
    /// # Panics
    /// `relation` is a like or a repost: memory may not have those.
    #[must_use]
    pub fn since(&self, relation: &Relation) -> Option<Revision> {
        let graph = match relation.kind() {
            RelationKind::Follow => &self.graph,
            RelationKind::Block => self.visibility.blocks(),
            RelationKind::Mute => self.visibility.mutes(),
            RelationKind::Like | RelationKind::Repost => {
                panic!("memory may not have {relation:?}: it has to be looked up")
            }
        };
        graph.edge(self.users.get(relation.user())?, self.users.get(relation.other()?)?)
    }

    /// How many users `user` follows, blocks or mutes.
    ///
    /// # Panics
    /// `kind` is a like or a repost: those are not counted by their user.
    #[must_use]
    pub fn count(&self, kind: RelationKind, user: &UserId) -> usize {
        let graph = match kind {
            RelationKind::Follow => &self.graph,
            RelationKind::Block => self.visibility.blocks(),
            RelationKind::Mute => self.visibility.mutes(),
            RelationKind::Like | RelationKind::Repost => {
                panic!("nobody counts what a user {kind}")
            }
        };
        self.users.get(user).map_or(0, |user| graph.followee_count(user))
    }

    /// How many follow `followee`.
    #[must_use]
    pub fn follower_count(&self, followee: &UserId) -> usize {
        self.users.get(followee).map_or(0, |followee| self.graph.follower_count(followee))
    }

    /// The followers of `followee`: at most `max`, those that the log named after `after` or all, in
    /// the order in which the log first named them.
    #[must_use]
    pub fn followers(&self, followee: &UserId, after: Option<&UserId>, max: usize) -> Vec<UserId> {
        let Some(followee) = self.users.get(followee) else { return Vec::new() };
        let after = after.and_then(|after| self.users.get(after));
        let followers = self.graph.followers(followee, after, max);
        followers.into_iter().map(|follower| self.users.name(follower)).collect()
    }

    /// The users whom `follower` follows, in no particular order.
    #[must_use]
    pub fn followees(&self, follower: &UserId) -> Vec<UserId> {
        let Some(follower) = self.users.get(follower) else { return Vec::new() };
        let edges = self.graph.edges(follower);
        edges.iter().map(|edge| self.users.name(edge.followee)).collect()
    }

    /// Whether one of the two blocks the other: then neither sees the other.
    #[must_use]
    pub fn is_blocked_either_way(&self, one: &UserId, other: &UserId) -> bool {
        let numbers = self.users.get(one).zip(self.users.get(other));
        numbers.is_some_and(|(one, other)| self.visibility.is_blocked_either_way(one, other))
    }

    /// Whether the feeds and notifications of `user` have nothing of `other`.
    #[must_use]
    pub fn is_hidden_from(&self, user: &UserId, other: &UserId) -> bool {
        let numbers = self.users.get(user).zip(self.users.get(other));
        numbers.is_some_and(|(user, other)| self.visibility.is_hidden(user, other))
    }

    /// When the post or repost at `revision` was deleted or taken back, if it was.
    #[must_use]
    pub fn retracted_at(&self, revision: Revision) -> Option<Revision> {
        self.visibility.retracted(revision)
    }

    /// The revisions after `after`, up to `until`, that deleted posts or took reposts back, rising.
    /// Costs a pass over all there ever were.
    #[must_use]
    pub fn retractions(&self, after: Revision, until: Revision) -> Vec<Revision> {
        self.visibility.retractions(after, until)
    }

    /// The current result of `lookup`, from memory and from `evidence`, which was found for it;
    /// `None` if it may have changed since and memory no longer has that change. Does not include the
    /// event that is being applied in this moment.
    #[must_use]
    pub fn confirm(&self, lookup: &Lookup, evidence: Evidence) -> Option<Option<Revision>> {
        // A new user has no record.
        let Some(key) = self.key_of(lookup) else { return Some(None) };
        if self.records.changed_until(key) <= evidence.as_of {
            return Some(evidence.found);
        }
        Some(self.records.get_cached(key)?.map(Value::revision))
    }

    /// Whether memory, which has no record at `key`, knows that the index has none either.
    pub(crate) fn has_none(&self, key: Key) -> bool {
        let counts = || self.counts.get(key.subject);
        // The index has no record about a post that it does not have.
        let is_new = || self.records.is_new(key.subject.revision());
        match key.table {
            Table::Like => is_new() || counts().is_some_and(|counts| counts.likes == 0),
            Table::Repost => is_new() || counts().is_some_and(|counts| counts.reposts == 0),
            _ => false,
        }
    }

    /// The record of `lookup`; `None` if its user is new.
    pub(crate) fn key_of(&self, lookup: &Lookup) -> Option<Key> {
        Some(match lookup {
            Lookup::Like(user, post) => Key::new(Table::Like, *post, self.users.get(user)?),
            Lookup::Repost(user, post) => Key::new(Table::Repost, *post, self.users.get(user)?),
            Lookup::Seen(user) => Key::of(Table::Seen, self.users.get(user)?),
        })
    }
}
