//! What is decided but not applied yet, over what the view has in memory. Nothing here reads the
//! disk.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use super::command::{RequestCheck, RequestUse};
use crate::model::{Change, Content, Event, PostId, RequestId, Revision, UserId};
use crate::query::{Evidence, Question};
use crate::state::State;

/// The state that a command is decided by: the view, and the decisions on their way to it.
#[derive(Debug)]
pub(super) struct Pending {
    view: Arc<State>,
    /// Oldest first. No more than may be unapplied, and the one that is being decided.
    batches: VecDeque<PendingBatch>,
}

#[derive(Debug, Default)]
struct PendingBatch {
    last: Revision,
    /// Since when something is so, or `None` where it is no longer.
    states: HashMap<Condition, Option<Revision>>,
    /// What memory may not know, in the same way.
    answers: HashMap<Question, Option<Revision>>,
    /// How many of these there are after the batch.
    counts: HashMap<(EdgesOf, UserId), usize>,
    requests: HashMap<(UserId, RequestId), (Revision, Content)>,
}

/// Something that is so since a revision, or is not, and that memory always knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Condition {
    /// The one follows, blocks or mutes the other.
    Edge(EdgesOf, UserId, UserId),
    /// The post was deleted.
    Deleted(PostId),
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
pub(super) enum Requested {
    Never,
    /// For the post at this revision, which says this; nothing if that is erased.
    At(Revision, Option<Content>),
    /// What was found of it is not where it was used last.
    LookAgain,
}

impl Pending {
    pub(super) fn new(view: Arc<State>) -> Self {
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
            Change::Unfollow { follower, followee, .. } => {
                self.set_edge(EdgesOf::Follows, follower, followee, None);
            }
            Change::Publish { author, content, request_id: Some(request_id) } => {
                let key = (author.clone(), request_id.clone());
                self.deciding().requests.insert(key, (revision, content.clone()));
            }
            Change::Publish { request_id: None, .. } | Change::Erased { .. } => {}
            Change::Delete { post, .. } => self.set(Condition::Deleted(post.id), now),
            Change::Like { user, post } => {
                self.set_answer(Question::Liked(post.id, user.clone()), now);
            }
            Change::Unlike { user, post, .. } => {
                self.set_answer(Question::Liked(post.id, user.clone()), None);
            }
            Change::Repost { user, post } => {
                self.set_answer(Question::Reposted(post.id, user.clone()), now);
            }
            Change::Unrepost { user, post, .. } => {
                self.set_answer(Question::Reposted(post.id, user.clone()), None);
            }
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
            Change::See { user, until } => {
                self.set_answer(Question::Seen(user.clone()), Some(*until));
            }
        }
        self.deciding().last = revision;
    }

    fn set_edge(&mut self, of: EdgesOf, one: &UserId, other: &UserId, since: Option<Revision>) {
        let count = self.count(of, one);
        let count = if since.is_some() { count + 1 } else { count.saturating_sub(1) };
        self.deciding().counts.insert((of, one.clone()), count);
        self.set(Condition::Edge(of, one.clone(), other.clone()), since);
    }

    fn set(&mut self, state: Condition, since: Option<Revision>) {
        self.deciding().states.insert(state, since);
    }

    fn set_answer(&mut self, question: Question, answer: Option<Revision>) {
        self.deciding().answers.insert(question, answer);
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
    pub(super) fn since(&self, state: &Condition) -> Option<Revision> {
        let decided = self.batches.iter().rev().find_map(|batch| batch.states.get(state).copied());
        let view = &self.view;
        decided.unwrap_or_else(|| match state {
            Condition::Edge(EdgesOf::Follows, one, other) => view.edge(one, other),
            Condition::Edge(EdgesOf::Blocks, one, other) => view.blocked_since(one, other),
            Condition::Edge(EdgesOf::Mutes, one, other) => view.muted_since(one, other),
            Condition::Deleted(post) => view.retracted_at(post.revision()),
        })
    }

    /// The answer to `question` by now, for which `evidence` was looked up; `None` if it has to be
    /// looked up again.
    pub(super) fn answer(
        &self,
        question: &Question,
        evidence: Evidence,
    ) -> Option<Option<Revision>> {
        let answers = self.batches.iter().rev();
        // What is in none of the batches is applied in whole.
        let decided = answers.filter_map(|batch| batch.answers.get(question)).copied().next();
        decided.map_or_else(|| self.view.confirm(question, evidence), Some)
    }

    /// Whether one of the two blocks the other.
    pub(super) fn are_apart(&self, one: &UserId, other: &UserId) -> bool {
        let blocks = |one: &UserId, other: &UserId| {
            let state = Condition::Edge(EdgesOf::Blocks, one.clone(), other.clone());
            self.since(&state).is_some()
        };
        blocks(one, other) || blocks(other, one)
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

    /// What `author` used a request id for, if that is remembered.
    pub(super) fn requested(&self, author: &UserId, request: &RequestCheck) -> Requested {
        let key = (author.clone(), request.id.clone());
        let decided = self.batches.iter().rev().find_map(|batch| batch.requests.get(&key));
        if let Some((revision, content)) = decided {
            return Requested::At(*revision, Some(content.clone()));
        }
        let Some(revision) = self.view.requested(author, &request.id) else {
            return Requested::Never;
        };
        // The view says where to look; what was found there is the proof.
        match &request.found {
            Some((at, made)) if *at == revision => match made {
                RequestUse::Post(content) => Requested::At(revision, Some((**content).clone())),
                RequestUse::Erased => Requested::At(revision, None),
                RequestUse::Other => Requested::Never,
            },
            _ => Requested::LookAgain,
        }
    }
}
