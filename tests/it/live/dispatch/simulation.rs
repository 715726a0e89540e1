//! A state with live feeds and readers, whose every step a test takes itself.

use std::collections::{BTreeSet, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::unconstrained;
use whimbrel::config::{Limits, LimitsInForce};
use whimbrel::live::{
    DeliveryBatch, Dispatcher, LiveFeeds, LiveStream, Start, StreamMessage, WatchOptions,
};
use whimbrel::model::{Change, Content, Event, Relation, Revision, Timestamp, UserId};
use whimbrel::query;
use whimbrel::state::State;
use whimbrel::storage::{Batch, LocalLog, Log};

use super::{STAR, USERS};
use crate::harness::core::{FEED, post, step, user};
use crate::harness::events::in_short;
use crate::harness::{LOG_OPTIONS, MemoryFolder};
use crate::oracle::any_change::{any_change, name};
use crate::oracle::history::Oracle;

/// A state and its live feeds, with a dispatcher that runs only when the test steps it.
pub(super) struct Simulation {
    random: fastrand::Rng,
    log: Arc<dyn Log>,
    pub(super) state: Arc<State>,
    reader: query::Reader,
    pub(super) live: LiveFeeds,
    pub(super) dispatcher: Dispatcher,
    /// Applied changes that were not handed to the dispatcher yet.
    applied: VecDeque<Arc<DeliveryBatch>>,
    /// Whether batches get lost at random. Then readers also wait for reads of the log.
    pub(super) loses_batches: bool,
    oracle: Oracle,
    pub(super) readers: Vec<Reader>,
}

/// One stream, and the events that it has delivered.
pub(super) struct Reader {
    user: usize,
    since: u64,
    /// Whether its events may also come from the log.
    waits: bool,
    pub(super) stream: Option<LiveStream>,
    pub(super) seen: Vec<(u64, String)>,
}

impl Simulation {
    pub(super) fn new(seed: u64, change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits { channel_events_max: 256, ..Limits::default() };
        limits.post_cache_bytes_max = 1 << 20;
        change(&mut limits);
        let log: Arc<dyn Log> =
            Arc::new(LocalLog::with_folder(MemoryFolder::default(), LOG_OPTIONS).unwrap());
        let state = Arc::new(State::new(Arc::clone(&log), &limits));
        let reader = query::Reader::new(Arc::clone(&state), &limits);
        let live = LiveFeeds::new(reader.clone(), &LimitsInForce::new(limits));
        Self {
            random: fastrand::Rng::with_seed(seed),
            dispatcher: live.dispatcher(0),
            log,
            state,
            reader,
            live,
            applied: VecDeque::new(),
            loses_batches: false,
            oracle: Oracle::default(),
            readers: Vec::new(),
        }
    }

    pub(super) async fn take_random_step(&mut self) {
        if self.loses_batches && self.random.u8(..12) == 0 {
            self.lose();
        }
        match self.random.usize(..10) {
            0 if self.random.bool() => self.follow_the_star(),
            0..=2 => {
                if let Some(change) = any_change(&mut self.random, &self.oracle, USERS) {
                    self.change(change);
                }
            }
            3 if self.random.bool() => self.change(publish(STAR)),
            4 => {
                let user = self.random.usize(..USERS);
                self.open(user).await;
            }
            5 if !self.readers.is_empty() => {
                let reader = self.random.usize(..self.readers.len());
                self.close(reader).await;
            }
            6 => self.hand_over(),
            7 if !self.readers.is_empty() => {
                let reader = self.random.usize(..self.readers.len());
                self.readers[reader].read().await;
            }
            _ => {
                self.dispatcher.step();
            }
        }
    }

    /// A random user follows the star, or unfollows them.
    fn follow_the_star(&mut self) {
        let follower = self.random.usize(1..USERS);
        let (one, star) = (name(follower), name(STAR));
        let now = self.oracle.head();
        let relation = Relation::Follow(id(follower), id(STAR));
        if self.oracle.holds(&relation) {
            self.change(self.oracle.change_to(relation, false));
        } else if !self.oracle.blocked_either_way(&one, &star, now) {
            self.change(follow(follower, STAR));
        }
    }

    /// Applies one change, as the applier does.
    pub(super) fn change(&mut self, change: Change) {
        let revision = Revision::new(self.oracle.push(change.clone()));
        let event = Event::new(Timestamp::default(), change);
        self.log.append(revision.previous(), vec![event.clone()]).unwrap();
        let applied = self.state.apply(revision, &event).unwrap();
        if self.live.is_watched(0) && !self.live.is_lagging(0) {
            let batch = Batch { first: revision, events: vec![event] };
            let dispatch = DeliveryBatch::new(&self.reader, &batch, vec![applied]).unwrap();
            self.applied.push_back(Arc::new(dispatch));
        }
    }

    /// Zero where readers wait: then a bookmark comes as soon as no other message is due.
    fn heartbeat(&self) -> Duration {
        if self.loses_batches { Duration::ZERO } else { Duration::from_secs(3_600) }
    }

    /// Loses the newest batch that was not handed over yet, and at random all of them.
    pub(super) fn lose(&mut self) {
        if self.applied.pop_back().is_some() {
            self.live.lag(0);
            if self.random.bool() {
                self.applied.clear();
            }
        }
    }

    /// Hands applied changes to the dispatcher, while it has room.
    pub(super) fn hand_over(&mut self) {
        while self.dispatcher.has_room()
            && let Some(dispatch) = self.applied.pop_front()
        {
            self.dispatcher.push(dispatch);
        }
    }

    pub(super) async fn open(&mut self, user: usize) -> usize {
        let options = WatchOptions { of: FEED, heartbeat: self.heartbeat(), reset_items: None };
        let stream = self.live.watch(&id(user), Start::Now, options).unwrap();
        let since = self.oracle.head();
        let waits = self.loses_batches;
        let mut reader = Reader { user, since, waits, stream: Some(stream), seen: Vec::new() };
        // From here on it is live: all events come through the channel.
        reader.read().await;
        self.readers.push(reader);
        self.readers.len() - 1
    }

    /// Ends a stream. It must have delivered a prefix of the events of its feed.
    async fn close(&mut self, reader: usize) {
        self.readers[reader].read().await;
        self.readers[reader].stream = None;
        let delivered_until = self.readers[reader].seen.last().map_or(0, |&(at, _)| at);
        self.check(&self.readers[reader], delivered_until);
    }

    /// Dispatches everything. Then each open stream must have delivered all events of its feed.
    pub(super) async fn settle(&mut self) {
        loop {
            self.hand_over();
            if !self.dispatcher.step() && self.applied.is_empty() {
                break;
            }
        }
        for reader in 0..self.readers.len() {
            if self.readers[reader].stream.is_some() {
                self.readers[reader].read().await;
                self.check(&self.readers[reader], self.oracle.head());
            }
        }
    }

    /// Checks that the reader got the events of its feed since it was opened, up to `until`.
    fn check(&self, reader: &Reader, until: u64) {
        let mut seen = reader.seen.iter().peekable();
        for at in reader.since + 1..=until {
            let delivered =
                seen.next_if(|(revision, _)| *revision == at).map(|(_, what)| what.clone());
            let possible = self.possible_events(&name(reader.user), at);
            let change = self.oracle.change(at);
            assert!(
                possible.contains(&delivered),
                "{at}, {change:?}: {delivered:?} and not one of {possible:?}"
            );
        }
        assert_eq!(seen.next(), None, "an event out of order, or one too many");
    }

    /// The events that a reader may get for the change at `at`. If the event is checked when it is
    /// read, or read from the log, that depends on later changes.
    fn possible_events(&self, reader: &str, at: u64) -> BTreeSet<Option<String>> {
        let is_checked_on_read = match self.oracle.change(at) {
            Change::Publish { author, content, .. } => content.is_conditional(author),
            Change::Repost { .. } | Change::Unblock { .. } | Change::Unmute { .. } => true,
            _ => false,
        };
        let later = (at + 1..=self.oracle.head()).filter(|&now| {
            (is_checked_on_read || self.loses_batches) && self.may_influence(reader, now)
        });
        let by = |now| self.oracle.delivered(reader, at, now, false);
        std::iter::once(at).chain(later).map(by).collect()
    }

    /// Whether the change at `at` can alter the reader's event of an earlier change.
    fn may_influence(&self, reader: &str, at: u64) -> bool {
        let is_one =
            |one: &UserId, other: &UserId| [one, other].map(UserId::as_str).contains(&reader);
        match self.oracle.change(at) {
            Change::Follow { follower, followee } | Change::Unfollow { follower, followee, .. } => {
                is_one(follower, followee)
            }
            Change::Block { blocker, blocked, .. } | Change::Unblock { blocker, blocked } => {
                is_one(blocker, blocked)
            }
            Change::Mute { muter, muted } | Change::Unmute { muter, muted, .. } => {
                is_one(muter, muted)
            }
            Change::Delete { .. } | Change::Unrepost { .. } => true,
            _ => false,
        }
    }
}

impl Reader {
    /// Reads the messages that are due, without waiting unless the log is read. Returns the new
    /// events.
    pub(super) async fn read(&mut self) -> Vec<(u64, String)> {
        let before = self.seen.len();
        while let Some(stream) = &mut self.stream {
            let step = if self.waits {
                step(stream).await
            } else {
                let mut next = pin!(unconstrained(stream.next()));
                match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(step) => step.unwrap().unwrap(),
                    Poll::Pending => break,
                }
            };
            match step {
                StreamMessage::Batch { events, .. } => {
                    self.seen.extend(events.iter().map(|event| in_short(event)));
                }
                // No other message is due.
                StreamMessage::Bookmark { .. } => break,
                _ => {}
            }
        }
        self.seen[before..].to_vec()
    }
}

pub(super) fn follow(follower: usize, followee: usize) -> Change {
    Change::Follow { follower: id(follower), followee: id(followee) }
}

pub(super) fn publish(author: usize) -> Change {
    Change::Publish {
        author: id(author),
        content: Content::from_text(post("a post")),
        request_id: None,
    }
}

pub(super) fn id(number: usize) -> UserId {
    user(&format!("user{number}"))
}
