//! The audiences of one shard: a channel for each watched feed, and for each author the feeds that
//! receive their posts.
//!
//! ```text
//!   author ──▶ audience ──▶ feed, feed, feed …      each once, in rising order
//!                             └──▶ broadcast channel ──▶ streams of one user
//! ```
//!
//! When the first stream of a feed joins, the feed's audiences come from the state; later
//! deliveries change them. A delivery of a change that the state had then is skipped. A feed has a
//! list of its audiences, to leave all of them. A user's notifications have a channel of their own,
//! which is in no audience.
//!
//! A delivery to audiences becomes a [`FanOut`], which is sent to a limited number of feeds in each
//! step. Fan-outs to few feeds go first. But each send to a feed includes the older fan-outs to
//! that feed, so every channel has its events in the order of the log. It includes newer ones, too:
//! the streams of a busy author are woken once for an [`EventBatch`].
//!
//! If the shard loses a batch, all feeds **lag**: see [`lagging`].
//!
//! Nothing here waits or locks.

mod lagging;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use slab::Slab;
use tokio::sync::broadcast::{Receiver, Sender};

use super::delivery::{AudienceChange, Delivery, FeedKind};
use super::{EventBatch, FeedEvent};
use crate::model::{Revision, UserId};

/// Feeds that a step may check for each feed that it may send to. Most checked feeds have received
/// the event with an earlier send, and a check takes a tenth of the time of a send.
const CHECKS_PER_FEED: usize = 8;

/// All watched feeds of a shard.
#[derive(Debug)]
pub(super) struct Audiences {
    feeds: Slab<WatchedFeed>,
    by_user: HashMap<(UserId, FeedKind), usize>,
    audiences: Slab<Audience>,
    by_author: HashMap<UserId, usize>,
    /// Oldest first.
    fan_outs: VecDeque<FanOut>,
    /// Lagging feeds, in the order in which they started to lag; and some that have left since.
    lagging: VecDeque<usize>,
    /// The batch that was sent last: the next feed often receives the same events.
    last_batch: Arc<EventBatch>,
    /// An empty batch, after which a stream reads from the log.
    empty_batch: Arc<EventBatch>,
    channel_batches: usize,
}

/// A stream of a watched feed.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamKey {
    feed: usize,
    stream: usize,
}

/// The channel of one watched feed.
#[derive(Debug)]
struct WatchedFeed {
    user: (UserId, FeedKind),
    sender: Sender<Arc<EventBatch>>,
    /// The wakers of the streams; `None` of a stream that does not wait yet.
    streams: Slab<Option<Waker>>,
    /// The audiences that the feed has joined.
    audiences: Vec<u32>,
    /// The newest revision that was sent, or that the state had when the first stream joined. The
    /// maximum while the feed lags, so that no event is newer.
    sent_until: Revision,
    lags: bool,
}

/// The feeds that receive an author's posts.
#[derive(Debug)]
struct Audience {
    author: UserId,
    feeds: BTreeSet<u32>,
}

/// An event that is sent to one or several audiences, feed by feed.
#[derive(Debug)]
struct FanOut {
    event: Arc<FeedEvent>,
    target: FanOutTarget,
    /// Whether the target has few feeds.
    is_small: bool,
    /// The event was sent to all target feeds with a lower number.
    next: u32,
}

/// The feeds of a fan-out.
#[derive(Clone, Debug)]
enum FanOutTarget {
    /// The audience of an author.
    Audience(UserId),
    /// The feeds of several audiences, as these were when the fan-out started. A feed that joined
    /// one of them later has received newer events.
    Feeds(Arc<BTreeSet<u32>>),
}

/// The remaining sends and checks of a step.
#[derive(Debug)]
struct StepBudget {
    feeds: usize,
    checks: usize,
}

impl WatchedFeed {
    /// Sends `batch` to all streams of the feed, and wakes them.
    fn send(&self, batch: Arc<EventBatch>) {
        // Fails only without receivers, while the last stream is leaving.
        let _ = self.sender.send(batch);
        self.streams.iter().filter_map(|(_, waker)| waker.as_ref()).for_each(Waker::wake_by_ref);
    }
}

