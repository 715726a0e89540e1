//! Live feeds: who is watching, what they are told, and what they missed.
//!
//! ```text
//!   applier ── DeliveryBatch ──┬──▶ Dispatcher of lane 0 ──▶ Audiences: author ──▶ live followers
//!                         ├──▶ Dispatcher of lane 1 ──▶ …          │  one broadcast channel
//!                         └──▶ …                                   ▼  per watched user
//!                                                              LiveStream ◀── backlog: view, log
//! ```
//!
//! A channel is a doorbell and a hot cache; the log is the truth. A stream that its channel has
//! overrun reads on in the log, and nobody can tell.
//!
//! Nothing here knows how a message is sent to a client.

mod audience;
mod catch_up;
mod delivery;
mod error;
mod event;
mod event_batch;
mod fan_out;
mod filter;
mod message;
mod quota;
mod shard;
mod stream;

use std::sync::Arc;

use tokio::sync::Semaphore;

pub use error::{CursorError, Error};
pub use event::{FeedEvent, FeedEventKind, Removal, StandIn};
pub use event_batch::EventBatch;
pub use fan_out::{DeliveryBatch, Dispatcher};
pub use message::{Start, StreamMessage, WatchOptions, Watched};
use quota::StreamQuota;
use shard::Shard;
pub use stream::LiveStream;

use crate::config::Limits;
use crate::model::{Cursor, Revision, UserId};
use crate::runtime;
use crate::state::State;

/// All live feeds of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LiveFeeds(Arc<LiveShared>);

#[derive(Debug)]
struct LiveShared {
    view: Arc<State>,
    limits: Limits,
    /// Shard 0, and one for each worker.
    lanes: Vec<Shard>,
    quota: StreamQuota,
    permits: Arc<Semaphore>,
}

impl LiveFeeds {
    /// No streams yet.
    #[must_use]
    pub fn new(view: Arc<State>, limits: &Limits) -> Self {
        Self(Arc::new(LiveShared {
            lanes: (0..=limits.worker_threads.max(1))
                .map(|_| Shard::new(limits.channel_events_max, view.applied()))
                .collect(),
            view,
            quota: StreamQuota::new(limits.streams_per_user_max),
            permits: Arc::new(Semaphore::new(limits.streams_max.min(Semaphore::MAX_PERMITS))),
            limits: limits.clone(),
        }))
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// How many lanes there are: lane 0, and one for each worker.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.0.lanes.len()
    }

    /// Who tells the live feeds of `lane`. There must be one, and what is told must be applied.
    #[must_use]
    pub fn dispatcher(&self, lane: usize) -> Dispatcher {
        Dispatcher::new(self.clone(), lane)
    }

    /// Whether anybody watches on `lane`. FanOutTarget be asked after a batch was applied: whoever comes
    /// later finds it in the view.
    #[must_use]
    pub fn is_watched(&self, lane: usize) -> bool {
        self.lane(lane).is_watched()
    }

    /// A batch that was applied does not get to `lane`: there is no room for it. Nothing later may
    /// get there while the lane is lagging. Its streams read in the log what was lost.
    pub fn lag(&self, lane: usize) {
        self.lane(lane).lag();
    }

    /// Whether something was lost to `lane`, and its dispatcher has not seen to it yet.
    #[must_use]
    pub fn is_lagging(&self, lane: usize) -> bool {
        self.lane(lane).is_lagging()
    }

    /// Opens a stream of `user`'s feed or notifications.
    ///
    /// # Errors
    /// Too many streams are open, or `start` cannot be served and `options` do not ask for a
    /// fresh snapshot instead.
    pub fn watch(
        &self,
        user: &UserId,
        start: Start,
        options: WatchOptions,
    ) -> Result<LiveStream, Error> {
        LiveStream::open(self.clone(), user, start, options)
    }

    /// Checks that what follows `cursor` can be served.
    ///
    /// # Errors
    /// Says why it cannot.
    pub fn check_cursor(&self, cursor: &Cursor) -> Result<(), CursorError> {
        let log = self.0.view.log();
        if cursor.log != log.id() {
            return Err(CursorError::OfAnotherLog { given: cursor.log, own: log.id() });
        }
        if cursor.required_revision() > log.head() {
            return Err(CursorError::BeyondHead {
                given: cursor.required_revision(),
                head: log.head(),
            });
        }
        if cursor.after < log.oldest() {
            return Err(CursorError::TooOld { oldest: self.cursor_after(log.oldest()) });
        }
        Ok(())
    }

    /// The cursor of this log after `revision`.
    #[must_use]
    pub fn cursor_after(&self, revision: Revision) -> Cursor {
        Cursor::after(self.0.view.log().id(), revision)
    }

    /// The lane whose streams are polled on this thread.
    fn lane_here(&self) -> usize {
        Some(runtime::current_shard()).filter(|&lane| lane < self.lanes()).unwrap_or_default()
    }

    fn lane(&self, lane: usize) -> &Shard {
        &self.0.lanes[lane]
    }
}
