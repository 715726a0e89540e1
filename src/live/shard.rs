//! A shard: the live feeds whose streams are polled by one worker, and the revision up to which
//! their channels are complete.
//!
//! All work of a shard is done on its worker's thread, so that a wakeup never crosses threads.
//! Streams that no worker polls are on shard 0, to which the applier sends itself. The lock is for
//! those, and for streams that are dropped on another thread; a worker never waits for it
//! otherwise.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::Notify;
use tokio::sync::broadcast::Receiver;

use super::audience::{Audiences, StreamKey};
use super::delivery::FeedKind;
use super::{EventBatch, LiveFeeds};
use crate::model::{Revision, UserId};
use crate::query;
use crate::state::State;

/// One shard.
#[derive(Debug)]
pub(super) struct Shard {
    audiences: Mutex<Audiences>,
    /// The number of streams: nothing is sent to a shard without any.
    streams: AtomicUsize,
    /// The channels have all events up to here.
    dispatched: AtomicU64,
    /// Whether a batch was lost, and the dispatcher has not handled that.
    lagging: AtomicBool,
    lagged: Notify,
}

/// The subscription of one stream to the channel of its feed. Leaves when dropped.
#[derive(Debug)]
pub(super) struct Subscription {
    live: LiveFeeds,
    shard: usize,
    stream: StreamKey,
    pub(super) receiver: Receiver<Arc<EventBatch>>,
    /// The waker that each send to the channel wakes.
    waker: Option<Waker>,
}

impl Shard {
    pub(super) fn new(channel_batches: usize, dispatched: Revision) -> Self {
        Self {
            audiences: Mutex::new(Audiences::new(channel_batches)),
            streams: AtomicUsize::new(0),
            dispatched: AtomicU64::new(dispatched.get()),
            lagging: AtomicBool::new(false),
            lagged: Notify::new(),
        }
    }

    /// Whether the shard has streams. A stream that joins after a negative result finds in the
    /// state all events that were applied before the call.
    pub(super) fn is_watched(&self) -> bool {
        self.streams.load(Ordering::SeqCst) > 0
    }

    /// The number of streams.
    pub(super) fn stream_count(&self) -> usize {
        self.streams.load(Ordering::SeqCst)
    }

    /// To be called when an applied batch is not sent to the shard.
    pub(super) fn lag(&self) {
        self.lagging.store(true, Ordering::SeqCst);
        self.lagged.notify_one();
    }

    pub(super) fn is_lagging(&self) -> bool {
        self.lagging.load(Ordering::SeqCst)
    }

    /// Returns whether a batch was lost, and ends the lag: from now on batches arrive again, until
    /// the next [`Shard::lag`]. The state has all lost events.
    pub(super) fn clear_lag(&self) -> bool {
        self.lagging.swap(false, Ordering::SeqCst)
    }

    /// Waits until a batch is lost; returns at once if one was since the last wait.
    pub(super) async fn lagged(&self) {
        self.lagged.notified().await;
    }

    pub(super) fn audiences(&self) -> MutexGuard<'_, Audiences> {
        self.audiences.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn dispatched(&self) -> Revision {
        Revision::new(self.dispatched.load(Ordering::SeqCst))
    }

    /// To be called when the channels have all events up to `revision`.
    pub(super) fn advance(&self, revision: Revision) {
        self.dispatched.store(revision.get(), Ordering::SeqCst);
    }
}

impl Subscription {
    /// Joins the channel of a feed of `user` on the shard of this thread. From now on the channel
    /// receives all events of the feed.
    pub(super) fn new(live: LiveFeeds, user: &UserId, feed: FeedKind) -> Self {
        let number = live.shard_here();
        let shard = live.shard(number);
        // Counted before the state is read; see `is_watched`.
        shard.streams.fetch_add(1, Ordering::SeqCst);
        let (user, state) = ((user.clone(), feed), live.state());
        let authors = || authors_of(state, &user);
        let (stream, receiver) = shard.audiences().join(&user, state.applied(), authors);
        Self { live, shard: number, stream, receiver, waker: None }
    }

    /// Has `waker` woken by each send to the channel from now on. A stream has the same waker for
    /// most of its life, and so this is done once: a wait for each batch would cost more than the
    /// receiving of it.
    pub(super) fn wakes(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
            // Dropped after the lock: a waker may own what locks it again.
            let _before =
                self.live.shard(self.shard).audiences().set_waker(self.stream, waker.clone());
        }
    }

    /// The revision up to which the shard's channels have all events.
    pub(super) fn dispatched(&self) -> Revision {
        self.live.shard(self.shard).dispatched()
    }
}

/// The authors whose posts are delivered to a feed, by the current state.
pub(super) fn authors_of(state: &State, (user, feed): &(UserId, FeedKind)) -> Vec<UserId> {
    match feed {
        FeedKind::Home => {
            std::iter::once(user.clone()).chain(query::feed_authors(state, user)).collect()
        }
        FeedKind::Notifications => Vec::new(),
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let shard = self.live.shard(self.shard);
        // Dropped after the lock, as in `wakes`.
        let _waker = shard.audiences().leave(self.stream);
        shard.streams.fetch_sub(1, Ordering::SeqCst);
    }
}
