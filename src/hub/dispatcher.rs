//! The only sender of a lane's channels: takes what was applied, in order, and tells the feeds
//! that it concerns, a bounded number of them at a time.
//!
//! ```text
//!   applied batches ──▶ queue ──▶ step: some events become passes; posts to few go out, and then
//!                                       the oldest go on
//! ```
//!
//! Never waits for a reader.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{FeedEvent, Hub};
use crate::log::Batch;
use crate::model::{Change, Post, Revision};

/// New events in one step, of which most may concern nobody here: looking each up takes a tenth of
/// telling a feed.
const STEP_EVENTS_MAX: usize = 512;

/// A batch that was applied, with what its changes are to the feeds.
#[derive(Debug)]
pub struct Dispatch {
    batch: Arc<Batch>,
    /// By place in the batch.
    events: Vec<(usize, Arc<FeedEvent>)>,
}

/// Tells the live feeds of one lane.
#[derive(Debug)]
pub struct Dispatcher {
    hub: Hub,
    lane: usize,
    queue: VecDeque<Arc<Dispatch>>,
    /// How many events of the first batch in the queue have been taken.
    taken: usize,
    /// The newest event that was taken.
    newest: Revision,
}

impl Dispatch {
    /// What `batch` is to the feeds; `posts` has the post of each event that published one.
    #[must_use]
    pub fn new(batch: Arc<Batch>, posts: Vec<Option<Arc<Post>>>) -> Self {
        let events = batch
            .entries()
            .zip(posts)
            .enumerate()
            .filter_map(|(place, ((revision, event), post))| {
                Some((place, Arc::new(FeedEvent::of(revision, &event.change, post)?)))
            })
            .collect();
        Self { batch, events }
    }

    fn get(&self, number: usize) -> Option<(&Change, &Arc<FeedEvent>)> {
        let (place, event) = self.events.get(number)?;
        Some((&self.batch.events[*place].change, event))
    }
}

impl Dispatcher {
    pub(super) fn new(hub: Hub, lane: usize) -> Self {
        let newest = hub.lane(lane).dispatched();
        Self { hub, lane, queue: VecDeque::new(), taken: 0, newest }
    }

    /// Whether another batch can be taken in.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.queue.len() < self.hub.0.limits.undispatched_batches_max
    }

    /// Takes in what was applied after all that was taken in before.
    pub fn take(&mut self, dispatch: Arc<Dispatch>) {
        self.queue.push_back(dispatch);
    }

    /// Tells some feeds. Whether there is more to tell.
    pub fn step(&mut self) -> bool {
        let limits = &self.hub.0.limits;
        let lane = self.hub.lane(self.lane);
        let mut registry = lane.registry();
        for _ in 0..STEP_EVENTS_MAX {
            let has_room = registry.passes() < limits.passes_max;
            let Some(dispatch) = self.queue.front().filter(|_| has_room) else { break };
            match dispatch.get(self.taken) {
                Some((change, event)) => {
                    registry.take(change, event, limits.step_feeds_max);
                    self.taken += 1;
                    self.newest = event.revision;
                }
                None => {
                    self.queue.pop_front();
                    self.taken = 0;
                }
            }
        }
        registry.advance_small(limits.step_feeds_max);
        registry.advance_oldest(limits.step_feeds_max);
        let dispatched = registry.oldest_pass().map_or(self.newest, Revision::previous);
        lane.advance(dispatched);
        !self.queue.is_empty() || registry.passes() > 0
    }
}
