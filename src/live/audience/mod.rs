//! Who is watching on one shard: a channel for every watched feed, and for every author the feeds that
//! their posts go to.
//!
//! ```text
//!   author ──▶ audience ──▶ feed, feed, feed …      each once, in rising order
//!                             └──▶ broadcast channel ──▶ streams of one user
//! ```
//!
//! A feed's audiences are those of the state when its first stream joins, and follow the changes that
//! are delivered from then on. A change that was applied by then and is delivered later is skipped: the
//! state had it. A feed knows the audiences that it is in, so it leaves all of them. A user's
//! notifications have a channel of their own, which is in no audience.
//!
//! A post on its way is a [`FanOut`]: it is sent to a bounded number of feeds at a time. Posts to few
//! feeds go first, and overtake those to many; but whatever is sent to a feed brings along the older
//! posts that are on their way there, so every channel has its events in the order of the log. Newer
//! ones come along too: the readers of a busy author are woken once for an [`EventBatch`].
//!
//! Where something was lost that would have been sent to feeds, all of them **lag**: see [`lagging`].
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

/// Feeds looked at in a step for each to which something may be sent: most have been sent it, by a
/// fan-out that went along, and to find that out takes a tenth of sending it.
const LOOKS_PER_FEED: usize = 8;

/// All watched feeds of a shard.
#[derive(Debug)]
pub(super) struct Audiences {
    feeds: Slab<WatchedFeed>,
    by_user: HashMap<(UserId, FeedKind), usize>,
    audiences: Slab<Audience>,
    by_author: HashMap<UserId, usize>,
    /// Events on their way, oldest first.
    fan_outs: VecDeque<FanOut>,
    /// Feeds that lag, in the order in which they began to; and some that have left since.
    lagging: VecDeque<usize>,
    /// The batch sent last: the next feed is mostly due the same.
    batch: Arc<EventBatch>,
    /// An empty batch, which sends a stream back to the log.
    nothing: Arc<EventBatch>,
    channel_batches: usize,
}

/// The channel of one watched feed.
#[derive(Debug)]
struct WatchedFeed {
    user: (UserId, FeedKind),
    sender: Sender<Arc<EventBatch>>,
    streams: usize,
    /// The audiences that it is in.
    audiences: Vec<u32>,
    /// The newest revision that was sent, or that was applied before anybody listened. Nothing is
    /// newer for a feed that lags.
    sent_until: Revision,
    lags: bool,
}

/// The feeds that an author's posts go to.
#[derive(Debug)]
struct Audience {
    author: UserId,
    feeds: BTreeSet<u32>,
}

/// An event that goes to one or several audiences, feed by feed.
#[derive(Debug)]
struct FanOut {
    event: Arc<FeedEvent>,
    target: FanOutTarget,
    /// Whether it goes to few feeds.
    is_small: bool,
    /// It was sent to the feeds before this number.
    next: u32,
}

/// The feeds of a fan-out.
#[derive(Clone, Debug)]
enum FanOutTarget {
    /// The audience of an author.
    Audience(UserId),
    /// These feeds, of several audiences as they were. A feed that has joined one of them since has
    /// been sent newer events.
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
    pub(super) fn new(channel_batches: usize) -> Self {
        Self {
            feeds: Slab::new(),
            by_user: HashMap::new(),
            audiences: Slab::new(),
            by_author: HashMap::new(),
            fan_outs: VecDeque::new(),
            lagging: VecDeque::new(),
            batch: Arc::new(EventBatch::new(Vec::new())),
            nothing: Arc::new(EventBatch::new(Vec::new())),
            channel_batches,
        }
    }

    /// Counts a stream of `user`'s in and subscribes it. Gives the number of the feed. If it is the
    /// user's first of that kind, `authors` gives the authors of the feed at `applied` or later, the
    /// user among them.
    pub(super) fn join(
        &mut self,
        user: &(UserId, FeedKind),
        applied: Revision,
        authors: impl FnOnce() -> Vec<UserId>,
    ) -> (usize, Receiver<Arc<EventBatch>>) {
        if let Some(&number) = self.by_user.get(user) {
            let feed = &mut self.feeds[number];
            feed.streams += 1;
            return (number, feed.sender.subscribe());
        }
        let sender = Sender::new(self.channel_batches);
        let receiver = sender.subscribe();
        let number = self.feeds.insert(WatchedFeed {
            user: user.clone(),
            sender,
            streams: 1,
            audiences: Vec::new(),
            sent_until: applied,
            lags: false,
        });
        self.by_user.insert(user.clone(), number);
        for author in authors() {
            self.join_audience(number, &author);
        }
        (number, receiver)
    }

