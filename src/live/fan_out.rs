//! The only sender of a lane's channels: takes what was applied, in order, and tells the feeds
//! that it concerns, a bounded number of them at a time.
//!
//! ```text
//!   applied batches ──▶ queue ──▶ step: some effects become passes; those to few go out, and then
//!                                       the oldest go on
//! ```
//!
//! Never waits for a reader. A lane that lost a batch begins afresh: what is on its way goes nowhere,
//! and each feed is brought level with the view, a bounded number of them at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use super::LiveFeeds;
use super::delivery::{self, Delivery, DeliveryContext};
use super::shard::authors_of;
use crate::model::{Change, Post, Revision};
use crate::state::{AppliedEvent, State, TimelineEvent};
use crate::state::{MissingEvent, ReadError};
use crate::storage::Batch;

/// New effects in one step, of which most may concern nobody here: looking each up takes a tenth of
/// telling a feed.
const STEP_EVENTS_MAX: usize = 512;

/// What the changes of a batch that was applied are to the feeds.
#[derive(Debug)]
pub struct DeliveryBatch {
    effects: Vec<Delivery>,
    /// The revision of its last change.
    until: Revision,
}

/// Tells the live feeds of one lane.
#[derive(Debug)]
pub struct Dispatcher {
    hub: LiveFeeds,
    lane: usize,
    queue: VecDeque<Arc<DeliveryBatch>>,
    /// How many effects of the first batch in the queue have been taken.
    taken: usize,
    /// The newest change of which all effects were taken, or that feeds which lagged are level with.
    newest: Revision,
}

impl DeliveryBatch {
    /// What `batch` is to the feeds; `applied` has what came of each of its events. May read the log
    /// for what was reposted, if that is old.
    ///
    /// # Errors
    /// The log is damaged or cannot be read.
    pub fn new(view: &State, batch: &Batch, applied: Vec<AppliedEvent>) -> Result<Self, ReadError> {
        let mut effects = Vec::new();
        for ((revision, event), applied) in batch.entries().zip(applied) {
            let AppliedEvent { post, authors, notices, is_muted } = applied;
            let post = match &event.change {
                Change::Repost { post, .. } => original(view, post.id.revision())?,
                _ => post,
            };
            let known = DeliveryContext { post, authors, notices, is_muted };
            effects.extend(delivery::effects(revision, event.time, &event.change, known));
        }
        let until = batch.entries().last().map_or(batch.first, |(revision, _)| revision);
        Ok(Self { effects, until })
    }
}

/// The post at `revision`, unless it was deleted.
fn original(view: &State, revision: Revision) -> Result<Option<Arc<Post>>, ReadError> {
    if let Some(post) = view.cached_post(revision) {
        return Ok(Some(post));
    }
    match view.happened(&[revision])?.pop().flatten() {
        Some(TimelineEvent::Post(post)) => Ok(Some(post)),
        Some(_) => Err(MissingEvent { revision }.into()),
        None => Ok(None),
    }
}

impl Dispatcher {
    pub(super) fn new(hub: LiveFeeds, lane: usize) -> Self {
        let newest = hub.lane(lane).dispatched();
        Self { hub, lane, queue: VecDeque::new(), taken: 0, newest }
    }

    /// Whether another batch can be taken in.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.queue.len() < self.hub.0.limits.undispatched_batches_max
    }

    /// Takes in what was applied after all that was taken in before.
    pub fn take(&mut self, dispatch: Arc<DeliveryBatch>) {
        self.queue.push_back(dispatch);
    }

    /// Whether something was lost on the way here, which the next step sees to.
    #[must_use]
    pub fn is_lagging(&self) -> bool {
        self.hub.is_lagging(self.lane)
    }

    /// Waits until something is lost on the way here.
    pub async fn lagged(&self) {
        self.hub.lane(self.lane).lagged().await;
    }

    /// Tells some feeds. Whether there is more to tell.
    pub fn step(&mut self) -> bool {
        let limits = &self.hub.0.limits;
        let lane = self.hub.lane(self.lane);
        let view = &self.hub.0.view;
        let mut registry = lane.registry();
        if lane.begin_afresh() {
            self.queue.clear();
            self.taken = 0;
            registry.lag();
            self.newest = self.newest.max(view.applied());
        }
        registry.bring_level(limits.fan_out_step_feeds_max, |feed| {
            (view.applied(), authors_of(view, feed))
        });
        for _ in 0..STEP_EVENTS_MAX {
            let has_room = registry.passes() < limits.active_fan_outs_max;
            let Some(dispatch) = self.queue.front().filter(|_| has_room) else { break };
            match dispatch.effects.get(self.taken) {
                Some(effect) => {
                    registry.take(effect, limits.fan_out_step_feeds_max);
                    self.taken += 1;
                    let revision = effect.event().revision;
                    // FeedKind one change that is several effects, all have to be taken.
                    let next = dispatch.effects.get(self.taken);
                    let has_more = next.is_some_and(|next| next.event().revision == revision);
                    let reached = if has_more { revision.previous() } else { revision };
                    self.newest = self.newest.max(reached);
                }
                None => {
                    self.newest = self.newest.max(dispatch.until);
                    self.queue.pop_front();
                    self.taken = 0;
                }
            }
        }
        registry.advance_small(limits.fan_out_step_feeds_max);
        registry.advance_oldest(limits.fan_out_step_feeds_max);
        // A feed that lags has less than that, and is not told so.
        if !registry.is_lagging() {
            let dispatched = registry.oldest_pass().map_or(self.newest, Revision::previous);
            lane.advance(dispatched);
        }
        !self.queue.is_empty() || registry.passes() > 0 || registry.is_lagging()
    }
}
