//! What is decided but not applied yet, over what the view shows.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::log;
use crate::model::{Change, Event, PostText, RequestId, Revision, UserId};
use crate::view::View;

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
    /// By follower and followee: since when, or `None` for an unfollow.
    edges: HashMap<(UserId, UserId), Option<Revision>>,
    /// By follower: how many they follow after the batch.
    followee_counts: HashMap<UserId, usize>,
    requests: HashMap<(UserId, RequestId), (Revision, PostText)>,
}

/// What a request id was used for.
#[derive(Debug)]
pub(super) struct Requested {
    pub(super) revision: Revision,
    pub(super) text: PostText,
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
        match &event.change {
            Change::Follow { follower, followee } => {
                let count = self.followee_count(follower) + 1;
                self.push_edge(follower, followee, Some(revision), count);
            }
            Change::Unfollow { follower, followee } => {
                let count = self.followee_count(follower).saturating_sub(1);
                self.push_edge(follower, followee, None, count);
            }
            Change::Publish { author, content, request_id: Some(request_id) } => {
                let key = (author.clone(), request_id.clone());
                self.deciding().requests.insert(key, (revision, content.text.clone()));
            }
            _ => {}
        }
        self.deciding().last = revision;
    }

    fn push_edge(
        &mut self,
        follower: &UserId,
        followee: &UserId,
        since: Option<Revision>,
        followee_count: usize,
    ) {
        let batch = self.deciding();
        batch.edges.insert((follower.clone(), followee.clone()), since);
        batch.followee_counts.insert(follower.clone(), followee_count);
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

    /// Since when `follower` follows `followee`, if they do.
    pub(super) fn edge(&self, follower: &UserId, followee: &UserId) -> Option<Revision> {
        let key = (follower.clone(), followee.clone());
        let decided = self.batches.iter().rev().find_map(|batch| batch.edges.get(&key).copied());
        decided.unwrap_or_else(|| self.view.edge(follower, followee))
    }

    /// How many `follower` follows.
    pub(super) fn followee_count(&self, follower: &UserId) -> usize {
        let decided =
            self.batches.iter().rev().find_map(|batch| batch.followee_counts.get(follower));
        decided.copied().unwrap_or_else(|| self.view.followee_count(follower))
    }

    /// What `author` used `request_id` for, if that is remembered.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(super) fn requested(
        &self,
        author: &UserId,
        request_id: &RequestId,
    ) -> Result<Option<Requested>, log::Error> {
        let key = (author.clone(), request_id.clone());
        let decided = self.batches.iter().rev().find_map(|batch| batch.requests.get(&key));
        if let Some((revision, text)) = decided {
            return Ok(Some(Requested { revision: *revision, text: text.clone() }));
        }
        let Some(revision) = self.view.requested(author, request_id) else {
            return Ok(None);
        };
        // The view tells where to look; what stands there is the proof.
        let requested = match self.view.log().get(revision)?.map(|event| event.change) {
            Some(Change::Publish { author: by, content, request_id: Some(id) })
                if by == *author && id == *request_id =>
            {
                Some(Requested { revision, text: content.text })
            }
            _ => None,
        };
        Ok(requested)
    }
}
