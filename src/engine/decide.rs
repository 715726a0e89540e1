//! Decisions of commands, by the state and the pending changes: an event or none, and a result.
//!
//! A decision never writes, and never reads the disk.

use super::Error;
use super::command::{ChangeRequest, PostTarget, Rejection, RequestCheck};
use super::pending::{Pending, RequestStatus};
use crate::config::Limits;
use crate::model::{
    Change, Content, PostId, PostRef, Relation, RelationKind, Revision, SeveredFollows, UserId,
};

/// A decided command: the change to make, and the result after it is applied.
pub(super) type Decision<T> = (Option<Change>, Result<T, Rejection>);

/// The result of a command that was not refused.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    /// This command made the change.
    Made,
    /// The change was made before, at this revision; [`Revision::ZERO`] if the relation to end was
    /// not set.
    Found(Revision),
}

/// The limits that decisions enforce.
#[derive(Clone, Copy, Debug)]
pub(super) struct DecisionRules {
    follows_max: usize,
    blocks_max: usize,
    mutes_max: usize,
}

impl DecisionRules {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            follows_max: limits.follows_per_user_max,
            blocks_max: limits.blocks_per_user_max,
            mutes_max: limits.mutes_per_user_max,
        }
    }

    pub(super) fn change(&self, request: ChangeRequest, pending: &Pending) -> Decision<Outcome> {
        match request {
            ChangeRequest::Relation { relation, on, post } => {
                self.relation(&relation, on, post, pending)
            }
            ChangeRequest::Delete { post, reply_to, quote, notified } => {
                let deleted = pending.deleted(post.id);
                make(deleted, || Change::Delete { post, reply_to, quote, notified })
            }
            ChangeRequest::See { user, until, evidence } => {
                let Some(seen) = pending.seen(&user, evidence) else { return LOOK_UP_AGAIN };
                let is_seen = seen.unwrap_or(Revision::ZERO) >= until;
                make(is_seen.then_some(Revision::ZERO), || Change::See { user, until })
            }
        }
    }

    /// Decides whether a relation is set or ended.
    fn relation(
        &self,
        relation: &Relation,
        on: bool,
        post: Option<PostTarget>,
        pending: &Pending,
    ) -> Decision<Outcome> {
        if let Some(post) = relation.post()
            && pending.deleted(post).is_some()
        {
            // The relation ended with the post.
            return match on {
                true => refuse(Error::PostNotFound { post }),
                false => (None, Ok(Outcome::Found(Revision::ZERO))),
            };
        }
        let (kind, user) = (relation.kind(), relation.user());
        let Some(since) = pending.since(relation, post.as_ref().map(|post| post.evidence)) else {
            return LOOK_UP_AGAIN;
        };
        let author = post.map(|post| post.author);
        let must_see = match kind {
            RelationKind::Follow => since.is_none(),
            RelationKind::Like | RelationKind::Repost => true,
            RelationKind::Block | RelationKind::Mute => false,
        };
        if let Some(other) = author.as_ref().or_else(|| relation.other())
            && on
            && must_see
            && pending.is_blocked_either_way(user, other)
        {
            return refuse(Error::Blocked { user: user.clone(), other: other.clone() });
        }
        match (on, since, self.max(kind)) {
            (true, Some(since), _) => (None, Ok(Outcome::Found(since))),
            (false, None, _) => (None, Ok(Outcome::Found(Revision::ZERO))),
            (true, None, Some(max)) if pending.count(kind, user) >= max => {
                refuse(Error::TooMany { user: user.clone(), of: kind, max })
            }
            (true, None, _) => {
                (Some(setting(relation.clone(), author, pending)), Ok(Outcome::Made))
            }
            (false, Some(_), _) => {
                (Some(ending(relation.clone(), author, since, pending)), Ok(Outcome::Made))
            }
        }
    }

    /// The limit of a user's relations of a kind to other users.
    fn max(&self, kind: RelationKind) -> Option<usize> {
        match kind {
            RelationKind::Follow => Some(self.follows_max),
            RelationKind::Block => Some(self.blocks_max),
            RelationKind::Mute => Some(self.mutes_max),
            RelationKind::Like | RelationKind::Repost => None,
        }
    }
}

