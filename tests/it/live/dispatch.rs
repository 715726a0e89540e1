//! Telling live feeds what was applied: any number of readers that come and go, posts to many that
//! are on their way for a while, and changes that overtake them, step by step and without threads.

use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::unconstrained;
use whimbrel::config::Limits;
use whimbrel::live::{
    DeliveryBatch, Dispatcher, LiveFeeds, LiveStream, Start, StreamMessage, WatchOptions, Watched,
};
use whimbrel::model::{Change, Content, Event, Revision, Timestamp, UserId};
use whimbrel::query;
use whimbrel::state::State;
use whimbrel::storage::{Batch, LocalLog, Log, StorageOptions};

use crate::harness::core::{FEED, post, step, user};
use crate::harness::disk::Disk;
use crate::harness::events::in_short;
use crate::oracle::any_change::{any_change, name};
use crate::oracle::world::{Tie, World as Definition};

const USERS: usize = 9;
const STAR: usize = 0;

/// Whatever the order of changes, of readers that come and go, and of the dispatcher's steps, each
/// reader is told exactly what concerns its feed, in order. The channels are never overrun, so
/// nothing is mended from the log.
#[tokio::test]
async fn every_reader_is_told_its_feed_in_order() {
    for seed in 0..150 {
        let mut world = World::new(seed, |limits| {
            limits.fan_out_step_feeds_max = 1 + seed as usize % 3;
            limits.active_fan_outs_max = 1 + seed as usize % 4;
        });
        for _ in 0..120 {
            world.act().await;
        }
        world.settle().await;
    }
}

/// The same where batches are lost on their way to the dispatcher now and then, in the middle of
/// whatever is on its way: what is lost is read in the log, and all else comes as if nothing had been.
#[tokio::test]
async fn a_lane_that_lags_misses_nothing() {
    for seed in 0..60 {
        let mut world = World::new(seed, |limits| {
            limits.fan_out_step_feeds_max = 1 + seed as usize % 3;
            limits.active_fan_outs_max = 1 + seed as usize % 4;
        });
        world.loses = true;
        for _ in 0..120 {
            world.act().await;
        }
        world.settle().await;
        // And is told as it happens from then on.
        for _ in 0..3 {
            world.change(publish(STAR));
            world.bring();
            while world.dispatcher.step() {}
            world.settle().await;
        }
    }
}

/// A bookmark is not ahead of what a stream has not read yet because its lane lags.
#[tokio::test]
async fn a_bookmark_waits_for_what_was_lost() {
    let mut world = World::new(0, |limits| limits.fan_out_step_feeds_max = 1);
    let options = WatchOptions { of: FEED, heartbeat: Duration::ZERO, reset_items: None };
    for reader in [1, 3, 4, 5] {
        world.open(reader).await;
    }
    let mut last = world.hub.watch(&id(2), Start::Now, options).unwrap();
    while !matches!(step(&mut last).await, StreamMessage::CaughtUp { .. }) {}
    world.change(follow(2, STAR));
    world.change(publish(STAR));
    world.lose();
    let posted = world.view.applied();
    // Brings one feed level, and then another: that of the last reader is not among them.
    for _ in 0..3 {
        assert!(world.dispatcher.step());
        let StreamMessage::Bookmark { cursor } = step(&mut last).await else {
            panic!("told too early")
        };
        assert!(cursor.after < posted.previous(), "a bookmark beyond what was read");
    }
    while world.dispatcher.step() {}
    let StreamMessage::Batch { events, .. } = step(&mut last).await else {
        panic!("nothing was lost")
    };
    let told: Vec<_> = events.iter().map(|event| in_short(event).1).collect();
    assert_eq!(told, ["+user0", "user0: a post"]);
}

