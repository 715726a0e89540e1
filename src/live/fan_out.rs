//! Fan-out: the only sender of a shard's channels takes what was applied, in order, and sends it to
//! the feeds that it concerns, a bounded number of them at a time.
//!
//! ```text
//!   delivery batches ──▶ queue ──▶ step: some deliveries become fan-outs; those to few feeds go out,
//!                                        and then the oldest go on
//! ```
//!
//! Never waits for a reader. A shard that lost a batch begins again: what is on its way is dropped,
//! and each feed is brought level with the state, a bounded number of them at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use super::LiveFeeds;
use super::delivery::{Delivery, deliveries};
use super::shard::authors_of;
use crate::model::{Change, Revision};
use crate::query::{self, ExistingPost, Reader};
use crate::state::AppliedEvent;
use crate::storage::Batch;

/// New deliveries in one step. Most may concern no feed of the shard: to find that out takes a
/// tenth of sending to a feed.
const STEP_DELIVERIES_MAX: usize = 512;

/// The deliveries of a batch that was applied.
#[derive(Debug)]
pub struct DeliveryBatch {
    list: Vec<Delivery>,
    /// The revision of its last change.
    until: Revision,
}

/// Sends to the live feeds of one shard.
#[derive(Debug)]
pub struct Dispatcher {
    live: LiveFeeds,
    shard: usize,
    queue: VecDeque<Arc<DeliveryBatch>>,
    /// How many deliveries of the first batch in the queue have been taken.
    taken: usize,
    /// The newest change of which all deliveries were taken, or with which feeds that lagged are
    /// level.
    newest: Revision,
}

impl DeliveryBatch {
    /// The deliveries of `batch`; `applied` has what came of each of its events. May read the log
    /// for an original that was reposted, if that is old.
    ///
    /// # Errors
    /// The log is damaged or cannot be read.
    pub fn new(
        reader: &Reader,
        batch: &Batch,
        applied: Vec<AppliedEvent>,
    ) -> Result<Self, query::Error> {
        let mut list = Vec::new();
        for ((revision, event), mut applied) in batch.entries().zip(applied) {
            if let Change::Repost { post, .. } = &event.change {
                let original = ExistingPost(post.id.revision());
                applied.post = match reader.ask_memory(&original)? {
                    Some(post) => post,
                    None => reader.ask_blocking(&original)?,
                };
            }
            list.extend(deliveries(revision, event.time, &event.change, applied));
        }
        let until = batch.entries().last().map_or(batch.first, |(revision, _)| revision);
        Ok(Self { list, until })
    }
}

impl Dispatcher {
    pub(super) fn new(live: LiveFeeds, shard: usize) -> Self {
        let newest = live.shard(shard).dispatched();
        Self { live, shard, queue: VecDeque::new(), taken: 0, newest }
    }

    /// Whether another batch can be taken in.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.queue.len() < self.live.0.limits.undispatched_batches_max
    }

    /// Takes in what was applied after all that was taken in before.
    pub fn take(&mut self, batch: Arc<DeliveryBatch>) {
        self.queue.push_back(batch);
    }

    /// Whether something was lost on the way here, which the next step handles.
    #[must_use]
    pub fn is_lagging(&self) -> bool {
        self.live.is_lagging(self.shard)
    }

    /// Waits until something is lost on the way here.
    pub async fn lagged(&self) {
        self.live.shard(self.shard).lagged().await;
    }

    /// Sends to some feeds. Whether there is more to send.
    pub fn step(&mut self) -> bool {
        let limits = &self.live.0.limits;
        let shard = self.live.shard(self.shard);
        let state = self.live.0.reader.state();
        let mut audiences = shard.audiences();
        if shard.begin_again() {
            self.queue.clear();
            self.taken = 0;
            audiences.lag();
            self.newest = self.newest.max(state.applied());
        }
        audiences.bring_level(limits.fan_out_step_feeds_max, |feed| {
            (state.applied(), authors_of(state, feed))
        });
        for _ in 0..STEP_DELIVERIES_MAX {
            let has_room = audiences.fan_outs() < limits.active_fan_outs_max;
            let Some(batch) = self.queue.front().filter(|_| has_room) else { break };
            let Some(delivery) = batch.list.get(self.taken) else {
                self.newest = self.newest.max(batch.until);
                self.queue.pop_front();
                self.taken = 0;
                continue;
            };
            audiences.take(delivery, limits.fan_out_step_feeds_max);
            self.taken += 1;
            let revision = delivery.event().revision;
            // A change may be several deliveries: all of them have to be taken.
            let next = batch.list.get(self.taken);
            let has_more = next.is_some_and(|next| next.event().revision == revision);
            self.newest = self.newest.max(if has_more { revision.previous() } else { revision });
        }
        audiences.advance_small(limits.fan_out_step_feeds_max);
        audiences.advance_oldest(limits.fan_out_step_feeds_max);
        // A feed that lags has less than that: no stream may take it for complete.
        if !audiences.is_lagging() {
            let oldest = audiences.oldest_fan_out();
            shard.advance(oldest.map_or(self.newest, Revision::previous));
        }
        !self.queue.is_empty() || audiences.fan_outs() > 0 || audiences.is_lagging()
    }
}