impl StepBudget {
    fn of(feeds: usize) -> Self {
        Self { feeds, checks: feeds * CHECKS_PER_FEED }
    }

    fn is_spent(&self) -> bool {
        self.feeds == 0 || self.checks == 0
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
            last_batch: Arc::new(EventBatch::new(Vec::new())),
            empty_batch: Arc::new(EventBatch::new(Vec::new())),
            channel_batches,
        }
    }

    /// Subscribes a stream to a feed. For the first stream of the feed, `authors` returns the authors
    /// of the feed at `applied` or later, the user included.
    pub(super) fn join(
        &mut self,
        user: &(UserId, FeedKind),
        applied: Revision,
        authors: impl FnOnce() -> Vec<UserId>,
    ) -> (StreamKey, Receiver<Arc<EventBatch>>) {
        if let Some(&number) = self.by_user.get(user) {
            let feed = &mut self.feeds[number];
            let key = StreamKey { feed: number, stream: feed.streams.insert(None) };
            return (key, feed.sender.subscribe());
        }
        let sender = Sender::new(self.channel_batches);
        let receiver = sender.subscribe();
        // Nearly every feed has one stream.
        let mut streams = Slab::with_capacity(1);
        let stream = streams.insert(None);
        let number = self.feeds.insert(WatchedFeed {
            user: user.clone(),
            sender,
            streams,
            audiences: Vec::new(),
            sent_until: applied,
            lags: false,
        });
        self.by_user.insert(user.clone(), number);
        for author in authors() {
            self.join_audience(number, &author);
        }
        (StreamKey { feed: number, stream }, receiver)
    }

    /// Has each send to the feed wake `waker`. Returns the waker that was woken before.
    pub(super) fn set_waker(&mut self, key: StreamKey, waker: Waker) -> Option<Waker> {
        self.feeds[key.feed].streams[key.stream].replace(waker)
    }

    /// Removes a stream of a feed, and returns its waker. With its last stream the feed is removed.
    pub(super) fn leave(&mut self, key: StreamKey) -> Option<Waker> {
        let StreamKey { feed: number, stream } = key;
        let feed = &mut self.feeds[number];
        let waker = feed.streams.remove(stream);
        if feed.streams.is_empty() {
            let feed = self.feeds.remove(number);
            self.by_user.remove(&feed.user);
            for audience in feed.audiences {
                self.remove_from(audience, number);
            }
        }
        waker
    }

    /// Adds the next `delivery` in the order of the log. A delivery to audiences becomes a fan-out,
    /// if they have any feed, and a small one if they have at most `small_max`. A delivery to one
    /// feed is sent at once.
    pub(super) fn push(&mut self, delivery: &Delivery, small_max: usize) {
        match delivery {
            Delivery::ToFollowers { authors, event } => {
                if let Some((target, count)) = self.target_of(authors) {
                    let (event, is_small) = (Arc::clone(event), count <= small_max);
                    self.fan_outs.push_back(FanOut { event, target, is_small, next: 0 });
                }
            }
            Delivery::ToUser { user, feed, event, then } => {
                if let Some(number) = self.feed_due(user, *feed, event.revision) {
                    // Sent before it joins: a fan-out to that audience is older than this event.
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

    /// The feeds in the audiences of `authors`, and their number; `None` if there are none.
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

    /// Advances the small fan-outs, and sends to at most `feeds_max` feeds.
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

    /// Advances all fan-outs, oldest first, and sends to at most `feeds_max` feeds.
    pub(super) fn advance_oldest(&mut self, feeds_max: usize) {
        let mut budget = StepBudget::of(feeds_max);
        while !budget.is_spent() && !self.fan_outs.is_empty() {
            if self.advance(0, &mut budget) {
                self.fan_outs.pop_front();
            }
        }
    }

    /// The number of unfinished fan-outs.
    pub(super) fn fan_outs(&self) -> usize {
        self.fan_outs.len()
    }

    /// The revision of the oldest unfinished fan-out.
    pub(super) fn oldest_fan_out(&self) -> Option<Revision> {
        self.fan_outs.front().map(|fan_out| fan_out.event.revision)
    }

    /// The feed of `user`, if an event at `revision` is newer than all that was sent to it. The
    /// feed's audiences have all changes that the state had when its first stream joined. An older
    /// event must not change them: the event that reverses it may never be delivered here.
    fn feed_due(&self, user: &UserId, feed: FeedKind, revision: Revision) -> Option<usize> {
        let &number = self.by_user.get(&(user.clone(), feed))?;
        (self.feeds[number].sent_until < revision).then_some(number)
    }

    /// Advances a fan-out within the budget. Returns whether it is finished.
    fn advance(&mut self, at: usize, budget: &mut StepBudget) -> bool {
        let FanOut { target, next, .. } = &self.fan_outs[at];
        let (target, first) = (target.clone(), *next);
        let mut next = first;
        let ended = loop {
            let number = match &target {
                FanOutTarget::Audience(author) => {
                    self.by_author.get(author).and_then(|&audience| {
                        self.audiences[audience].feeds.range(next..).next().copied()
                    })
                }
                FanOutTarget::Feeds(feeds) => feeds.range(next..).next().copied(),
            };
            let Some(number) = number else { break true };
            if budget.is_spent() {
                break false;
            }
            budget.checks -= 1;
            budget.feeds -= usize::from(self.send(number as usize, None));
            next = number + 1;
        };
        match &target {
            // Sends of this fan-out include other ones to the same audience, which then skip those
            // feeds.
            FanOutTarget::Audience(author) => {
                for fan_out in &mut self.fan_outs {
                    if matches!(&fan_out.target, FanOutTarget::Audience(other) if other == author)
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

    /// Sends the events of all fan-outs to a feed that it has not received; with `event` only older
    /// ones, and then `event`. Returns whether there were any.
    fn send(&mut self, number: usize, event: Option<&Arc<FeedEvent>>) -> bool {
        let Self { feeds, audiences, by_author, fan_outs, .. } = &*self;
        // A feed of a fan-out may have left since.
        let Some(feed) = feeds.get(number) else { return false };
        let (sent_until, small_number) = (feed.sent_until, as_u32(number));
        let mut author = None;
        let mut is_in_audience = false;
        let due: Vec<&Arc<FeedEvent>> = fan_outs
            .iter()
            .take_while(|fan_out| event.is_none_or(|event| fan_out.event.revision < event.revision))
            .filter(|fan_out| {
                let is_target = match &fan_out.target {
                    FanOutTarget::Audience(of) => {
                        // Consecutive fan-outs to the same audience share one lookup.
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
                is_target && fan_out.next <= small_number && fan_out.event.revision > sent_until
            })
            .map(|fan_out| &fan_out.event)
            .chain(event)
            .collect();
        let Some(newest) = due.last().map(|event| event.revision) else { return false };
        debug_assert!(due.is_sorted_by_key(|event| event.revision), "not in the log's order");
        if !self.last_batch.has_exactly(&due) {
            self.last_batch = Arc::new(EventBatch::new(due.into_iter().cloned().collect()));
        }
        let feed = &mut self.feeds[number];
        feed.sent_until = newest;
        feed.send(Arc::clone(&self.last_batch));
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
        let feeds = &mut self.audiences[audience as usize].feeds;
        feeds.remove(&as_u32(number));
        if feeds.is_empty() {
            let Audience { author, .. } = self.audiences.remove(audience as usize);
            self.by_author.remove(&author);
        }
    }
}

/// The number of a feed or an audience in 32 bits, as lists store it.
///
/// # Panics
/// The number has more than 32 bits. It never has: each feed needs an open stream, and each
/// audience a followee of one, and both have far lower limits.
fn as_u32(number: usize) -> u32 {
    match u32::try_from(number) {
        Ok(number) => number,
        Err(_) => panic!("{number} is not the number of a feed or an audience"),
    }
}