/// A post to many does not keep a post to few waiting, and yet comes before it wherever both go.
#[tokio::test]
async fn a_post_to_few_overtakes_a_post_to_many() {
    let mut world = World::new(0, |limits| limits.fan_out_step_feeds_max = 1);
    for follower in 1..USERS {
        world.change(follow(follower, STAR));
    }
    let last = USERS - 1;
    world.change(follow(last, 1));
    let mut readers = Vec::new();
    for reader in 2..USERS {
        readers.push(world.open(reader).await);
    }
    world.settle().await;

    world.change(publish(STAR));
    world.change(publish(1));
    world.bring();
    world.dispatcher.step();
    assert!(world.dispatcher.step(), "the first of the two has not come to everybody");
    let mut told = Vec::new();
    for reader in readers {
        told.push(world.readers[reader].read().await.len());
    }
    assert!(told.contains(&0), "the post to many is on its way: {told:?}");
    assert_eq!(told.last(), Some(&2), "both have come to the reader of both: {told:?}");
    world.settle().await;
}

/// An endless row of posts to many cannot keep any of them from its end.
#[tokio::test]
async fn posts_to_many_come_to_their_end() {
    let mut world = World::new(0, |limits| {
        limits.fan_out_step_feeds_max = 2;
        limits.active_fan_outs_max = 2;
    });
    for follower in 1..USERS {
        world.change(follow(follower, STAR));
    }
    let reader = world.open(USERS - 1).await;
    for reader in 1..USERS - 1 {
        world.open(reader).await;
    }
    world.settle().await;
    for round in 0..20 {
        world.change(publish(STAR));
        world.bring();
        for _ in 0..USERS {
            world.dispatcher.step();
        }
        assert_eq!(world.readers[reader].read().await.len(), 1, "in round {round}");
    }
    world.settle().await;
}

/// A follow that is told after its reader has left and come back, and after it was undone while
/// nobody was there to be told that, does not bring the author back.
#[tokio::test]
async fn a_late_follow_does_not_undo_an_unfollow() {
    let mut world = World::new(0, |_| ());
    let first = world.open(1).await;
    world.change(follow(1, STAR));
    world.readers[first].stream = None;
    world.change(Change::Unfollow { follower: id(1), followee: id(STAR), since: None });
    let second = world.open(1).await;
    world.settle().await;
    world.change(publish(STAR));
    world.settle().await;
    assert_eq!(world.readers[second].seen, []);
}

/// A bookmark is not ahead of a post that is still on its way to the reader.
#[tokio::test]
async fn a_bookmark_waits_for_a_post_on_its_way() {
    let mut world = World::new(0, |limits| limits.fan_out_step_feeds_max = 1);
    for follower in 1..USERS {
        world.change(follow(follower, STAR));
    }
    for reader in 1..USERS - 1 {
        world.open(reader).await;
    }
    let options = WatchOptions { of: FEED, heartbeat: Duration::ZERO, reset_items: None };
    let mut last = world.hub.watch(&id(USERS - 1), Start::Now, options).unwrap();
    while !matches!(step(&mut last).await, StreamMessage::CaughtUp { .. }) {}
    world.change(publish(STAR));
    let post = world.view.applied();
    world.bring();
    assert!(world.dispatcher.step());
    let mut bookmarks = 0;
    loop {
        match step(&mut last).await {
            StreamMessage::Batch { events, .. } => {
                assert_eq!(events[0].revision, post);
                break;
            }
            StreamMessage::Bookmark { cursor } => {
                assert!(cursor.after < post, "a bookmark beyond what was sent");
                bookmarks += 1;
            }
            _ => {}
        }
        if bookmarks >= 3 {
            world.settle().await;
        }
    }
    assert!(bookmarks >= 3, "{bookmarks}");
}

/// A bookmark is not ahead of what a change is to one feed while another has been told of it.
#[tokio::test]
async fn a_bookmark_waits_for_all_that_a_change_is() {
    let mut world = World::new(0, |limits| limits.active_fan_outs_max = 1);
    world.open(1).await;
    let of = Watched::Notifications;
    let options = WatchOptions { of, heartbeat: Duration::ZERO, reset_items: None };
    let mut mentioned = world.hub.watch(&id(2), Start::Now, options).unwrap();
    while !matches!(step(&mut mentioned).await, StreamMessage::CaughtUp { .. }) {}
    let mentioned_user = [id(2)].into();
    let content = Content { mentioned: mentioned_user, ..Content::from_text(post("hello @user2")) };
    world.change(Change::Publish { author: id(1), content, request_id: None });
    world.bring();
    assert!(world.dispatcher.step(), "all was told at once");
    let StreamMessage::Bookmark { cursor } = step(&mut mentioned).await else {
        panic!("told too early")
    };
    assert!(cursor.after < world.view.applied(), "a bookmark beyond what was sent");
    world.settle().await;
    assert!(matches!(step(&mut mentioned).await, StreamMessage::Batch { .. }));
}

