//! What is decided but not applied yet, over what the view shows.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use crate::log;
use crate::model::{Change, Content, Event, PostId, RequestId, Revision, UserId};
use crate::view::{Missing, ReadError, View};

/// The state that a command is decided by: the view, and the decisions on their way to it.
#[derive(Debug)]
pub(super) struct Pending {
    view: Arc<View>,
    /// Oldest first. No more than may be unapplied, and the one that is being decided.
    batches: VecDeque<PendingBatch>,
}

#[derive(Debug, Default)]
struct PendingBatch {
    last: Revision,
    /// Since when something is so, or `None` where it is no longer.
    states: HashMap<State, Option<Revision>>,
    /// How many of these there are after the batch.
    counts: HashMap<(EdgesOf, UserId), usize>,
    requests: HashMap<(UserId, RequestId), (Revision, Content)>,
}

/// Something that is so since a revision, or is not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    /// The one follows, blocks or mutes the other.
    Edge(EdgesOf, UserId, UserId),
    /// The user likes the post.
    Like(PostId, UserId),
    /// The user reposts the post.
    Repost(PostId, UserId),
    /// The post was deleted.
    Deleted(PostId),
    /// The user has seen what they were notified of up to the revision.
    Seen(UserId),
}

/// The edges from a user to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EdgesOf {
    /// Whom they follow.
    Follows,
    /// Whom they block.
    Blocks,
    /// Whom they mute.
    Mutes,
}

impl fmt::Display for EdgesOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Follows => "follows",
            Self::Blocks => "blocks",
            Self::Mutes => "mutes",
        })
    }
}

/// What a request id was used for.
#[derive(Debug)]
pub(super) struct Requested {
    pub(super) revision: Revision,
    /// What the post says; `None` if that is erased.
    pub(super) content: Option<Content>,
}

impl Pending {
    pub(super) fn new(view: Arc<View>) -> Self {
        Self { view, batches: VecDeque::new() }
    }

    /// Begins a batch, and forgets those that the view shows by now.
    pub(super) fn begin(&mut self) {
        let applied = self.view.applied();
        while self.batches.pop_front_if(|batch| batch.last <= applied).is_some() {}
        self.batches.push_back(PendingBatch::default());
    }

    /// Takes in `event`, decided for `revision`, as part of the batch begun last.
    pub(super) fn push(&mut self, revision: Revision, event: &Event) {
        let now = Some(revision);
        match &event.change {
            Change::Follow { follower, followee } => {
                self.set_edge(EdgesOf::Follows, follower, followee, now);
            }
            Change::Unfollow { follower, followee } => {
                self.set_edge(EdgesOf::Follows, follower, followee, None);
            }
            Change::Publish { author, content, request_id: Some(request_id) } => {
                let key = (author.clone(), request_id.clone());
                self.deciding().requests.insert(key, (revision, content.clone()));
            }
            Change::Publish { request_id: None, .. } | Change::Erased { .. } => {}
            Change::Delete { post, .. } => self.set(State::Deleted(post.id), now),
            Change::Like { user, post } => self.set(State::Like(post.id, user.clone()), now),
            Change::Unlike { user, post } => self.set(State::Like(post.id, user.clone()), None),
            Change::Repost { user, post } => self.set(State::Repost(post.id, user.clone()), now),
            Change::Unrepost { user, post } => self.set(State::Repost(post.id, user.clone()), None),
            Change::Block { blocker, blocked, severed } => {
                self.set_edge(EdgesOf::Blocks, blocker, blocked, now);
                if severed.following {
                    self.set_edge(EdgesOf::Follows, blocker, blocked, None);
                }
                if severed.follower {
                    self.set_edge(EdgesOf::Follows, blocked, blocker, None);
                }
            }
            Change::Unblock { blocker, blocked } => {
                self.set_edge(EdgesOf::Blocks, blocker, blocked, None);
            }
            Change::Mute { muter, muted } => self.set_edge(EdgesOf::Mutes, muter, muted, now),
            Change::Unmute { muter, muted, .. } => {
                self.set_edge(EdgesOf::Mutes, muter, muted, None);
            }
            Change::See { user, until } => self.set(State::Seen(user.clone()), Some(*until)),
        }
        self.deciding().last = revision;
    }