/// The change that sets `relation`, whose post is by `author`.
fn setting(relation: Relation, author: Option<UserId>, pending: &Pending) -> Change {
    match relation {
        Relation::Follow(follower, followee) => Change::Follow { follower, followee },
        Relation::Block(blocker, blocked) => {
            let severed = SeveredFollows {
                following: pending.follows(&blocker, &blocked).is_some(),
                follower: pending.follows(&blocked, &blocker).is_some(),
            };
            Change::Block { blocker, blocked, severed }
        }
        Relation::Mute(muter, muted) => Change::Mute { muter, muted },
        Relation::Like(user, post) => Change::Like { user, post: reference(post, author) },
        Relation::Repost(user, post) => Change::Repost { user, post: reference(post, author) },
    }
}

/// The change that ends `relation`, which was set at `since` and whose post is by `author`.
fn ending(
    relation: Relation,
    author: Option<UserId>,
    since: Option<Revision>,
    pending: &Pending,
) -> Change {
    match relation {
        Relation::Follow(follower, followee) => Change::Unfollow { follower, followee, since },
        Relation::Block(blocker, blocked) => Change::Unblock { blocker, blocked },
        Relation::Mute(muter, muted) => {
            let follows = pending.follows(&muter, &muted).is_some();
            Change::Unmute { muter, muted, follows }
        }
        Relation::Like(user, post) => Change::Unlike { user, post: reference(post, author), since },
        Relation::Repost(user, post) => {
            Change::Unrepost { user, post: reference(post, author), since }
        }
    }
}

/// # Panics
/// The author was not looked up.
fn reference(id: PostId, author: Option<UserId>) -> PostRef {
    match author {
        Some(author) => PostRef { id, author },
        None => panic!("the author of {id:?} was not looked up"),
    }
}

/// Decides a publish: a new post, or the earlier post with the same request id.
pub(super) fn publish(
    author: UserId,
    content: Content,
    request: Option<RequestCheck>,
    pending: &Pending,
) -> Decision<Outcome> {
    let request_id = request.as_ref().map(|request| request.id.clone());
    if let Some(request) = request {
        let (published, revision) = match pending.requested(&author, &request) {
            RequestStatus::Unused => (None, None),
            RequestStatus::UsedAt(revision, published) => (published, Some(revision)),
            RequestStatus::LookUpAgain => return LOOK_UP_AGAIN,
        };
        if let Some(revision) = revision {
            let request_id = request.id;
            // Checked before the content, which may be erased.
            if pending.deleted(PostId::from_revision(revision)).is_some() {
                return refuse(Error::PostDeleted { author, request_id });
            }
            return match published {
                Some(earlier) if earlier.is_same_request(&content) => {
                    (None, Ok(Outcome::Found(revision)))
                }
                _ => refuse(Error::RequestIdReused { author, request_id }),
            };
        }
    }
    let parent = content.reply_to.as_ref().map(|reply_to| &reply_to.parent);
    for target in parent.into_iter().chain(&content.quote) {
        if pending.deleted(target.id).is_some() {
            return refuse(Error::PostNotFound { post: target.id });
        }
        if pending.is_blocked_either_way(&author, &target.author) {
            let (user, other) = (author, target.author.clone());
            return refuse(Error::Blocked { user, other });
        }
    }
    make(None, || Change::Publish { author, content, request_id })
}

/// No decision: the value that it depends on is not known.
const LOOK_UP_AGAIN: Decision<Outcome> = (None, Err(Rejection::LookUpAgain));

fn refuse(error: Error) -> Decision<Outcome> {
    (None, Err(Rejection::Refused(error)))
}

/// Decides to make `change`, unless it was made before at `found`.
fn make(found: Option<Revision>, change: impl FnOnce() -> Change) -> Decision<Outcome> {
    match found {
        Some(since) => (None, Ok(Outcome::Found(since))),
        None => (Some(change()), Ok(Outcome::Made)),
    }
}
