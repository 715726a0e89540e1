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
//! A post on its way is a [`Pass`]: it comes to a bounded number of feeds at a time. Posts to few
//! go first, and overtake those to many; but whatever comes to a feed brings along the older posts
//! that are on their way there, so every channel has its events in the order of the log. And
//! newer ones come along too: the readers of a busy author are woken once for a [`Run`] of posts.
//!
//! Nothing here waits, or knows of locks.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use slab::Slab;
use tokio::sync::broadcast::{Receiver, Sender};

use super::{FeedEvent, Run};
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
    /// What was sent last: the next feed is mostly due the same.
    run: Arc<Run>,
    channel_runs: usize,
}

/// The channel of one watched user.
#[derive(Debug)]
struct LiveFeed {
    user: UserId,
    sender: Sender<Arc<Run>>,
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
    /// Whether it goes to few.
    is_small: bool,
    /// The feeds before this place have been told.
    next: u32,
}

/// What may still be done in a step.
#[derive(Debug)]
struct Budget {
    feeds: usize,
    looks: usize,
}

impl Budget {
    fn of(feeds: usize) -> Self {
        Self { feeds, looks: feeds.saturating_mul(LOOKS_PER_FEED) }
    }

    fn is_spent(&self) -> bool {
        self.feeds == 0 || self.looks == 0
    }
}

impl Registry {
    pub(super) fn new(channel_runs: usize) -> Self {
        Self {
            feeds: Slab::new(),
            by_user: HashMap::new(),
            audiences: Slab::new(),
            by_author: HashMap::new(),
            passes: VecDeque::new(),
            run: Arc::new(Run::new(Vec::new())),
            channel_runs,
        }
    }

    /// Counts a stream of `user`'s in and subscribes it. Gives the place of the feed. If it is the
    /// user's first, `authors` says whose posts are in the feed at `applied` or later.
    pub(super) fn join(
        &mut self,
        user: &UserId,
        applied: Revision,
        authors: impl FnOnce() -> Vec<UserId>,
    ) -> (usize, Receiver<Arc<Run>>) {
        if let Some(&place) = self.by_user.get(user) {
            let feed = &mut self.feeds[place];
            feed.streams += 1;
            return (place, feed.sender.subscribe());
        }
        let sender = Sender::new(self.channel_runs);
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

    /// Counts a stream of the feed at `place` out. With its last one the feed goes.
    pub(super) fn leave(&mut self, place: usize) {
        let feed = &mut self.feeds[place];
        feed.streams -= 1;
        if feed.streams > 0 {
            return;
        }
        let feed = self.feeds.remove(place);
        self.by_user.remove(&feed.user);
        for audience in feed.listed {
            self.delist(place, audience);
        }
    }

    /// Takes in `event`, which `change` made, after all that was taken in before. A post that
    /// concerns anybody is a pass from then on, and a small one if it goes to `small_max` feeds at
    /// most; what concerns one feed is told at once.
    pub(super) fn take(&mut self, change: &Change, event: &Arc<FeedEvent>, small_max: usize) {
        match change {
            Change::Follow { follower, followee } => {
                if let Some(place) = self.feed_before(follower, event.revision) {
                    // Told first: a pass of the followee's is older than the follow.
                    self.send(place, Some(event));
                    self.list(place, followee);
                }
            }
            Change::Unfollow { follower, followee } => {
                if let Some(place) = self.feed_before(follower, event.revision) {
                    self.send(place, Some(event));
                    self.unlist(place, followee);
                }
            }
            Change::Publish { author, .. } => {
                if let Some(&audience) = self.by_author.get(author) {
                    let is_small = self.audiences[audience].feeds.len() <= small_max;
                    let (event, author) = (Arc::clone(event), author.clone());
                    self.passes.push_back(Pass { event, author, is_small, next: 0 });
                }
            }
            _ => {}
        }
    }

    /// Goes on with the small passes, until `feeds_max` feeds were told.
    pub(super) fn advance_small(&mut self, feeds_max: usize) {
        let mut budget = Budget::of(feeds_max);
        let mut number = 0;
        while !budget.is_spent()
            && let Some(pass) = self.passes.get(number)
        {
            if pass.is_small && self.advance(number, &mut budget) {
                self.passes.remove(number);
            } else {
                number += 1;
            }
        }
    }

    /// Goes on with all passes, oldest first, until `feeds_max` feeds were told.
    pub(super) fn advance_oldest(&mut self, feeds_max: usize) {
        let mut budget = Budget::of(feeds_max);
        while !budget.is_spent() && !self.passes.is_empty() {
            if self.advance(0, &mut budget) {
                self.passes.pop_front();
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

    /// Takes a pass on as far as the budget goes. Whether it is at its end.
    fn advance(&mut self, number: usize, budget: &mut Budget) -> bool {
        let Pass { author, next, .. } = &self.passes[number];
        let (author, first) = (author.clone(), *next);
        let Some(&audience) = self.by_author.get(&author) else { return true };
        let mut next = first;
        let ended = loop {
            let Some(&place) = self.audiences[audience].feeds.range(next..).next() else {
                break true;
            };
            if budget.is_spent() {
                break false;
            }
            budget.looks -= 1;
            budget.feeds -= usize::from(self.send(place as usize, None));
            next = place + 1;
        };
        // Those of the same author that went along do not come again.
        for pass in &mut self.passes {
            if pass.author == author && pass.next >= first {
                pass.next = pass.next.max(next);
            }
        }
        ended
    }

    /// Sends to the feed at `place` what is on its way there: what is older than `event` and then
    /// that, or all there is. Whether that was anything.
    fn send(&mut self, place: usize, event: Option<&Arc<FeedEvent>>) -> bool {
        let Self { feeds, audiences, by_author, passes, .. } = &*self;
        let told = feeds[place].told;
        let mut author = None;
        let mut is_listed = false;
        let due: Vec<&Arc<FeedEvent>> = passes
            .iter()
            .take_while(|pass| event.is_none_or(|event| pass.event.revision < event.revision))
            .filter(|pass| {
                // In a row of one author's, the first tells of all.
                if author != Some(&pass.author) {
                    author = Some(&pass.author);
                    is_listed = by_author.get(&pass.author).is_some_and(|&audience| {
                        audiences[audience].feeds.contains(&number(place))
                    });
                }
                is_listed && pass.next <= number(place) && pass.event.revision > told
            })
            .map(|pass| &pass.event)
            .chain(event)
            .collect();
        let Some(newest) = due.last().map(|event| event.revision) else { return false };
        if !self.run.is_of(&due) {
            self.run = Arc::new(Run::new(due.into_iter().cloned().collect()));
        }
        let feed = &mut self.feeds[place];
        feed.told = newest;
        // Nobody receives it if the last stream is just leaving.
        let _ = feed.sender.send(Arc::clone(&self.run));
        true
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

    fn unlist(&mut self, place: usize, author: &UserId) {
        let Some(&audience) = self.by_author.get(author) else { return };
        let listed = &mut self.feeds[place].listed;
        if let Some(at) = listed.iter().position(|&listed| listed == number(audience)) {
            listed.swap_remove(at);
            self.delist(place, number(audience));
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

/// A place as it is kept. There are never 2^32 of them: each costs an open stream, or a followee of
/// one, and both have far lower limits.
fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