    /// Counts a stream of a feed out. With its last one the feed goes.
    pub(super) fn leave(&mut self, number: usize) {
        let feed = &mut self.feeds[number];
        feed.streams -= 1;
        if feed.streams > 0 {
            return;
        }
        let feed = self.feeds.remove(number);
        self.by_user.remove(&feed.user);
        for audience in feed.audiences {
            self.remove_from(audience, number);
        }
    }

    /// Takes in `delivery` after all that was taken in before. What goes to audiences becomes a fan-out,
    /// if it concerns any feed, and a small one if it goes to `small_max` feeds at most; what goes to
    /// one feed is sent at once.
    pub(super) fn take(&mut self, delivery: &Delivery, small_max: usize) {
        match delivery {
            Delivery::ToFollowers { authors, event } => {
                if let Some((target, count)) = self.target_of(authors) {
                    let (event, is_small) = (Arc::clone(event), count <= small_max);
                    self.fan_outs.push_back(FanOut { event, target, is_small, next: 0 });
                }
            }
            Delivery::ToUser { user, feed, event, then } => {
                if let Some(number) = self.feed_before(user, *feed, event.revision) {
                    // Sent first: a fan-out of an author whose audience it joins now is older.
                    self.send(number, Some(event));
                    match then {
                        AudienceChange::Join(author) => self.join_audience(number, author),
                        AudienceChange::Leave(author) => self.leave_audience(number, author),
                        AudienceChange::Nothing => {}
                    }
                }
            }
        }
    }

