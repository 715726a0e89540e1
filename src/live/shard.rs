//! A shard: the live feeds whose streams are polled by one worker, and how far their channels are.
//!
//! All work of a shard is done on its worker's thread, so that waking a reader never crosses to
//! another thread. Streams that no worker polls are on shard 0, to which the applier sends itself.
//! The lock is for those, and for streams that are dropped on another thread; on a worker it is
//! never contended.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::broadcast::Receiver;

use super::audience::Audiences;
use super::delivery::FeedKind;
use super::{EventBatch, LiveFeeds};
use crate::model::{Revision, UserId};
use crate::query;
use crate::state::State;

/// One shard.
#[derive(Debug)]
pub(super) struct Shard {
    audiences: Mutex<Audiences>,
    /// How many streams there are, so that nothing crosses to a shard that nobody watches on.
    streams: AtomicUsize,
    /// Everything up to here is in the channels that it belongs in.
    dispatched: AtomicU64,
    /// Whether something was lost on the way here that the dispatcher has not handled.
    lagging: AtomicBool,
    lagged: Notify,
}

/// One stream's part in its user's channel. Leaves when dropped.
#[derive(Debug)]
pub(super) struct Subscription {
    live: LiveFeeds,
    shard: usize,
    feed: usize,
    pub(super) receiver: Receiver<Arc<EventBatch>>,
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

    /// Whether anybody watches here. A stream that joins after this said no finds in the state what
    /// was applied before the call.
    pub(super) fn is_watched(&self) -> bool {
        self.streams.load(Ordering::SeqCst) > 0
    }

    /// Something that was applied is lost to the feeds here.
    pub(super) fn lag(&self) {
        self.lagging.store(true, Ordering::SeqCst);
        self.lagged.notify_one();
    }

    pub(super) fn is_lagging(&self) -> bool {
        self.lagging.load(Ordering::SeqCst)
    }

    /// Whether something was lost. Nothing that is applied from now on is, before the next
    /// [`Shard::lag`]; all that was lost is in the state by now.
    pub(super) fn begin_again(&self) -> bool {
        self.lagging.swap(false, Ordering::SeqCst)
    }

    /// Waits until something is lost; or was, since the last wait.
    pub(super) async fn lagged(&self) {
        self.lagged.notified().await;
    }

    pub(super) fn audiences(&self) -> MutexGuard<'_, Audiences> {
        self.audiences.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn dispatched(&self) -> Revision {
        Revision::new(self.dispatched.load(Ordering::SeqCst))
    }

    /// Everything up to `revision` is in the channels now.
    pub(super) fn advance(&self, revision: Revision) {
        self.dispatched.store(revision.get(), Ordering::SeqCst);
    }
}

impl Subscription {
    /// Joins the channel of a feed of `user` on the shard of this thread. From now on everything
    /// that concerns the feed arrives there.
    pub(super) fn new(live: LiveFeeds, user: &UserId, feed: FeedKind) -> Self {
        let number = live.shard_here();
        let shard = live.shard(number);
        // Counted before the state is read; see `is_watched`.
        shard.streams.fetch_add(1, Ordering::SeqCst);
        let (user, state) = ((user.clone(), feed), live.0.reader.state());
        let authors = || authors_of(state, &user);
        let (feed, receiver) = shard.audiences().join(&user, state.applied(), authors);
        Self { live, shard: number, feed, receiver }
    }

    /// Up to where the shard's channels have everything.
    pub(super) fn dispatched(&self) -> Revision {
        self.live.shard(self.shard).dispatched()
    }
}

/// The authors whose posts go to a feed, by now.
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
        shard.audiences().leave(self.feed);
        shard.streams.fetch_sub(1, Ordering::SeqCst);
    }
}
