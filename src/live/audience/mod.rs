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
//! the view had it. A feed knows the audiences that it is in, so it leaves all of them. What a user
//! is notified of has a channel of its own, which is in no audience.
//!
//! A post on its way is a [`FanOut`]: it comes to a bounded number of feeds at a time. Posts to few
//! go first, and overtake those to many; but whatever comes to a feed brings along the older posts
//! that are on their way there, so every channel has its events in the order of the log. And
//! newer ones come along too: the readers of a busy author are woken once for a [`EventBatch`] of posts.
//!
//! Where something was lost that would have come to feeds, all of them **lag**: see [`lagging`].
//!
//! Nothing here waits, or knows of locks.

mod lagging;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use slab::Slab;
use tokio::sync::broadcast::{Receiver, Sender};

use super::delivery::{AudienceChange, Delivery, FeedKind};
use super::{EventBatch, FeedEvent};
use crate::model::{Revision, UserId};

/// Feeds looked at in a step for each that may be told: most have been told, by a pass that went
/// along, and to see that takes a tenth of telling them.
const LOOKS_PER_FEED: usize = 8;

/// All watched users of a lane.
#[derive(Debug)]
pub(super) struct Audiences {
    feeds: Slab<WatchedFeed>,
    by_user: HashMap<(UserId, FeedKind), usize>,
    audiences: Slab<Audience>,
    by_author: HashMap<UserId, usize>,
    /// Posts on their way, oldest first.
    passes: VecDeque<FanOut>,
    /// Feeds that lag, in the order in which they began to; and some that have left since.
    lagging: VecDeque<usize>,
    /// What was sent last: the next feed is mostly due the same.
    run: Arc<EventBatch>,
    /// Sends a stream back to the log.
    nothing: Arc<EventBatch>,
    channel_runs: usize,
}

/// The channel of one watched user.
#[derive(Debug)]
struct WatchedFeed {
    user: (UserId, FeedKind),
    sender: Sender<Arc<EventBatch>>,
    streams: usize,
    /// The audiences that it is in.
    listed: Vec<u32>,
    /// The newest that was sent, or that was applied before anybody listened. Nothing is news to a
    /// feed that lags.
    told: Revision,
    lags: bool,
}

/// The feeds that an author's posts go to.
#[derive(Debug)]
struct Audience {
    author: UserId,
    feeds: BTreeSet<u32>,
}

/// A post that goes to an audience, feed by feed; or what concerns several audiences.
#[derive(Debug)]
struct FanOut {
    event: Arc<FeedEvent>,
    to: FanOutTarget,
    /// Whether it goes to few.
    is_small: bool,
    /// The feeds before this place have been told.
    next: u32,
}

/// Where a pass goes.
#[derive(Clone, Debug)]
enum FanOutTarget {
    /// FanOutTarget the audience of an author.
    Audience(UserId),
    /// FanOutTarget the feeds at these places, of several audiences as they were. A feed that has come to one of
    /// them since has been told of what is newer.
    Feeds(Arc<BTreeSet<u32>>),
}

/// What may still be done in a step.
#[derive(Debug)]
struct StepBudget {
    feeds: usize,
    looks: usize,
}

impl StepBudget {
    fn of(feeds: usize) -> Self {
        Self { feeds, looks: feeds.saturating_mul(LOOKS_PER_FEED) }
    }

    fn is_spent(&self) -> bool {
        self.feeds == 0 || self.looks == 0
    }
}

impl Audiences {
    pub(super) fn new(channel_runs: usize) -> Self {
        Self {
            feeds: Slab::new(),
            by_user: HashMap::new(),
            audiences: Slab::new(),
            by_author: HashMap::new(),
            passes: VecDeque::new(),
            lagging: VecDeque::new(),
            run: Arc::new(EventBatch::new(Vec::new())),
            nothing: Arc::new(EventBatch::new(Vec::new())),
            channel_runs,
        }
    }