    /// The feeds in the audiences of `authors`, and how many those are.
    fn target_of(&self, authors: &[UserId]) -> Option<(FanOutTarget, usize)> {
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

    /// Goes on with the small fan-outs, until something was sent to `feeds_max` feeds.
    pub(super) fn advance_small(&mut self, feeds_max: usize) {
        let mut budget = StepBudget::of(feeds_max);
        let mut at = 0;
        while !budget.is_spent()
            && let Some(fan_out) = self.fan_outs.get(at)
        {
            if fan_out.is_small && self.advance(at, &mut budget) {
                self.fan_outs.remove(at);
            } else {
                at += 1;
            }
        }
    }

    /// Goes on with all fan-outs, oldest first, until something was sent to `feeds_max` feeds.
    pub(super) fn advance_oldest(&mut self, feeds_max: usize) {
        let mut budget = StepBudget::of(feeds_max);
        while !budget.is_spent() && !self.fan_outs.is_empty() {
            if self.advance(0, &mut budget) {
                self.fan_outs.pop_front();
            }
        }
    }

    /// How many events are on their way.
    pub(super) fn fan_outs(&self) -> usize {
        self.fan_outs.len()
    }

    /// The oldest event on its way.
    pub(super) fn oldest_fan_out(&self) -> Option<Revision> {
        self.fan_outs.front().map(|fan_out| fan_out.event.revision)
    }

    /// The feed of `user` if `revision` is newer than what was sent to it. What was applied before
    /// anybody listened is in its audiences already, and what undid that then may never come here.
    fn feed_before(&self, user: &UserId, feed: FeedKind, revision: Revision) -> Option<usize> {
        let &number = self.by_user.get(&(user.clone(), feed))?;
        (self.feeds[number].sent_until < revision).then_some(number)
    }

    /// Takes a fan-out on as far as the budget goes. Whether it is at its end.
    fn advance(&mut self, at: usize, budget: &mut StepBudget) -> bool {
        let FanOut { target, next, .. } = &self.fan_outs[at];
        let (target, first) = (target.clone(), *next);
        let mut next = first;
        let ended = loop {
            let number = match &target {
                FanOutTarget::Audience(author) => self
                    .by_author
                    .get(author)
                    .and_then(|&it| self.audiences[it].feeds.range(next..).next().copied()),
                FanOutTarget::Feeds(feeds) => feeds.range(next..).next().copied(),
            };
            let Some(number) = number else { break true };
            if budget.is_spent() {
                break false;
            }
            budget.looks -= 1;
            budget.feeds -= usize::from(self.send(number as usize, None));
            next = number + 1;
        };
        match &target {
            // Those of the same author that went along do not come again.
            FanOutTarget::Audience(author) => {
                for fan_out in &mut self.fan_outs {
                    if matches!(&fan_out.target, FanOutTarget::Audience(it) if it == author)
                        && fan_out.next >= first
                    {
                        fan_out.next = fan_out.next.max(next);
                    }
                }
            }
            FanOutTarget::Feeds(_) => self.fan_outs[at].next = next,
        }
        ended
    }

    /// Sends to a feed what is on its way there: what is older than `event` and then that, or all
    /// there is. Whether that was anything.
    fn send(&mut self, number: usize, event: Option<&Arc<FeedEvent>>) -> bool {
        let Self { feeds, audiences, by_author, fan_outs, .. } = &*self;
        // Of the feeds of a fan-out, some may have left.
        let Some(feed) = feeds.get(number) else { return false };
        let (sent_until, small_number) = (feed.sent_until, as_u32(number));
        let mut author = None;
        let mut is_in_audience = false;
        let due: Vec<&Arc<FeedEvent>> = fan_outs
            .iter()
            .take_while(|it| event.is_none_or(|event| it.event.revision < event.revision))
            .filter(|fan_out| {
                let goes_there = match &fan_out.target {
                    FanOutTarget::Audience(of) => {
                        // In a row of one author's, the first decides for all.
                        if author != Some(of) {
                            author = Some(of);
                            is_in_audience = by_author.get(of).is_some_and(|&audience| {
                                audiences[audience].feeds.contains(&small_number)
                            });
                        }
                        is_in_audience
                    }
                    FanOutTarget::Feeds(feeds) => feeds.contains(&small_number),
                };
                goes_there && fan_out.next <= small_number && fan_out.event.revision > sent_until
            })
            .map(|fan_out| &fan_out.event)
            .chain(event)
            .collect();
        let Some(newest) = due.last().map(|event| event.revision) else { return false };
        debug_assert!(due.is_sorted_by_key(|event| event.revision), "not in the log's order");
        if !self.batch.has_exactly(&due) {
            self.batch = Arc::new(EventBatch::new(due.into_iter().cloned().collect()));
        }
        let feed = &mut self.feeds[number];
        feed.sent_until = newest;
        // Nobody receives it if the last stream is just leaving.
        let _ = feed.sender.send(Arc::clone(&self.batch));
        true
    }

    fn join_audience(&mut self, number: usize, author: &UserId) {
        let audience = match self.by_author.get(author) {
            Some(&audience) => audience,
            None => {
                let feeds = BTreeSet::new();
                let audience = self.audiences.insert(Audience { author: author.clone(), feeds });
                self.by_author.insert(author.clone(), audience);
                audience
            }
        };
        if self.audiences[audience].feeds.insert(as_u32(number)) {
            self.feeds[number].audiences.push(as_u32(audience));
        }
    }

    fn leave_audience(&mut self, number: usize, author: &UserId) {
        let Some(&audience) = self.by_author.get(author) else { return };
        let joined = &mut self.feeds[number].audiences;
        if let Some(at) = joined.iter().position(|&joined| joined == as_u32(audience)) {
            joined.swap_remove(at);
            self.remove_from(as_u32(audience), number);
        }
    }

    fn remove_from(&mut self, audience: u32, number: usize) {
        let it = &mut self.audiences[audience as usize];
        it.feeds.remove(&as_u32(number));
        if it.feeds.is_empty() {
            let Audience { author, .. } = self.audiences.remove(audience as usize);
            self.by_author.remove(&author);
        }
    }
}

/// A number of a feed or an audience, in the form in which many are kept.
///
/// # Panics
/// It is 2^32 or more: each costs an open stream, or a followee of one, and both have far lower limits.
fn as_u32(number: usize) -> u32 {
    match u32::try_from(number) {
        Ok(number) => number,
        Err(_) => panic!("there is no number {number} among the watched feeds"),
    }
}
