//! What becomes of a command, by the state it meets: an event, or nothing, and an answer.
//!
//! Nothing here writes.

use super::Error;
use super::command::{Ask, EdgeKind, ReactionKind};
use super::pending::{EdgesOf, Pending, State};
use super::replies::PublishedAt;
use crate::config::Limits;
use crate::log;
use crate::model::{Change, Content, PostId, PostRef, RequestId, Revision, Severed, UserId};
use crate::view::ReadError;

/// A command that was decided: what changes, and what is answered once that can be read.
pub(super) type Decision<T> = (Option<Change>, Result<T, Error>);

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
pub(super) struct Rules {
    follows_max: usize,
    blocks_max: usize,
    mutes_max: usize,
}

impl Rules {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            follows_max: limits.follows_per_user_max,
            blocks_max: limits.blocks_per_user_max,
            mutes_max: limits.mutes_per_user_max,
        }
    }

    /// Decides a change.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub(super) fn change(
        &self,
        ask: Ask,
        pending: &Pending,
    ) -> Result<Decision<Outcome>, log::Error> {
        match ask {
            Ask::Edge { kind, user, other } => self.edge(kind, user, other, pending),
            Ask::React { kind, user, post } => react(kind, user, post, pending),
            Ask::Delete { post, reply_to, quote } => {
                let deleted = pending.since(&State::Deleted(post.id))?;
                Ok(make(deleted, Change::Delete { post, reply_to, quote }))
            }
            Ask::See { user, until } => {
                let seen = pending.since(&State::Seen(user.clone()))?.unwrap_or(Revision::ZERO);
                let found = (seen >= until).then_some(Revision::ZERO);
                Ok(make(found, Change::See { user, until }))
            }
        }
    }

    fn edge(
        &self,
        kind: EdgeKind,
        user: UserId,
        other: UserId,
        pending: &Pending,
    ) -> Result<Decision<Outcome>, log::Error> {
        let since = |of, one: &UserId, other: &UserId| {
            pending.since(&State::Edge(of, one.clone(), other.clone()))
        };
        let following = since(EdgesOf::Follows, &user, &other)?;
        let (of, max, found, change) = match kind {
            EdgeKind::Follow if following.is_none() && pending.are_apart(&user, &other)? => {
                return Ok((None, Err(Error::Blocked { user, other })));
            }
            EdgeKind::Follow => {
                let change = Change::Follow { follower: user.clone(), followee: other };
                (EdgesOf::Follows, self.follows_max, following, change)
            }
            EdgeKind::Unfollow => {
                return Ok(end(following, Change::Unfollow { follower: user, followee: other }));
            }
            EdgeKind::Block => {
                let found = since(EdgesOf::Blocks, &user, &other)?;
                let severed = Severed {
                    following: following.is_some(),
                    follower: since(EdgesOf::Follows, &other, &user)?.is_some(),
                };
                let change = Change::Block { blocker: user.clone(), blocked: other, severed };
                (EdgesOf::Blocks, self.blocks_max, found, change)
            }
            EdgeKind::Unblock => {
                let found = since(EdgesOf::Blocks, &user, &other)?;
                return Ok(end(found, Change::Unblock { blocker: user, blocked: other }));
            }
            EdgeKind::Mute => {
                let found = since(EdgesOf::Mutes, &user, &other)?;
                let change = Change::Mute { muter: user.clone(), muted: other };
                (EdgesOf::Mutes, self.mutes_max, found, change)
            }
            EdgeKind::Unmute => {
                let found = since(EdgesOf::Mutes, &user, &other)?;
                let follows = following.is_some();
                return Ok(end(found, Change::Unmute { muter: user, muted: other, follows }));
            }
        };
        if found.is_none() && pending.count(of, &user) >= max {
            return Ok((None, Err(Error::TooMany { user, of, max })));
        }
        Ok(make(found, change))
    }
}

fn react(
    kind: ReactionKind,
    user: UserId,
    post: PostRef,
    pending: &Pending,
) -> Result<Decision<Outcome>, log::Error> {
    let ends = matches!(kind, ReactionKind::Unlike | ReactionKind::Unrepost);
    if pending.since(&State::Deleted(post.id))?.is_some() {
        // What was between them has gone with the post.
        let gone = if ends {
            Ok(Outcome::Found(Revision::ZERO))
        } else {
            Err(Error::PostNotFound { post: post.id })
        };
        return Ok((None, gone));
    }
    if !ends && pending.are_apart(&user, &post.author)? {
        return Ok((None, Err(Error::Blocked { user, other: post.author })));
    }
    let state = match kind {
        ReactionKind::Like | ReactionKind::Unlike => State::Like(post.id, user.clone()),
        ReactionKind::Repost | ReactionKind::Unrepost => State::Repost(post.id, user.clone()),
    };
    let found = pending.since(&state)?;
    Ok(match kind {
        ReactionKind::Like => make(found, Change::Like { user, post }),
        ReactionKind::Unlike => end(found, Change::Unlike { user, post }),
        ReactionKind::Repost => make(found, Change::Repost { user, post }),
        ReactionKind::Unrepost => end(found, Change::Unrepost { user, post }),
    })
}

/// Decides a post, to be published at `next`.
///
/// # Errors
/// The log or the index is damaged or cannot be read.
pub(super) fn publish(
    author: UserId,
    content: Content,
    request_id: Option<RequestId>,
    next: Revision,
    pending: &Pending,
) -> Result<Decision<PublishedAt>, ReadError> {
    if let Some(request_id) = &request_id
        && let Some(earlier) = pending.requested(&author, request_id)?
    {
        let deleted = pending.since(&State::Deleted(PostId::at(earlier.revision)))?;
        let (author, request_id) = (author.clone(), request_id.clone());
        let answer = match earlier.content {
            // Whatever it said: that may be erased.
            _ if deleted.is_some() => Err(Error::PostDeleted { author, request_id }),
            Some(said) if said == content => {
                Ok(PublishedAt { revision: earlier.revision, deduplicated: true })
            }
            _ => Err(Error::RequestIdReused { author, request_id }),
        };
        return Ok((None, answer));
    }
    let parent = content.reply_to.as_ref().map(|reply_to| &reply_to.parent);
    for referred in parent.into_iter().chain(&content.quote) {
        if pending.since(&State::Deleted(referred.id))?.is_some() {
            return Ok((None, Err(Error::PostNotFound { post: referred.id })));
        }
        if pending.are_apart(&author, &referred.author)? {
            let (user, other) = (author, referred.author.clone());
            return Ok((None, Err(Error::Blocked { user, other })));
        }
    }
    let change = Change::Publish { author, content, request_id };
    Ok((Some(change), Ok(PublishedAt { revision: next, deduplicated: false })))
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
