//! Fan-out: the dispatcher of a shard, the only sender of its channels, sends the applied
//! deliveries to their feeds. They are in the order of the log, and each step sends to a limited
//! number of feeds.
//!
//! ```text
//!   delivery batches ──▶ queue ──▶ step: 1. resync feeds that lag
//!                                        2. deliveries become fan-outs
//!                                        3. advance the small fan-outs, then the oldest
//! ```
//!
//! The dispatcher never waits for a reader. A shard that lost a batch drops all fan-outs and its
//! queue, and resyncs each feed with the state, a limited number of feeds in each step.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::LiveFeeds;
use super::delivery::{Delivery, deliveries};
use super::shard::authors_of;
use crate::model::{Change, Revision};
use crate::query::{self, ExistingPost, Reader};
use crate::state::AppliedEvent;
use crate::storage::Batch;

/// The maximum number of new deliveries in one step. Many may have no feed in the shard, and that
/// check takes a tenth of the time of a send.
const STEP_DELIVERIES_MAX: usize = 512;

/// The maximum number of batches whose delay is measured one by one: many small ones may be sent while a
/// fan-out to many feeds is under way. Those above it are measured with the batch before.
const UNDELIVERED_MAX: usize = 4_096;

/// The deliveries of an applied batch.
#[derive(Debug)]
pub struct DeliveryBatch {
    list: Vec<Delivery>,
    /// The revision of the last change.
    until: Revision,
    /// When the write of the batch began.
    begun_at: Instant,
}

/// Sends deliveries to the live feeds of one shard.
#[derive(Debug)]
pub struct Dispatcher {
    live: LiveFeeds,
    shard: usize,
    queue: VecDeque<Arc<DeliveryBatch>>,
    /// The number of deliveries of the queue's first batch that became fan-outs or were sent.
    taken: usize,
    /// The last revision of each batch that not all feeds have, and when its write began.
    undelivered: VecDeque<(Revision, Instant)>,
    /// The newest change whose deliveries were all taken, or with which lagging feeds are resynced.
    newest: Revision,
}

impl DeliveryBatch {
    /// The deliveries of `batch`; `applied` has the effects of its events. Blocks if the log has to
    /// be read for the original of a repost.
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
        Ok(Self { list, until, begun_at: Instant::now() })
    }

    /// With the moment when the write of the batch began. By default that is now.
    #[must_use]
    pub fn begun_at(self, begun_at: Instant) -> Self {
        Self { begun_at, ..self }
    }
}

impl Dispatcher {
    pub(super) fn new(live: LiveFeeds, shard: usize) -> Self {
        let newest = live.shard(shard).dispatched();
        Self { live, shard, queue: VecDeque::new(), taken: 0, undelivered: VecDeque::new(), newest }
    }

    /// Whether the queue has room for another batch.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.queue.len() < self.live.0.limits.undispatched_batches_max
    }

    /// Adds the next applied batch to the queue.
    pub fn push(&mut self, batch: Arc<DeliveryBatch>) {
        debug_assert!(
            self.queue.back().is_none_or(|last| last.until <= batch.until),
            "not in the log's order"
        );
        let has_room = self.undelivered.len() < UNDELIVERED_MAX;
        match self.undelivered.back_mut().filter(|_| !has_room) {
            Some((until, _)) => *until = batch.until,
            None => self.undelivered.push_back((batch.until, batch.begun_at)),
        }
        self.queue.push_back(batch);
    }

    /// Whether the shard lost a batch, which the next step handles.
    #[must_use]
    pub fn is_lagging(&self) -> bool {
        self.live.is_lagging(self.shard)
    }

    /// Waits until the shard loses a batch.
    pub async fn lagged(&self) {
        self.live.shard(self.shard).lagged().await;
    }

    /// Sends to a limited number of feeds. Returns whether there is more to send.
    pub fn step(&mut self) -> bool {
        let limits = &self.live.0.limits;
        let shard = self.live.shard(self.shard);
        let state = self.live.state();
        let mut audiences = shard.audiences();
        if shard.clear_lag() {
            self.queue.clear();
            self.undelivered.clear();
            self.taken = 0;
            audiences.lag();
            self.newest = self.newest.max(state.applied());
        }
        audiences.resync(limits.fan_out_step_feeds_max, |feed| {
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
            audiences.push(delivery, limits.fan_out_step_feeds_max);
            self.taken += 1;
            let revision = delivery.event().revision;
            // A change may have several deliveries, and counts when all are taken.
            let next = batch.list.get(self.taken);
            let has_more = next.is_some_and(|next| next.event().revision == revision);
            self.newest = self.newest.max(if has_more { revision.previous() } else { revision });
        }
        audiences.advance_small(limits.fan_out_step_feeds_max);
        audiences.advance_oldest(limits.fan_out_step_feeds_max);
        // Not while a feed lags, because its channel lacks events up to there.
        if !audiences.is_lagging() {
            let oldest = audiences.oldest_fan_out();
            let complete = oldest.map_or(self.newest, Revision::previous);
            shard.advance(complete);
            while let Some((_, begun_at)) =
                self.undelivered.pop_front_if(|(until, _)| *until <= complete)
            {
                self.live.metrics().dispatched(begun_at.elapsed());
            }
        }
        !self.queue.is_empty() || audiences.fan_outs() > 0 || audiences.is_lagging()
    }
}