    /// Counts a stream of `user`'s in and subscribes it. Gives the place of the feed. If it is the
    /// user's first of that kind, `authors` says whose posts are in the feed at `applied` or later,
    /// the user's own beside them.
    pub(super) fn join(
        &mut self,
        user: &(UserId, FeedKind),
        applied: Revision,
        authors: impl FnOnce() -> Vec<UserId>,
    ) -> (usize, Receiver<Arc<EventBatch>>) {
        if let Some(&place) = self.by_user.get(user) {
            let feed = &mut self.feeds[place];
            feed.streams += 1;
            return (place, feed.sender.subscribe());
        }
        let sender = Sender::new(self.channel_runs);
        let receiver = sender.subscribe();
        let place = self.feeds.insert(WatchedFeed {
            user: user.clone(),
            sender,
            streams: 1,
            listed: Vec::new(),
            told: applied,
            lags: false,
        });
        self.by_user.insert(user.clone(), place);
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

    /// Takes in `effect` after all that was taken in before. What goes to an audience is a pass from
    /// then on, if it concerns anybody, and a small one if it goes to `small_max` feeds at most;
    /// what concerns one feed is told at once.
    pub(super) fn take(&mut self, effect: &Delivery, small_max: usize) {
        match effect {
            Delivery::Spread { authors, event } => {
                if let Some((to, count)) = self.audience_of(authors) {
                    let event = Arc::clone(event);
                    self.passes.push_back(FanOut {
                        event,
                        to,
                        is_small: count <= small_max,
                        next: 0,
                    });
                }
            }
            Delivery::Tell { user, of, event, then } => {
                if let Some(place) = self.feed_before(user, *of, event.revision) {
                    // Told first: a pass of somebody's who is listed now is older than that.
                    self.send(place, Some(event));
                    match then {
                        AudienceChange::List(author) => self.list(place, author),
                        AudienceChange::Unlist(author) => self.unlist(place, author),
                        AudienceChange::Nothing => {}
                    }
                }
            }
        }
    }

    /// Where goes what concerns the audiences of `authors`, and how many feeds those are.
    fn audience_of(&self, authors: &[UserId]) -> Option<(FanOutTarget, usize)> {
        let watched = authors.iter().filter_map(|author| {
            let &audience = self.by_author.get(author)?;
            Some((author, &self.audiences[audience].feeds))
        });
        let mut watched = watched.peekable();
        let (author, first) = watched.next()?;
        if watched.peek().is_none() {
            return Some((FanOutTarget::Audience(author.clone()), first.len()));
        }
        let mut feeds = first.clone();
        feeds.extend(watched.flat_map(|(_, feeds)| feeds));
        let count = feeds.len();
        Some((FanOutTarget::Feeds(Arc::new(feeds)), count))
    }

    /// Goes on with the small passes, until `feeds_max` feeds were told.
    pub(super) fn advance_small(&mut self, feeds_max: usize) {
        let mut budget = StepBudget::of(feeds_max);
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
        let mut budget = StepBudget::of(feeds_max);
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
    fn feed_before(&self, user: &UserId, of: FeedKind, revision: Revision) -> Option<usize> {
        let &place = self.by_user.get(&(user.clone(), of))?;
        (self.feeds[place].told < revision).then_some(place)
    }

    /// Takes a pass on as far as the budget goes. Whether it is at its end.
    fn advance(&mut self, number: usize, budget: &mut StepBudget) -> bool {
        let FanOut { to, next, .. } = &self.passes[number];
        let (to, first) = (to.clone(), *next);
        let mut next = first;
        let ended = loop {
            let place = match &to {
                FanOutTarget::Audience(author) => {
                    self.by_author.get(author).and_then(|&audience| {
                        self.audiences[audience].feeds.range(next..).next().copied()
                    })
                }
                FanOutTarget::Feeds(feeds) => feeds.range(next..).next().copied(),
            };
            let Some(place) = place else { break true };
            if budget.is_spent() {
                break false;
            }
            budget.looks -= 1;
            budget.feeds -= usize::from(self.send(place as usize, None));
            next = place + 1;
        };
        match &to {
            // Those of the same author that went along do not come again.
            FanOutTarget::Audience(author) => {
                for pass in &mut self.passes {
                    if matches!(&pass.to, FanOutTarget::Audience(other) if other == author)
                        && pass.next >= first
                    {
                        pass.next = pass.next.max(next);
                    }
                }
            }
            FanOutTarget::Feeds(_) => self.passes[number].next = next,
        }
        ended
    }

    /// Sends to the feed at `place` what is on its way there: what is older than `event` and then
    /// that, or all there is. Whether that was anything.
    fn send(&mut self, place: usize, event: Option<&Arc<FeedEvent>>) -> bool {
        let Self { feeds, audiences, by_author, passes, .. } = &*self;
        // FeedKind those that a pass goes to, some may have left.
        let Some(feed) = feeds.get(place) else { return false };
        let told = feed.told;
        let mut author = None;
        let mut is_listed = false;
        let due: Vec<&Arc<FeedEvent>> = passes
            .iter()
            .take_while(|pass| event.is_none_or(|event| pass.event.revision < event.revision))
            .filter(|pass| {
                let goes_there = match &pass.to {
                    FanOutTarget::Audience(of) => {
                        // In a row of one author's, the first tells of all.
                        if author != Some(of) {
                            author = Some(of);
                            is_listed = by_author.get(of).is_some_and(|&audience| {
                                audiences[audience].feeds.contains(&number(place))
                            });
                        }
                        is_listed
                    }
                    FanOutTarget::Feeds(feeds) => feeds.contains(&number(place)),
                };
                goes_there && pass.next <= number(place) && pass.event.revision > told
            })
            .map(|pass| &pass.event)
            .chain(event)
            .collect();
        let Some(newest) = due.last().map(|event| event.revision) else { return false };
        if !self.run.is_of(&due) {
            self.run = Arc::new(EventBatch::new(due.into_iter().cloned().collect()));
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

/// A place as it is kept.
///
/// # Panics
/// It is beyond 2^32: each costs an open stream, or a followee of one, and both have far lower limits.
fn number(place: usize) -> u32 {
    match u32::try_from(place) {
        Ok(number) => number,
        Err(_) => panic!("there is no place {place} in the registry"),
    }
}
