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
//! A post to many is a [`Pass`]: it goes to a bounded number of feeds at a time, and other events
//! go out in between. A feed that such an event overtakes is given the post first, so that every
//! channel has its events in the order of the log.
//!
//! Nothing here waits, or knows of locks.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use slab::Slab;
use tokio::sync::broadcast::{Receiver, Sender};

use super::FeedEvent;
use crate::model::{Change, Revision, UserId};

/// All watched users of a lane.
#[derive(Debug)]
pub(super) struct Registry {
    feeds: Slab<LiveFeed>,
    by_user: HashMap<UserId, usize>,
    audiences: Slab<Audience>,
    by_author: HashMap<UserId, usize>,
    /// Posts on their way, oldest first.
    passes: VecDeque<Pass>,
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

    /// Tells of `event`, which `change` made, after all that was told before. A post goes to
    /// `feeds_max` feeds at most and is a pass from then on if there are more. Gives how many
    /// feeds were told.
    pub(super) fn tell(
        &mut self,
        change: &Change,
        event: &Arc<FeedEvent>,
        feeds_max: usize,
    ) -> usize {
        match change {
            Change::Follow { follower, followee } => {
                let Some(place) = self.feed_before(follower, event.revision) else { return 0 };
                // Told first: a pass of the followee's is older than the follow.
                let sent = self.send(place, event);
                self.list(place, followee);
                sent
            }
            Change::Unfollow { follower, followee } => {
                let Some(place) = self.feed_before(follower, event.revision) else { return 0 };
                let sent = self.send(place, event);
                if let Some(&audience) = self.by_author.get(followee) {
                    let listed = &mut self.feeds[place].listed;
                    if let Some(at) = listed.iter().position(|&listed| listed == number(audience)) {
                        listed.swap_remove(at);
                        self.delist(place, number(audience));
                    }
                }
                sent
            }
            Change::Publish { author, .. } => {
                let mut pass = Pass { event: Arc::clone(event), author: author.clone(), next: 0 };
                let (sent, ended) = self.advance(&mut pass, feeds_max);
                if !ended {
                    self.passes.push_back(pass);
                }
                sent
            }
        }
    }

    /// Goes on with the passes, oldest first, to `feeds_max` feeds at most.
    pub(super) fn advance_passes(&mut self, feeds_max: usize) {
        let mut left = feeds_max;
        while left > 0
            && let Some(mut pass) = self.passes.pop_front()
        {
            let (sent, ended) = self.advance(&mut pass, left);
            left = left.saturating_sub(sent);
            if !ended {
                self.passes.push_front(pass);
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

    /// Takes `pass` on by `feeds_max` feeds at most. Gives how many, and whether it is at its end.
    fn advance(&mut self, pass: &mut Pass, feeds_max: usize) -> (usize, bool) {
        let mut sent = 0;
        while let Some(place) = self.next_feed(&pass.author, pass.next) {
            if sent >= feeds_max {
                return (sent, false);
            }
            sent += self.send(place as usize, &pass.event);
            pass.next = place + 1;
        }
        (sent, true)
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
    /// Gives how many were sent.
    fn send(&mut self, place: usize, event: &Arc<FeedEvent>) -> usize {
        let feed = &mut self.feeds[place];
        let mut sent = 0;
        for pass in &self.passes {
            let is_due = pass.event.revision < event.revision
                && number(place) >= pass.next
                && self
                    .by_author
                    .get(&pass.author)
                    .is_some_and(|&it| self.audiences[it].feeds.contains(&number(place)));
            if is_due {
                sent += feed.tell(&pass.event);
            }
        }
        sent + feed.tell(event)
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
    /// Sends `event` unless it has been sent. Gives how many were sent.
    fn tell(&mut self, event: &Arc<FeedEvent>) -> usize {
        if event.revision <= self.told {
            return 0;
        }
        self.told = event.revision;
        // Nobody receives it if the last stream is just leaving.
        let _ = self.sender.send(Arc::clone(event));
        1
    }
}

/// A place as it is kept. There are never 2^32 of them: each costs an open stream, or a followee of
/// one, and both have far lower limits.
fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
