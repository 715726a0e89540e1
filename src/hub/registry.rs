//! Who is watching on one lane: a channel for every watched user, and for every author the feeds
//! that their posts go to.
//!
//! ```text
//!   author ──▶ audience ──▶ feed, feed, feed …      one place each, in rising order
//!                             └──▶ broadcast channel ──▶ streams of one user
//! ```
//!
//! A feed's audiences are those of the view when its first stream joins, and follow the changes that
//! are dispatched from then on. What was applied by then but is dispatched later is passed over:
//! the view had it. A feed knows the audiences that it is in, so it leaves all of them.
//!
//! A post to many is a [`Pass`]: it comes to a bounded number of feeds at a time, and other events
//! go out in between. A feed that such an event overtakes is given the post first, so that every
//! channel has its events in the order of the log. Where the oldest pass goes, the newer ones go
//! along, so that readers of a busy author are woken once for all of them.
//!
//! Nothing here waits, or knows of locks.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use slab::Slab;
use tokio::sync::broadcast::{Receiver, Sender};

use super::FeedEvent;
use crate::model::{Change, Revision, UserId};

/// Feeds looked at in a step for each that may be told: most have been told, by a pass that went
/// along, and to see that takes a tenth of telling them.
const LOOKS_PER_FEED: usize = 8;

/// All watched users of a lane.
#[derive(Debug)]
pub(super) struct Registry {
    feeds: Slab<LiveFeed>,
    by_user: HashMap<UserId, usize>,
    audiences: Slab<Audience>,
    by_author: HashMap<UserId, usize>,
    /// Posts on their way, oldest first.
    passes: VecDeque<Pass>,
    /// Counts the steps in which feeds are told.
    step: u64,
    /// How many feeds were told in this step.
    told_feeds: usize,
    channel_events: usize,
}

/// The channel of one watched user.
#[derive(Debug)]
struct LiveFeed {
    user: UserId,
    sender: Sender<Arc<FeedEvent>>,
    streams: usize,
    /// The audiences that it is in.
    listed: Vec<u32>,
    /// The newest that was sent, or that was applied before anybody listened.
    told: Revision,
    /// The step in which it was told last.
    step: u64,
}

/// The feeds that an author's posts go to.
#[derive(Debug)]
struct Audience {
    author: UserId,
    feeds: BTreeSet<u32>,
}

/// A post that goes to an audience, feed by feed.
#[derive(Debug)]
struct Pass {
    event: Arc<FeedEvent>,
    author: UserId,
    /// The feeds before this place have been told.
    next: u32,
}

impl Registry {
    pub(super) fn new(channel_events: usize) -> Self {
        Self {
            feeds: Slab::new(),
            by_user: HashMap::new(),
            audiences: Slab::new(),
            by_author: HashMap::new(),
            passes: VecDeque::new(),
            step: 0,
            told_feeds: 0,
            channel_events,
        }
    }

    /// Counts a stream of `user`'s in and subscribes it. Gives the place of the feed. If it is the
    /// user's first, `authors` says whose posts are in the feed at `applied` or later.
    pub(super) fn join(
        &mut self,
        user: &UserId,
        applied: Revision,
        authors: impl FnOnce() -> Vec<UserId>,
    ) -> (usize, Receiver<Arc<FeedEvent>>) {
        if let Some(&place) = self.by_user.get(user) {
            let feed = &mut self.feeds[place];
            feed.streams += 1;
            return (place, feed.sender.subscribe());
        }
        let sender = Sender::new(self.channel_events);
        let receiver = sender.subscribe();
        let place = self.feeds.insert(LiveFeed {
            user: user.clone(),
            sender,
            streams: 1,
            listed: Vec::new(),
            told: applied,
            step: 0,
        });
        self.by_user.insert(user.clone(), place);
        self.list(place, user);
        for author in authors() {
            self.list(place, &author);
        }
        (place, receiver)
    }

    /// Counts a stream of the feed at `place` out. Whether it was the last, and the feed is gone.
    pub(super) fn leave(&mut self, place: usize) -> bool {
        let feed = &mut self.feeds[place];
        feed.streams -= 1;
        if feed.streams > 0 {
            return false;
        }
        let feed = self.feeds.remove(place);
        self.by_user.remove(&feed.user);
        for audience in feed.listed {
            self.delist(place, audience);
        }
        true
    }

    /// Begins a step: readers have had the time to read what they were told before.
    pub(super) fn begin_step(&mut self) {
        self.step += 1;
        self.told_feeds = 0;
    }

    /// How many feeds were told in this step.
    pub(super) fn told_feeds(&self) -> usize {
        self.told_feeds
    }