    fn set_edge(&mut self, of: EdgesOf, one: &UserId, other: &UserId, since: Option<Revision>) {
        let count = self.count(of, one);
        let count = if since.is_some() { count + 1 } else { count.saturating_sub(1) };
        self.deciding().counts.insert((of, one.clone()), count);
        self.set(State::Edge(of, one.clone(), other.clone()), since);
    }

    fn set(&mut self, state: State, since: Option<Revision>) {
        self.deciding().states.insert(state, since);
    }

    fn deciding(&mut self) -> &mut PendingBatch {
        if self.batches.is_empty() {
            self.batches.push_back(PendingBatch::default());
        }
        let newest = self.batches.len() - 1;
        &mut self.batches[newest]
    }

    /// Forgets the batch begun last, which was not appended.
    pub(super) fn forget_newest(&mut self) {
        self.batches.pop_back();
    }

    /// Since when `state` is so, if it is.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub(super) fn since(&self, state: &State) -> Result<Option<Revision>, log::Error> {
        let decided = self.batches.iter().rev().find_map(|batch| batch.states.get(state).copied());
        if let Some(decided) = decided {
            return Ok(decided);
        }
        let view = &self.view;
        Ok(match state {
            State::Edge(EdgesOf::Follows, one, other) => view.edge(one, other),
            State::Edge(EdgesOf::Blocks, one, other) => view.blocked_since(one, other),
            State::Edge(EdgesOf::Mutes, one, other) => view.muted_since(one, other),
            State::Like(post, user) => view.liked_since(*post, user)?,
            State::Repost(post, user) => view.reposted_since(*post, user)?,
            State::Deleted(post) => view.retracted_at(post.revision()),
            State::Seen(user) => view.seen_until(user)?,
        })
    }

    /// Whether one of the two blocks the other.
    ///
    /// # Errors
    /// As those of [`Pending::since`].
    pub(super) fn are_apart(&self, one: &UserId, other: &UserId) -> Result<bool, log::Error> {
        let blocks = |one: &UserId, other: &UserId| {
            let state = State::Edge(EdgesOf::Blocks, one.clone(), other.clone());
            Ok::<_, log::Error>(self.since(&state)?.is_some())
        };
        Ok(blocks(one, other)? || blocks(other, one)?)
    }

    /// How many `user` follows, blocks or mutes.
    pub(super) fn count(&self, of: EdgesOf, user: &UserId) -> usize {
        let key = (of, user.clone());
        let decided = self.batches.iter().rev().find_map(|batch| batch.counts.get(&key));
        decided.copied().unwrap_or_else(|| match of {
            EdgesOf::Follows => self.view.followee_count(user),
            EdgesOf::Blocks => self.view.block_count(user),
            EdgesOf::Mutes => self.view.mute_count(user),
        })
    }

    /// What `author` used `request_id` for, if that is remembered.
    ///
    /// # Errors
    /// The log is damaged or cannot be read.
    pub(super) fn requested(
        &self,
        author: &UserId,
        request_id: &RequestId,
    ) -> Result<Option<Requested>, ReadError> {
        let key = (author.clone(), request_id.clone());
        let decided = self.batches.iter().rev().find_map(|batch| batch.requests.get(&key));
        if let Some((revision, content)) = decided {
            return Ok(Some(Requested { revision: *revision, content: Some(content.clone()) }));
        }
        let Some(revision) = self.view.requested(author, request_id) else {
            return Ok(None);
        };
        // The view tells where to look; what stands there is the proof.
        let (by, id, content) = match self.view.event(revision)?.map(|event| event.change) {
            Some(Change::Publish { author, content, request_id }) => {
                (author, request_id, Some(content))
            }
            Some(Change::Erased { author, request_id, .. }) => (author, request_id, None),
            // Published once more it would be there twice.
            _ => return Err(Missing { revision }.into()),
        };
        let is_it = by == *author && id.as_ref() == Some(request_id);
        Ok(is_it.then_some(Requested { revision, content }))
    }
}
