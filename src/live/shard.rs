//! A lane: the live feeds whose streams are polled by one worker, and how far they have been told.
//!
//! All work of a lane is done on its worker's thread, so that waking a reader never crosses to
//! another thread. Streams that no worker polls are on lane 0, which the applier tells itself. The
//! lock is for those, and for streams that are dropped elsewhere; on a worker nobody contends
//! for it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::broadcast::Receiver;

use super::audience::Audiences;
use super::delivery::FeedKind;
use super::{EventBatch, LiveFeeds};
use crate::model::{Revision, UserId};
use crate::state::State;

/// One lane.
#[derive(Debug)]
pub(super) struct Shard {
    registry: Mutex<Audiences>,
    /// How many streams there are here, so that nothing crosses to a lane that nobody watches on.
    watched: AtomicUsize,
    /// Everything up to here is in the channels it belongs in.
    dispatched: AtomicU64,
    /// Whether something was lost on the way here that nobody has seen to.
    lagging: AtomicBool,
    lagged: Notify,
}

/// One stream's part in its user's channel. Leaves when dropped.
#[derive(Debug)]
pub(super) struct Subscription {
    hub: LiveFeeds,
    lane: usize,
    place: usize,
    pub(super) receiver: Receiver<Arc<EventBatch>>,
}

impl Shard {
    pub(super) fn new(channel_runs: usize, dispatched: Revision) -> Self {
        Self {
            registry: Mutex::new(Audiences::new(channel_runs)),
            watched: AtomicUsize::new(0),
            dispatched: AtomicU64::new(dispatched.get()),
            lagging: AtomicBool::new(false),
            lagged: Notify::new(),
        }
    }

    /// Whether anybody watches here. Whoever joins after this said no finds in the view what was
    /// applied before it was asked.
    pub(super) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::SeqCst) > 0
    }

    /// Something that was applied is lost to the feeds here.
    pub(super) fn lag(&self) {
        self.lagging.store(true, Ordering::SeqCst);
        self.lagged.notify_one();
    }

    pub(super) fn is_lagging(&self) -> bool {
        self.lagging.load(Ordering::SeqCst)
    }

    /// Whether something was lost. What is applied from now on is not, before the next [`Shard::lag`];
    /// whoever asks the view after this finds all that was lost there.
    pub(super) fn begin_afresh(&self) -> bool {
        self.lagging.swap(false, Ordering::SeqCst)
    }

    /// Waits until something is lost; or was, since this was waited for last.
    pub(super) async fn lagged(&self) {
        self.lagged.notified().await;
    }

    pub(super) fn registry(&self) -> MutexGuard<'_, Audiences> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// Joins a channel of `user`'s on the lane of this thread. From now on everything that concerns the
    /// feed arrives there.
    pub(super) fn new(hub: LiveFeeds, user: &UserId, of: FeedKind) -> Self {
        let lane = hub.lane_here();
        let it = hub.lane(lane);
        // Counted before the view is read; see `is_watched`.
        it.watched.fetch_add(1, Ordering::SeqCst);
        let user = (user.clone(), of);
        let authors = || authors_of(&hub.0.view, &user);
        let (place, receiver) = it.registry().join(&user, hub.0.view.applied(), authors);
        Self { hub, lane, place, receiver }
    }

    /// How far the lane's channels have been told.
    pub(super) fn dispatched(&self) -> Revision {
        self.hub.lane(self.lane).dispatched()
    }
}

/// Whose posts go to a feed, by now.
pub(super) fn authors_of(view: &State, (user, of): &(UserId, FeedKind)) -> Vec<UserId> {
    match of {
        FeedKind::Feed => std::iter::once(user.clone()).chain(view.feed_authors(user)).collect(),
        FeedKind::Notifications => Vec::new(),
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let lane = self.hub.lane(self.lane);
        lane.registry().leave(self.place);
        lane.watched.fetch_sub(1, Ordering::SeqCst);
    }
}
