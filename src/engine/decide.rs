//! What becomes of a command, by the state it meets: an event, or nothing, and an answer.
//!
//! Nothing here writes, or reads the disk.

use super::Error;
use super::command::{ChangeRequest, EdgeKind, ReactionKind, Rejection, RequestCheck};
use super::pending::{Condition, EdgesOf, Pending, Requested};
use crate::config::Limits;
use crate::model::{Change, Content, PostId, PostRef, Revision, SeveredFollows, UserId};
use crate::query::{Evidence, Question};

/// A command that was decided: what changes, and what is answered once that can be read.
pub(super) type Decision<T> = (Option<Change>, Result<T, Rejection>);

/// Something that is so: since when, if this did not make it so.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    /// By this command.
    Made,
    /// Since this revision; [`Revision::ZERO`] where there was nothing to end.
    Found(Revision),
}

/// The rules, and the numbers in them.
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

    /// Decides a change.
    pub(super) fn change(&self, ask: ChangeRequest, pending: &Pending) -> Decision<Outcome> {
        match ask {
            ChangeRequest::Edge { kind, user, other } => self.edge(kind, user, other, pending),
            ChangeRequest::React { kind, user, post, evidence } => {
                react(kind, user, post, evidence, pending)
            }
            ChangeRequest::Delete { post, reply_to, quote, notified } => {
                let deleted = pending.since(&Condition::Deleted(post.id));
                make(deleted, Change::Delete { post, reply_to, quote, notified })
            }
            ChangeRequest::See { user, until, evidence } => {
                let Some(seen) = pending.answer(&Question::Seen(user.clone()), evidence) else {
                    return LOOK_AGAIN;
                };
                let seen = seen.unwrap_or(Revision::ZERO);
                let found = (seen >= until).then_some(Revision::ZERO);
                make(found, Change::See { user, until })
            }
        }
    }

    fn edge(
        &self,
        kind: EdgeKind,
        user: UserId,
        other: UserId,
        pending: &Pending,
    ) -> Decision<Outcome> {
        let since = |of, one: &UserId, other: &UserId| {
            pending.since(&Condition::Edge(of, one.clone(), other.clone()))
        };
        let following = since(EdgesOf::Follows, &user, &other);
        let (of, max, found, change) = match kind {
            EdgeKind::Follow if following.is_none() && pending.are_apart(&user, &other) => {
                return refuse(Error::Blocked { user, other });
            }
            EdgeKind::Follow => {
                let change = Change::Follow { follower: user.clone(), followee: other };
                (EdgesOf::Follows, self.follows_max, following, change)
            }
            EdgeKind::Unfollow => {
                let since = following;
                let change = Change::Unfollow { follower: user, followee: other, since };
                return end(following, change);
            }
            EdgeKind::Block => {
                let found = since(EdgesOf::Blocks, &user, &other);
                let severed = SeveredFollows {
                    following: following.is_some(),
                    follower: since(EdgesOf::Follows, &other, &user).is_some(),
                };
                let change = Change::Block { blocker: user.clone(), blocked: other, severed };
                (EdgesOf::Blocks, self.blocks_max, found, change)
            }
            EdgeKind::Unblock => {
                let found = since(EdgesOf::Blocks, &user, &other);
                return end(found, Change::Unblock { blocker: user, blocked: other });
            }
            EdgeKind::Mute => {
                let found = since(EdgesOf::Mutes, &user, &other);
                let change = Change::Mute { muter: user.clone(), muted: other };
                (EdgesOf::Mutes, self.mutes_max, found, change)
            }
            EdgeKind::Unmute => {
                let found = since(EdgesOf::Mutes, &user, &other);
                let follows = following.is_some();
                return end(found, Change::Unmute { muter: user, muted: other, follows });
            }
        };
        if found.is_none() && pending.count(of, &user) >= max {
            return refuse(Error::TooMany { user, of, max });
        }
        make(found, change)
    }
}

fn react(
    kind: ReactionKind,
    user: UserId,
    post: PostRef,
    evidence: Evidence,
    pending: &Pending,
) -> Decision<Outcome> {
    let ends = matches!(kind, ReactionKind::Unlike | ReactionKind::Unrepost);
    if pending.since(&Condition::Deleted(post.id)).is_some() {
        // What was between them has gone with the post.
        return match ends {
            true => (None, Ok(Outcome::Found(Revision::ZERO))),
            false => refuse(Error::PostNotFound { post: post.id }),
        };
    }
    if !ends && pending.are_apart(&user, &post.author) {
        return refuse(Error::Blocked { user, other: post.author });
    }
    let Some(found) = pending.answer(&kind.question(&user, post.id), evidence) else {
        return LOOK_AGAIN;
    };
    match kind {
        ReactionKind::Like => make(found, Change::Like { user, post }),
        ReactionKind::Unlike => end(found, Change::Unlike { user, post, since: found }),
        ReactionKind::Repost => make(found, Change::Repost { user, post }),
        ReactionKind::Unrepost => end(found, Change::Unrepost { user, post, since: found }),
    }
}

/// Decides a post: whether it is made, or where it was.
pub(super) fn publish(
    author: UserId,
    content: Content,
    request: Option<RequestCheck>,
    pending: &Pending,
) -> Decision<Outcome> {
    let request_id = request.as_ref().map(|request| request.id.clone());
    if let Some(request) = request {
        let (said, revision) = match pending.requested(&author, &request) {
            Requested::Never => (None, None),
            Requested::At(revision, said) => (said, Some(revision)),
            Requested::LookAgain => return LOOK_AGAIN,
        };
        if let Some(revision) = revision {
            let request_id = request.id;
            // Whatever it said: that may be erased.
            if pending.since(&Condition::Deleted(PostId::from_revision(revision))).is_some() {
                return refuse(Error::PostDeleted { author, request_id });
            }
            return match said {
                Some(said) if said.is_same_request(&content) => {
                    (None, Ok(Outcome::Found(revision)))
                }
                _ => refuse(Error::RequestIdReused { author, request_id }),
            };
        }
    }
    let parent = content.reply_to.as_ref().map(|reply_to| &reply_to.parent);
    for referred in parent.into_iter().chain(&content.quote) {
        if pending.since(&Condition::Deleted(referred.id)).is_some() {
            return refuse(Error::PostNotFound { post: referred.id });
        }
        if pending.are_apart(&author, &referred.author) {
            let (user, other) = (author, referred.author.clone());
            return refuse(Error::Blocked { user, other });
        }
    }
    make(None, Change::Publish { author, content, request_id })
}

/// Nothing is decided, as it is not known by what.
const LOOK_AGAIN: Decision<Outcome> = (None, Err(Rejection::LookAgain));

fn refuse(error: Error) -> Decision<Outcome> {
    (None, Err(Rejection::Refused(error)))
}

/// Makes something so by `change`, unless it was found to be.
fn make(found: Option<Revision>, change: Change) -> Decision<Outcome> {
    match found {
        Some(since) => (None, Ok(Outcome::Found(since))),
        None => (Some(change), Ok(Outcome::Made)),
    }
}

/// Ends something by `change`, if it was found.
fn end(found: Option<Revision>, change: Change) -> Decision<Outcome> {
    match found {
        Some(_) => (Some(change), Ok(Outcome::Made)),
        None => (None, Ok(Outcome::Found(Revision::ZERO))),
    }
}