/// A view and its hub, with a dispatcher that goes as far as it is told to.
struct World {
    random: fastrand::Rng,
    log: Arc<dyn Log>,
    view: Arc<State>,
    reader: query::Reader,
    hub: LiveFeeds,
    dispatcher: Dispatcher,
    /// AppliedEvent, and not brought to the dispatcher yet.
    applied: VecDeque<Arc<DeliveryBatch>>,
    /// Whether some of it is lost. Then readers also wait for the log.
    loses: bool,
    /// What feeds are by definition.
    definition: Definition,
    readers: Vec<Reader>,
}

/// One stream, and what came of it.
struct Reader {
    user: usize,
    since: u64,
    /// Whether what it gets is read in the log too.
    waits: bool,
    stream: Option<LiveStream>,
    seen: Vec<(u64, String)>,
}

impl World {
    fn new(seed: u64, change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits { channel_events_max: 256, ..Limits::default() };
        limits.post_cache_bytes_max = 1 << 20;
        change(&mut limits);
        let options = StorageOptions { cache_bytes: 1 << 20, disk_free_bytes_min: 0 };
        let log: Arc<dyn Log> =
            Arc::new(LocalLog::with_files(Disk::default(), "memory", options).unwrap());
        let view = Arc::new(State::new(Arc::clone(&log), &limits));
        let reader = query::Reader::new(Arc::clone(&view), &limits);
        let hub = LiveFeeds::new(reader.clone(), &limits);
        Self {
            random: fastrand::Rng::with_seed(seed),
            dispatcher: hub.dispatcher(0),
            log,
            view,
            reader,
            hub,
            applied: VecDeque::new(),
            loses: false,
            definition: Definition::default(),
            readers: Vec::new(),
        }
    }

