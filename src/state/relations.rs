//! Relations between users and posts, for decisions about changes. Never reads the index or the
//! log.
//!
//! Memory has all follows, blocks, mutes and retractions. Likes, reposts and seen positions may be
//! in the index only. A change that depends on one of those is looked up before it joins the queue
//! ([`crate::query::LookUp`]); memory then confirms the result:
//!
//! ```text
//!   lookup: applied = r ──▶ memory, else the index ──▶ Evidence { found, as_of: r }
//!   queue:  changed after r?  no ──▶ found
//!                             yes, and memory has the record ──▶ the value in memory
//!                             otherwise ──▶ unknown: it has to be looked up again
//! ```

use super::State;
use super::records::record::{Key, PostCounts, Table, Value};
use crate::model::{PostId, Relation, RelationKind, Revision, UserId};

/// A value that a decision depends on, and that may be in the index only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// The revision of the user's like of the post.
    Like(UserId, PostId),
    /// The revision of the user's repost of the post.
    Repost(UserId, PostId),
    /// The revision up to which the user has seen their notifications.
    Seen(UserId),
}

/// The result of a [`Lookup`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub(crate) found: Option<Revision>,
    /// `found` includes all changes up to here, and may include later ones.
    pub(crate) as_of: Revision,
}

impl Lookup {
    /// The lookup that a change of `relation` depends on; `None` if memory always has it.
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
    /// The number of users that occur in the log.
    #[must_use]
    pub fn user_count(&self) -> usize {
        self.users.len()
    }

    /// Whether `user` occurs in the log.
    #[must_use]
    pub fn is_user(&self, user: &UserId) -> bool {
        self.users.get(user).is_some()
    }

    /// The revision of a follow, a block or a mute; `None` if the relation is not set.
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

    /// The number of users whom `user` follows, blocks or mutes.
    ///
    /// # Panics
    /// `kind` is a like or a repost: those are not counted per user.
    #[must_use]
    pub fn count(&self, kind: RelationKind, user: &UserId) -> usize {
        let graph = match kind {
            RelationKind::Follow => &self.graph,
            RelationKind::Block => self.visibility.blocks(),
            RelationKind::Mute => self.visibility.mutes(),
            RelationKind::Like | RelationKind::Repost => {
                panic!("{kind:?} relations are not counted per user")
            }
        };
        self.users.get(user).map_or(0, |user| graph.followee_count(user))
    }

    /// The number of users who follow `followee`.
    #[must_use]
    pub fn follower_count(&self, followee: &UserId) -> usize {
        self.users.get(followee).map_or(0, |followee| self.graph.follower_count(followee))
    }

    /// A page of at most `max` followers of `followee`, in the order in which users first occur in
    /// the log: the first page, or the one after `after`.
    #[must_use]
    pub fn followers(&self, followee: &UserId, after: Option<&UserId>, max: usize) -> Vec<UserId> {
        let Some(followee) = self.users.get(followee) else { return Vec::new() };
        let after = after.and_then(|after| self.users.get(after));
        let followers = self.graph.followers(followee, after, max);
        followers.into_iter().map(|follower| self.users.name(follower)).collect()
    }

    /// The users whom `follower` follows. The order is not defined.
    #[must_use]
    pub fn followees(&self, follower: &UserId) -> Vec<UserId> {
        let Some(follower) = self.users.get(follower) else { return Vec::new() };
        let edges = self.graph.edges(follower);
        edges.iter().map(|edge| self.users.name(edge.followee)).collect()
    }

    /// Whether one of the two users blocks the other: then neither sees the other.
    #[must_use]
    pub fn is_blocked_either_way(&self, one: &UserId, other: &UserId) -> bool {
        let numbers = self.users.get(one).zip(self.users.get(other));
        numbers.is_some_and(|(one, other)| self.visibility.is_blocked_either_way(one, other))
    }

    /// Whether `user`'s feeds and notifications leave out `other`: by a block either way, or by a
    /// mute.
    #[must_use]
    pub fn is_hidden_from(&self, user: &UserId, other: &UserId) -> bool {
        let numbers = self.users.get(user).zip(self.users.get(other));
        numbers.is_some_and(|(user, other)| self.visibility.is_hidden(user, other))
    }

    /// The revision at which the post at `revision` was deleted, or the repost removed.
    #[must_use]
    pub fn retracted_at(&self, revision: Revision) -> Option<Revision> {
        self.visibility.retracted(revision)
    }

    /// The deletions and removals of reposts after `after` and up to `until`, in rising order. The
    /// time grows with the number of all of them in the log.
    #[must_use]
    pub fn retractions(&self, after: Revision, until: Revision) -> Vec<Revision> {
        self.visibility.retractions(after, until)
    }

    /// The current result of `lookup`, from memory and from earlier `evidence`; `None` if the value
    /// may have changed since and memory no longer has that change. Does not include an event that
    /// is being applied at the same time.
    #[must_use]
    pub fn confirm(&self, lookup: &Lookup, evidence: Evidence) -> Option<Option<Revision>> {
        // A new user has no record.
        let Some(key) = self.key_of(lookup) else { return Some(None) };
        if self.records.changed_until(key) <= evidence.as_of {
            return Some(evidence.found);
        }
        Some(self.records.get_cached(key)?.map(Value::revision))
    }

    /// Whether the index certainly has no record at `key` either, if memory has none.
    pub(crate) fn is_absent(&self, key: Key) -> bool {
        if !key.table.is_reaction() {
            return false;
        }
        let post = key.reacted_post();
        let counts = || self.posts.counts(post);
        let count_of = |counts: PostCounts| match key.table {
            Table::Like => counts.likes,
            _ => counts.reposts,
        };
        // The index has no record of a post that it does not have.
        self.records.is_new(post.revision()) || counts().is_some_and(|it| count_of(it) == 0)
    }

    /// The key of the record for `lookup`; `None` if the user does not occur in the log.
    pub(crate) fn key_of(&self, lookup: &Lookup) -> Option<Key> {
        Some(match lookup {
            Lookup::Like(user, post) => {
                Key::of_user(Table::Like, (*post).into(), self.users.get(user)?)
            }
            Lookup::Repost(user, post) => {
                Key::of_user(Table::Repost, (*post).into(), self.users.get(user)?)
            }
            Lookup::Seen(user) => Key::of(Table::Seen, self.users.get(user)?),
        })
    }
}
