//! Who is watching: a channel for every watched user, and for every author the watched users who
//! follow them.
//!
//! ```text
//!            join                  list                     last stream leaves
//!   (none) ──────▶ LiveFeed: New ──────▶ Listed ───────────────────────────────▶ Gone
//! ```
//!
//! Streams join and leave on any thread while the applier changes edges, so three rules keep the
//! audiences exact. Streams are counted under the lock of the user's place in `feeds`, so a feed
//! that is removed has no stream and gets none. A feed's edges are read and its audiences changed
//! under the feed's own lock, which an edge change takes as well, after the view has the change.
//! And an unfollow takes the user out of the audience whether or not a feed of theirs is found.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::sync::broadcast;

use super::{Error, FeedEvent};
use crate::config::Limits;
use crate::model::UserId;
use crate::view::View;

/// All watched users.
#[derive(Debug)]
pub(super) struct Registry {
    feeds: DashMap<UserId, Watched>,
    /// By author: the watched users who follow them, and the author if watched.
    audiences: DashMap<UserId, HashMap<UserId, Arc<LiveFeed>>>,
    /// How many users are watched, so that nothing is looked up while nobody watches.
    watched: AtomicUsize,
    streams_per_user_max: usize,
    channel_events: usize,
}

/// A watched user's place.
#[derive(Debug)]
struct Watched {
    feed: Arc<LiveFeed>,
    streams: usize,
}

/// The channel of one watched user.
#[derive(Debug)]
struct LiveFeed {
    user: UserId,
    sender: broadcast::Sender<Arc<FeedEvent>>,
    listing: Mutex<Listing>,
}

/// Whether a feed is in the audiences of its authors.
#[derive(Debug, PartialEq, Eq)]
enum Listing {
    New,
    Listed,
    Gone,
}

/// One stream's part in its user's channel. Leaves when dropped.
#[derive(Debug)]
pub(super) struct Subscription {
    hub: super::Hub,
    feed: Arc<LiveFeed>,
    pub(super) receiver: broadcast::Receiver<Arc<FeedEvent>>,
}

impl Registry {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            feeds: DashMap::new(),
            audiences: DashMap::new(),
            watched: AtomicUsize::new(0),
            streams_per_user_max: limits.streams_per_user_max,
            channel_events: limits.channel_events,
        }
    }

    /// Whether anybody watches anything.
    pub(super) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::SeqCst) > 0
    }

    /// A post entered the feeds of `author`'s audience.
    pub(super) fn post(&self, author: &UserId, event: FeedEvent) {
        if let Some(audience) = self.audiences.get(author) {
            let event = Arc::new(event);
            for feed in audience.values() {
                feed.send(&event);
            }
        }
    }

    /// `follower` follows `followee` from now on; the view knows it already.
    pub(super) fn follow(&self, follower: &UserId, followee: &UserId, event: FeedEvent) {
        let Some(feed) = self.feed_of(follower) else { return };
        let listing = feed.listing();
        if *listing == Listing::Listed {
            self.list(&feed, followee);
        }
        feed.send(&Arc::new(event));
    }

    /// `follower` no longer follows `followee`; the view knows it already.
    pub(super) fn unfollow(&self, follower: &UserId, followee: &UserId, event: FeedEvent) {
        let feed = self.feed_of(follower);
        let _listing = feed.as_ref().map(|feed| feed.listing());
        self.delist(followee, follower, |_| true);
        if let Some(feed) = &feed {
            feed.send(&Arc::new(event));
        }
    }

    fn feed_of(&self, user: &UserId) -> Option<Arc<LiveFeed>> {
        self.feeds.get(user).map(|watched| Arc::clone(&watched.feed))
    }

    fn list(&self, feed: &Arc<LiveFeed>, author: &UserId) {
        let mut audience = self.audiences.entry(author.clone()).or_default();
        audience.insert(feed.user.clone(), Arc::clone(feed));
    }

    /// Takes `user` out of `author`'s audience if it is `which` feed of theirs that is there.
    fn delist(&self, author: &UserId, user: &UserId, which: impl Fn(&Arc<LiveFeed>) -> bool) {
        if let Entry::Occupied(mut audience) = self.audiences.entry(author.clone()) {
            if audience.get().get(user).is_some_and(which) {
                audience.get_mut().remove(user);
            }
            if audience.get().is_empty() {
                audience.remove();
            }
        }
    }

    /// Counts a stream of `user`'s in, and subscribes it.
    fn join(
        &self,
        user: &UserId,
    ) -> Result<(Arc<LiveFeed>, broadcast::Receiver<Arc<FeedEvent>>), Error> {
        let mut watched = self.feeds.entry(user.clone()).or_insert_with(|| {
            self.watched.fetch_add(1, Ordering::SeqCst);
            Watched { feed: Arc::new(LiveFeed::new(user, self.channel_events)), streams: 0 }
        });
        if watched.streams >= self.streams_per_user_max {
            return Err(Error::TooManyStreamsOfUser { streams_max: self.streams_per_user_max });
        }
        watched.streams += 1;
        Ok((Arc::clone(&watched.feed), watched.feed.sender.subscribe()))
    }

    /// Counts a stream of `user`'s out. Whether it was the last.
    fn leave(&self, user: &UserId) -> bool {
        let removed = self.feeds.remove_if_mut(user, |_, watched| {
            watched.streams -= 1;
            watched.streams == 0
        });
        removed.is_some()
    }
}

impl Subscription {
    /// Joins `user`'s channel. From now on everything that concerns the feed arrives there.
    ///
    /// # Errors
    /// The user has too many streams.
    pub(super) fn new(hub: super::Hub, user: &UserId) -> Result<Self, Error> {
        let registry = &hub.0.registry;
        let (feed, receiver) = registry.join(user)?;
        {
            let mut listing = feed.listing();
            if *listing == Listing::New {
                for author in feed.authors(&hub.0.view) {
                    registry.list(&feed, &author);
                }
                *listing = Listing::Listed;
            }
        }
        Ok(Self { hub, feed, receiver })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let registry = &self.hub.0.registry;
        if registry.leave(&self.feed.user) {
            let mut listing = self.feed.listing();
            *listing = Listing::Gone;
            for author in self.feed.authors(&self.hub.0.view) {
                // A new feed of the same user may be there by now, and stays.
                registry.delist(&author, &self.feed.user, |listed| Arc::ptr_eq(listed, &self.feed));
            }
            registry.watched.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl LiveFeed {
    fn new(user: &UserId, channel_events: usize) -> Self {
        Self {
            user: user.clone(),
            sender: broadcast::Sender::new(channel_events),
            listing: Mutex::new(Listing::New),
        }
    }

    /// Whose posts are in the feed: the user's own, and those of whom they follow.
    fn authors(&self, view: &View) -> Vec<UserId> {
        let mut authors = view.followees(&self.user);
        authors.push(self.user.clone());
        authors
    }

    fn send(&self, event: &Arc<FeedEvent>) {
        // Nobody receives it if the last stream is just leaving.
        let _ = self.sender.send(Arc::clone(event));
    }

    fn listing(&self) -> MutexGuard<'_, Listing> {
        self.listing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