    /// One thing that can happen.
    async fn act(&mut self) {
        if self.loses && self.random.u8(..12) == 0 {
            self.lose();
        }
        match self.random.usize(..10) {
            0 if self.random.bool() => self.follow_the_star(),
            0..=2 => {
                if let Some(change) = any_change(&mut self.random, &self.definition, USERS) {
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
            6 => self.bring(),
            7 if !self.readers.is_empty() => {
                let reader = self.random.usize(..self.readers.len());
                self.readers[reader].read().await;
            }
            _ => {
                self.dispatcher.step();
            }
        }
    }

    /// One of them is followed by many.
    fn follow_the_star(&mut self) {
        let follower = self.random.usize(1..USERS);
        let (one, star) = (name(follower), name(STAR));
        let now = self.definition.head();
        let tie = Tie::Follow(one.clone(), star.clone());
        let since = self.definition.since(&tie, now).map(Revision::new);
        if since.is_some() {
            self.change(Change::Unfollow { follower: id(follower), followee: id(STAR), since });
        } else if !self.definition.are_apart(&one, &star, now) {
            self.change(follow(follower, STAR));
        }
    }

    /// Applies one change, as the applier does.
    fn change(&mut self, change: Change) {
        let revision = Revision::new(self.definition.push(change.clone()));
        let event = Event::new(Timestamp::default(), change);
        self.log.append(revision.previous(), vec![event.clone()]).unwrap();
        let applied = self.view.apply(revision, &event).unwrap();
        if self.hub.is_watched(0) && !self.hub.is_lagging(0) {
            let batch = Batch { first: revision, events: vec![event] };
            let dispatch = DeliveryBatch::new(&self.reader, &batch, vec![applied]).unwrap();
            self.applied.push_back(Arc::new(dispatch));
        }
    }

    /// Readers that wait are told when there is nothing else.
    fn heartbeat(&self) -> Duration {
        if self.loses { Duration::ZERO } else { Duration::from_secs(3_600) }
    }

    /// Loses the newest of what was applied and not brought yet, and perhaps all.
    fn lose(&mut self) {
        if self.applied.pop_back().is_some() {
            self.hub.lag(0);
            if self.random.bool() {
                self.applied.clear();
            }
        }
    }

    /// Brings what was applied to the dispatcher, as far as there is room.
    fn bring(&mut self) {
        while self.dispatcher.has_room()
            && let Some(dispatch) = self.applied.pop_front()
        {
            self.dispatcher.push(dispatch);
        }
    }

    async fn open(&mut self, user: usize) -> usize {
        let options = WatchOptions { of: FEED, heartbeat: self.heartbeat(), reset_items: None };
        let stream = self.hub.watch(&id(user), Start::Now, options).unwrap();
        let since = self.definition.head();
        let waits = self.loses;
        let mut reader = Reader { user, since, waits, stream: Some(stream), seen: Vec::new() };
        // Now it is live: all that comes from here on comes through the channel.
        reader.read().await;
        self.readers.push(reader);
        self.readers.len() - 1
    }

    /// Ends a stream. It must have been told the first of what concerned it, and nothing else.
    async fn close(&mut self, reader: usize) {
        self.readers[reader].read().await;
        self.readers[reader].stream = None;
        let told_until = self.readers[reader].seen.last().map_or(0, |&(at, _)| at);
        self.check(&self.readers[reader], told_until);
    }

    /// Dispatches all there is. Then all that are still there have been told everything.
    async fn settle(&mut self) {
        loop {
            self.bring();
            if !self.dispatcher.step() && self.applied.is_empty() {
                break;
            }
        }
        for reader in 0..self.readers.len() {
            if self.readers[reader].stream.is_some() {
                self.readers[reader].read().await;
                self.check(&self.readers[reader], self.definition.head());
            }
        }
    }

    /// Checks that the reader was told what concerned its feed since it was opened, up to a
    /// position.
    fn check(&self, reader: &Reader, until: u64) {
        let mut seen = reader.seen.iter().peekable();
        for at in reader.since + 1..=until {
            let told = seen.next_if(|(told, _)| *told == at).map(|(_, what)| what.clone());
            let may_be = self.may_be(&name(reader.user), at);
            let change = self.definition.change(at);
            assert!(may_be.contains(&told), "{at}, {change:?}: {told:?} and not one of {may_be:?}");
        }
        assert_eq!(seen.next(), None, "out of order, or too much");
    }

    /// What a reader can have been told of a change: for what concerns only some of those it is sent
    /// to, that depends on what they had done by the time they read it; and so for all that they read
    /// in the log.
    fn may_be(&self, reader: &str, at: u64) -> BTreeSet<Option<String>> {
        let is_looked_at = match self.definition.change(at) {
            Change::Publish { author, content, .. } => content.is_conditional(author),
            Change::Repost { .. } | Change::Unblock { .. } | Change::Unmute { .. } => true,
            _ => false,
        };
        let later = (at + 1..=self.definition.head())
            .filter(|&now| (is_looked_at || self.loses) && self.may_matter(reader, now));
        let by = |now| self.definition.told(reader, at, now, false);
        std::iter::once(at).chain(later).map(by).collect()
    }

    /// Whether a change can be one of what a reader has in its feed of earlier things.
    fn may_matter(&self, reader: &str, at: u64) -> bool {
        let is_one =
            |one: &UserId, other: &UserId| [one, other].map(UserId::as_str).contains(&reader);
        match self.definition.change(at) {
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
    /// Reads what there is; without waiting, if nothing of it is in the log. Gives what was new.
    async fn read(&mut self) -> Vec<(u64, String)> {
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
                // There is nothing else.
                StreamMessage::Bookmark { .. } => break,
                _ => {}
            }
        }
        self.seen[before..].to_vec()
    }
}

fn follow(follower: usize, followee: usize) -> Change {
    Change::Follow { follower: id(follower), followee: id(followee) }
}

fn publish(author: usize) -> Change {
    Change::Publish {
        author: id(author),
        content: Content::from_text(post("a post")),
        request_id: None,
    }
}

fn id(number: usize) -> UserId {
    user(&format!("user{number}"))
}