    /// Tells of `event`, which `change` made, after all that was told before; a post to more than
    /// `feeds_max` feeds is a pass from then on. Whether it concerns anybody.
    pub(super) fn tell(
        &mut self,
        change: &Change,
        event: &Arc<FeedEvent>,
        feeds_max: usize,
    ) -> bool {
        match change {
            Change::Follow { follower, followee } => {
                let Some(place) = self.feed_before(follower, event.revision) else { return false };
                // Told first: a pass of the followee's is older than the follow.
                self.send(place, event);
                self.list(place, followee);
            }
            Change::Unfollow { follower, followee } => {
                let Some(place) = self.feed_before(follower, event.revision) else { return false };
                self.send(place, event);
                if let Some(&audience) = self.by_author.get(followee) {
                    let listed = &mut self.feeds[place].listed;
                    if let Some(at) = listed.iter().position(|&listed| listed == number(audience)) {
                        listed.swap_remove(at);
                        self.delist(place, number(audience));
                    }
                }
            }
            Change::Publish { author, .. } => {
                let Some(&audience) = self.by_author.get(author) else { return false };
                let feeds = &self.audiences[audience].feeds;
                if feeds.len() > feeds_max {
                    let event = Arc::clone(event);
                    self.passes.push_back(Pass { event, author: author.clone(), next: 0 });
                } else {
                    let places: Vec<u32> = feeds.iter().copied().collect();
                    places.into_iter().for_each(|place| self.send(place as usize, event));
                }
            }
        }
        true
    }

    /// Goes on with the passes, oldest first, until `feeds_max` feeds were told in this step.
    pub(super) fn advance_passes(&mut self, feeds_max: usize) {
        let mut looks_left = feeds_max.saturating_mul(LOOKS_PER_FEED);
        while let Some(pass) = self.passes.front() {
            let (author, next) = (pass.author.clone(), pass.next);
            let Some(place) = self.next_feed(&author, next) else {
                self.passes.pop_front();
                continue;
            };
            if self.told_feeds >= feeds_max || looks_left == 0 {
                return;
            }
            looks_left -= 1;
            self.catch_up(place as usize, Revision::MAX);
            // Passes that go along do not come here again.
            for pass in &mut self.passes {
                if pass.author == author && pass.next >= next {
                    pass.next = pass.next.max(place + 1);
                }
            }
        }
    }

    /// How many posts are on their way.
    pub(super) fn passes(&self) -> usize {
        self.passes.len()
    }

    /// The oldest post on its way.
    pub(super) fn oldest_pass(&self) -> Option<Revision> {
        self.passes.front().map(|pass| pass.event.revision)
    }

    /// The feed of `user` if `revision` is news to it. What was applied before anybody listened is
    /// in its audiences already, and what undid that then may never come here.
    fn feed_before(&self, user: &UserId, revision: Revision) -> Option<usize> {
        let &place = self.by_user.get(user)?;
        (self.feeds[place].told < revision).then_some(place)
    }

    fn next_feed(&self, author: &UserId, from: u32) -> Option<u32> {
        let audience = &self.audiences[*self.by_author.get(author)?];
        audience.feeds.range(from..).next().copied()
    }

    /// Sends `event` to the feed at `place`, after the older posts that are on their way to it.
    fn send(&mut self, place: usize, event: &Arc<FeedEvent>) {
        self.catch_up(place, event.revision);
        let told = self.feeds[place].tell(event, self.step);
        self.told_feeds += usize::from(told);
    }

    /// Sends the posts before `before` that are on their way to the feed at `place`.
    fn catch_up(&mut self, place: usize, before: Revision) {
        let feed = &mut self.feeds[place];
        for pass in &self.passes {
            if pass.event.revision >= before {
                return;
            }
            let is_due = pass.next <= number(place)
                && feed.told < pass.event.revision
                && self
                    .by_author
                    .get(&pass.author)
                    .is_some_and(|&it| self.audiences[it].feeds.contains(&number(place)));
            if is_due {
                self.told_feeds += usize::from(feed.tell(&pass.event, self.step));
            }
        }
    }

    fn list(&mut self, place: usize, author: &UserId) {
        let audience = match self.by_author.get(author) {
            Some(&audience) => audience,
            None => {
                let feeds = BTreeSet::new();
                let audience = self.audiences.insert(Audience { author: author.clone(), feeds });
                self.by_author.insert(author.clone(), audience);
                audience
            }
        };
        if self.audiences[audience].feeds.insert(number(place)) {
            self.feeds[place].listed.push(number(audience));
        }
    }

    fn delist(&mut self, place: usize, audience: u32) {
        let it = &mut self.audiences[audience as usize];
        it.feeds.remove(&number(place));
        if it.feeds.is_empty() {
            let Audience { author, .. } = self.audiences.remove(audience as usize);
            self.by_author.remove(&author);
        }
    }
}

impl LiveFeed {
    /// Sends `event` unless it has been sent. Whether that is the first in `step`.
    fn tell(&mut self, event: &Arc<FeedEvent>, step: u64) -> bool {
        if event.revision <= self.told {
            return false;
        }
        self.told = event.revision;
        // Nobody receives it if the last stream is just leaving.
        let _ = self.sender.send(Arc::clone(event));
        std::mem::replace(&mut self.step, step) != step
    }
}

/// A place as it is kept. There are never 2^32 of them: each costs an open stream, or a followee of
/// one, and both have far lower limits.
fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
