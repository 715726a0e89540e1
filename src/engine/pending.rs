//! Pending changes, which are decided but not applied, over the state in memory. Never reads the
//! disk.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::command::RequestCheck;
use crate::model::{
    Change, Content, Event, PostId, Relation, RelationKind, RequestId, Revision, UserId,
};
use crate::query::RequestUse;
use crate::state::{Evidence, Lookup, State};

/// The state that decisions see: the applied state, and the pending changes over it.
#[derive(Debug)]
pub(super) struct Pending {
    state: Arc<State>,
    /// Oldest first. At most the limit of unapplied batches, and the one that is being decided.
    batches: VecDeque<PendingBatch>,
}

/// The changes of one batch.
#[derive(Debug, Default)]
struct PendingBatch {
    last: Revision,
    /// The revision of a set relation; `None` for an ended one.
    relations: HashMap<Relation, Option<Revision>>,
    /// The number of a user's relations of a kind after the batch.
    counts: HashMap<(RelationKind, UserId), usize>,
    /// Deleted post → the revision of the deletion.
    deleted: HashMap<PostId, Revision>,
    /// The revision up to which a user has seen their notifications.
    seen: HashMap<UserId, Revision>,
    requests: HashMap<(UserId, RequestId), (Revision, Content)>,
}

/// Whether a request id was used.
#[derive(Debug)]
pub(super) enum RequestStatus {
    Unused,
    /// Used for the post at this revision, with this content; `None` if it is erased.
    UsedAt(Revision, Option<Content>),
    /// The lookup found another revision than the state has now.
    LookUpAgain,
}

impl Pending {
    pub(super) fn new(state: Arc<State>) -> Self {
        Self { state, batches: VecDeque::new() }
    }

    /// Starts a batch, and drops the batches that are applied.
    pub(super) fn start_batch(&mut self) {
        let applied = self.state.applied();
        while self.batches.pop_front_if(|batch| batch.last <= applied).is_some() {}
        self.batches.push_back(PendingBatch::default());
    }

    /// Adds `event`, which was decided for `revision`, to the newest batch.
    pub(super) fn push(&mut self, revision: Revision, event: &Event) {
        debug_assert!(self.deciding().last < revision, "not in the log's order");
        if let Some((relation, on)) = event.change.relation() {
            self.set(relation, on.then_some(revision));
        }
        match &event.change {
            Change::Block { blocker, blocked, severed } => {
                if severed.following {
                    self.set(Relation::Follow(blocker.clone(), blocked.clone()), None);
                }
                if severed.follower {
                    self.set(Relation::Follow(blocked.clone(), blocker.clone()), None);
                }
            }
            Change::Publish { author, content, request_id: Some(request_id) } => {
                let key = (author.clone(), request_id.clone());
                self.deciding().requests.insert(key, (revision, content.clone()));
            }
            Change::Delete { post, .. } => {
                self.deciding().deleted.insert(post.id, revision);
            }
            Change::See { user, until } => {
                self.deciding().seen.insert(user.clone(), *until);
            }
            _ => {}
        }
        self.deciding().last = revision;
    }

    fn set(&mut self, relation: Relation, since: Option<Revision>) {
        if relation.other().is_some() {
            let (kind, user) = (relation.kind(), relation.user().clone());
            let count = self.count(kind, &user);
            let count = if since.is_some() { count + 1 } else { count.saturating_sub(1) };
            self.deciding().counts.insert((kind, user), count);
        }
        self.deciding().relations.insert(relation, since);
    }

    fn deciding(&mut self) -> &mut PendingBatch {
        if self.batches.is_empty() {
            self.batches.push_back(PendingBatch::default());
        }
        let newest = self.batches.len() - 1;
        &mut self.batches[newest]
    }

    /// Drops the newest batch, which was not appended to the log.
    pub(super) fn drop_newest(&mut self) {
        self.batches.pop_back();
    }

    /// The revision of `relation`, if it is set; or `None` if it has to be looked up again. A
    /// relation to a post needs `evidence`, which the call has looked up.
    pub(super) fn since(
        &self,
        relation: &Relation,
        evidence: Option<Evidence>,
    ) -> Option<Option<Revision>> {
        let decided = self.newest_first().find_map(|batch| batch.relations.get(relation).copied());
        if decided.is_some() {
            return decided;
        }
        // All other changes of the relation are applied.
        match Lookup::of(relation) {
            None => Some(self.state.since(relation)),
            Some(lookup) => self.state.confirm(&lookup, evidence?),
        }
    }

    /// The revision of the follow, if `follower` follows `followee`.
    pub(super) fn follows(&self, follower: &UserId, followee: &UserId) -> Option<Revision> {
        self.since(&Relation::Follow(follower.clone(), followee.clone()), None).flatten()
    }

    /// The revision at which the post was deleted, if it was.
    pub(super) fn deleted(&self, post: PostId) -> Option<Revision> {
        let decided = self.newest_first().find_map(|batch| batch.deleted.get(&post).copied());
        decided.or_else(|| self.state.retracted_at(post.revision()))
    }

    /// The revision up to which `user` has seen their notifications, if any; or `None` if it has to
    /// be looked up again. The call has looked up `evidence`.
    pub(super) fn seen(&self, user: &UserId, evidence: Evidence) -> Option<Option<Revision>> {
        let decided = self.newest_first().find_map(|batch| batch.seen.get(user).copied());
        match decided {
            Some(seen) => Some(Some(seen)),
            None => self.state.confirm(&Lookup::Seen(user.clone()), evidence),
        }
    }

    /// Whether one of the two users blocks the other.
    pub(super) fn is_blocked_either_way(&self, one: &UserId, other: &UserId) -> bool {
        let blocks = |one: &UserId, other: &UserId| {
            self.since(&Relation::Block(one.clone(), other.clone()), None).flatten().is_some()
        };
        blocks(one, other) || blocks(other, one)
    }

    /// The number of users whom `user` follows, blocks or mutes.
    pub(super) fn count(&self, kind: RelationKind, user: &UserId) -> usize {
        let key = (kind, user.clone());
        let decided = self.newest_first().find_map(|batch| batch.counts.get(&key).copied());
        decided.unwrap_or_else(|| self.state.count(kind, user))
    }

    /// Whether `author` used a request id within its retention.
    pub(super) fn requested(&self, author: &UserId, request: &RequestCheck) -> RequestStatus {
        let key = (author.clone(), request.id.clone());
        let decided = self.newest_first().find_map(|batch| batch.requests.get(&key));
        if let Some((revision, content)) = decided {
            return RequestStatus::UsedAt(*revision, Some(content.clone()));
        }
        let Some(revision) = self.state.requested(author, &request.id) else {
            return RequestStatus::Unused;
        };
        // The state finds the revision by a hash, so the event there is compared, too.
        match &request.found {
            Some(found) if found.revision == revision => match &found.used_for {
                RequestUse::Post(content) => {
                    RequestStatus::UsedAt(revision, Some((**content).clone()))
                }
                RequestUse::Erased => RequestStatus::UsedAt(revision, None),
                RequestUse::Other => RequestStatus::Unused,
            },
            _ => RequestStatus::LookUpAgain,
        }
    }

    fn newest_first(&self) -> impl Iterator<Item = &PendingBatch> {
        self.batches.iter().rev()
    }
}
