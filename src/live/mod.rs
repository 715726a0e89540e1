//! Live feeds: streams of home feeds and notifications, and the delivery of events to them.
//!
//! ```text
//!   applier ── DeliveryBatch ──┬──▶ Dispatcher of shard 0 ──▶ Audiences: author ──▶ watched feeds
//!                              ├──▶ Dispatcher of shard 1 ──▶ …          │  one broadcast channel
//!                              └──▶ …                                    ▼  per watched feed
//!                                                              LiveStream ◀── catch-up: state, log
//! ```
//!
//! A channel only wakes streams and saves reads: a stream that falls behind its channel continues
//! from the log, and its client sees no difference.
//!
//! Live feeds never wait for a reader, and do not depend on how messages are sent to clients.

mod audience;
mod catch_up;
mod delivery;
mod error;
mod event;
mod event_batch;
mod fan_out;
mod filter;
mod message;
mod metrics;
mod quota;
mod reading;
mod shard;
mod stream;

use std::sync::Arc;

pub use error::Error;
pub use event::{FeedEvent, FeedEventKind, Removal, StandIn};
pub use event_batch::EventBatch;
pub use fan_out::{DeliveryBatch, Dispatcher};
pub use message::{Start, StreamMessage, WatchOptions, Watched};
use metrics::LiveMetrics;
use quota::StreamQuota;
use shard::Shard;
pub use stream::LiveStream;

use crate::config::{Limits, LimitsInForce};
use crate::model::UserId;
use crate::query::Reader;
use crate::runtime;
use crate::state::State;

/// All live feeds of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LiveFeeds(Arc<LiveShared>);

#[derive(Debug)]
struct LiveShared {
    reader: Reader,
    limits: Limits,
    /// Shard 0, and one for each worker.
    shards: Vec<Shard>,
    quota: StreamQuota,
    metrics: LiveMetrics,
}

impl LiveFeeds {
    /// Live feeds without streams.
    #[must_use]
    pub fn new(reader: Reader, in_force: &LimitsInForce) -> Self {
        let limits = in_force.now();
        let applied = reader.state().applied();
        let shard = |_| Shard::new(limits.channel_events_max, applied);
        Self(Arc::new(LiveShared {
            shards: (0..=limits.worker_threads.max(1)).map(shard).collect(),
            reader,
            metrics: LiveMetrics::new(limits.worker_threads.max(1)),
            quota: StreamQuota::new(in_force.clone()),
            limits: limits.clone(),
        }))
    }

    /// The number of shards: shard 0, and one for each worker.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.0.shards.len()
    }

    /// The dispatcher of `shard`, which must have only one. Its batches must be applied.
    #[must_use]
    pub fn dispatcher(&self, shard: usize) -> Dispatcher {
        Dispatcher::new(self.clone(), shard)
    }

    /// Whether `shard` has streams. To be called after a batch was applied: a stream that is opened
    /// later finds the batch in the state.
    #[must_use]
    pub fn is_watched(&self, shard: usize) -> bool {
        self.shard(shard).is_watched()
    }

    /// Marks `shard` as lagging: an applied batch was not sent to it. No later batch may be sent to
    /// it while it is lagging. Its streams read the lost events from the log.
    pub fn lag(&self, shard: usize) {
        self.metrics().lagged();
        self.shard(shard).lag();
    }

    /// Whether `shard` lost a batch, and its dispatcher has not handled that yet.
    #[must_use]
    pub fn is_lagging(&self, shard: usize) -> bool {
        self.shard(shard).is_lagging()
    }

    /// Opens a stream of `user`'s feed or notifications.
    ///
    /// # Errors
    /// Too many streams are open, or `start` cannot be served and `options` do not allow a new
    /// snapshot instead.
    pub fn watch(
        &self,
        user: &UserId,
        start: Start,
        options: WatchOptions,
    ) -> Result<LiveStream, Error> {
        LiveStream::open(self.clone(), user, start, options)
    }

    /// The shard whose streams are polled on this thread.
    fn shard_here(&self) -> usize {
        Some(runtime::current_shard()).filter(|&shard| shard < self.shards()).unwrap_or_default()
    }

    fn shard(&self, shard: usize) -> &Shard {
        &self.0.shards[shard]
    }

    fn metrics(&self) -> &LiveMetrics {
        &self.0.metrics
    }

    fn state(&self) -> &State {
        self.0.reader.state()
    }
}
