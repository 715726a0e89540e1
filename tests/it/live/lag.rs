//! A worker that does not go on: everybody else's changes are made and answered, and its own streams
//! miss nothing once it goes on.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::task::Poll;
use std::time::Duration;
use whimbrel::model::Relation;

use tokio::sync::{mpsc, oneshot};
use whimbrel::config::Limits;
use whimbrel::engine::Engine;
use whimbrel::live::{Start, StreamMessage, WatchOptions, Watched};
use whimbrel::model::{Cursor, PostId};
use whimbrel::runtime::{Clock, CriticalThreads, Workers, current_shard};
use whimbrel::storage::LocalLog;

use crate::harness::core::{FEED, post, user};
use crate::harness::events::in_short;
use crate::harness::{Disk, within};
use crate::oracle::relations::{EdgeKind, SetRelation};
use crate::storage::local_log::OPTIONS;

/// Batches that a worker may be behind with, before its lane lags.
const BATCHES_MAX: usize = 2;
/// Far more than that.
const ROUNDS: usize = 40;

/// While a worker is blocked, callers on the other are answered; what its streams then get is all that
/// happened, once and in order: posts, follows and their ends, mutes and their ends, notifications.
#[tokio::test]
async fn a_blocked_worker_blocks_nobody_and_its_streams_miss_nothing() {
    let world = World::start().await;
    let mut feed = world.watch(1, "reader", FEED).await;
    let mut notices = world.watch(1, "star", Watched::Notifications).await;
    let mut elsewhere = world.watch(2, "reader", FEED).await;
    world.follow("reader", "star").await;
    let mut expected = feed.until_quiet(&world).await;
    assert_eq!(expected.len(), 1);
    elsewhere.until_quiet(&world).await;

    let resume = world.block(1).await;
    let mut first = None;
    for round in 0..ROUNDS {
        let id = world.publish("star", &format!("post {round}")).await;
        first.get_or_insert(id);
        world.publish("other", &format!("other {round}")).await;
        let kind = [EdgeKind::Follow, EdgeKind::Mute, EdgeKind::Unmute, EdgeKind::Unfollow];
        world.edge(kind[round % 4], "reader", "other").await;
        world.like("fan", id).await;
    }
    // Those that are told as it happens were not blocked.
    let unbroken = elsewhere.until_quiet(&world).await;
    resume.send(()).unwrap();
    let resumed = feed.until_quiet(&world).await;

    // The ends are those of an unbroken stream. In between, posts of who was unfollowed or muted
    // since are not told any more.
    expected.extend(resumed);
    let may_be_missing = |(_, what): &(u64, String)| what.starts_with("other: ");
    let certain = |told: &[(u64, String)]| {
        told.iter().filter(|told| !may_be_missing(told)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(certain(&expected[1..]), certain(&unbroken));
    assert!(expected.is_sorted_by(|one, next| one.0 < next.0), "out of order, or twice");
    assert!(expected[1..].iter().all(|told| unbroken.contains(told)));
    let told = notices.until_quiet(&world).await;
    assert_eq!(told.len(), 1 + ROUNDS, "a follow and the likes: {told:?}");

    // It is live again, and knows who is followed by now.
    for told in [&mut feed, &mut elsewhere] {
        told.told.clear();
    }
    world.edge(EdgeKind::Follow, "reader", "other").await;
    world.publish("other", "live").await;
    world.edge(EdgeKind::Unfollow, "reader", "other").await;
    world.publish("other", "unseen").await;
    world.publish("star", "live too").await;
    let live = feed.until_quiet(&world).await;
    let texts: Vec<_> = live.iter().map(|(_, what)| what.as_str()).collect();
    assert_eq!(texts, ["+other", "other: live", "-other unfollowed", "star: live too"]);
    assert_eq!(elsewhere.until_quiet(&world).await, live);
    world.stop().await;
}

/// A lane that lags over and over misses nothing, and each of its feeds has its turn.
#[tokio::test]
async fn a_lane_that_lags_over_and_over_misses_nothing() {
    let world = World::start().await;
    let mut streams = Vec::new();
    for number in 0..6 {
        let name = ["reader", "other", "fan"][number % 3];
        world.edge(EdgeKind::Follow, name, "star").await;
        streams.push(world.watch(1, name, FEED).await);
    }
    let mut sent = Vec::new();
    for round in 0..12 {
        let resume = world.block(1).await;
        for number in 0..=BATCHES_MAX + round % 5 {
            let text = format!("{round}.{number}");
            world.publish("star", &text).await;
            sent.push(format!("star: {text}"));
        }
        resume.send(()).unwrap();
    }
    for stream in &mut streams {
        let told = stream.until_quiet(&world).await;
        assert_eq!(told.into_iter().map(|(_, what)| what).collect::<Vec<_>>(), sent);
    }
    world.stop().await;
}

/// A caller is answered before the live feeds of its worker have been told of all that happened, also
/// of what happened before.
#[tokio::test]
async fn an_answer_waits_for_no_events() {
    const POSTS: usize = 20;
    const READERS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    let world = World::limited(|limits| {
        limits.undispatched_batches_max = 8 * POSTS;
        limits.channel_events_max = 8 * POSTS;
        limits.fan_out_step_feeds_max = 1;
        limits.batch_commands_max = 1;
    })
    .await;
    let mut streams = Vec::new();
    for name in READERS {
        world.follow(name, "star").await;
        streams.push(world.watch(1, name, FEED).await);
    }

    // Two ask, and then their worker is held up before they can be answered.
    let (resume, resumed) = channel::<()>();
    let (tell, asked) = oneshot::channel();
    let (answer, answered) = oneshot::channel();
    let (engine, told) = (world.engine.clone(), Arc::clone(&world.told));
    let call = move || async move {
        let mut calls = Vec::new();
        for _ in 0..2 {
            let mut call = Box::pin(engine.publish(user("caller"), post("hi"), None));
            let is_answered = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_ready())).await;
            assert!(!is_answered, "it is answered at once");
            calls.push(call);
        }
        tell.send(told.load(Ordering::SeqCst)).unwrap();
        resumed.recv().unwrap_err();
        for call in calls {
            call.await.unwrap();
        }
        answer.send(told.load(Ordering::SeqCst)).unwrap();
    };
    world.workers.spawn_on(1, call).await;
    let before = within("the calls to be made", asked).await.unwrap();
    for number in 0..POSTS {
        world.publish("star", &number.to_string()).await;
    }
    drop(resume);
    let told = within("the answers", answered).await.unwrap() - before;
    assert!(told < POSTS * READERS.len(), "all was told first");
    for stream in &mut streams {
        assert_eq!(stream.until_quiet(&world).await.len(), POSTS);
    }
    world.stop().await;
}

/// An engine with two workers.
struct World {
    engine: Engine,
    workers: Workers,
    /// How many events all streams were told.
    told: Arc<AtomicUsize>,
}

/// What a stream on a worker said.
struct Told {
    steps: mpsc::UnboundedReceiver<StreamMessage>,
    told: Vec<(u64, String)>,
    at: Option<Cursor>,
}

impl World {
    async fn start() -> Self {
        Self::limited(|_| ()).await
    }

    async fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        let log = LocalLog::with_files(Disk::default(), "memory", OPTIONS).unwrap();
        let mut limits = Limits {
            worker_threads: 2,
            undispatched_batches_max: BATCHES_MAX,
            channel_events_max: 4,
            ..Limits::default()
        };
        change(&mut limits);
        let vital = CriticalThreads::new();
        let engine = Engine::open(Arc::new(log), &limits, Clock::system(), &vital).unwrap();
        let workers = Workers::start(2, &vital).unwrap();
        for (lane, porter) in (1..).zip(engine.mailboxes()) {
            workers.spawn_on(lane, move || porter.run()).await;
        }
        Self { engine, workers, told: Arc::default() }
    }

    async fn stop(self) {
        self.workers.stop().await;
        within("the engine to stop", self.engine.stop()).await;
    }

    /// Makes a call on the second worker, and waits until it is answered there.
    async fn call<T, F>(&self, call: impl FnOnce(Engine) -> F + Send + 'static) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let engine = self.engine.clone();
        let call = move || async move { drop(answer.send(call(engine).await)) };
        self.workers.spawn_on(2, call).await;
        within("an answer on the other worker", answered).await.unwrap()
    }

    async fn edge(&self, kind: EdgeKind, one: &'static str, other: &'static str) {
        self.call(move |engine| async move {
            engine.change_edge(kind, user(one), user(other)).await.unwrap();
        })
        .await;
    }

    async fn follow(&self, one: &'static str, other: &'static str) {
        self.edge(EdgeKind::Follow, one, other).await;
    }

    async fn publish(&self, name: &'static str, text: &str) -> PostId {
        let text = post(text);
        self.call(move |engine| async move {
            engine.publish(user(name), text, None).await.unwrap().post.id()
        })
        .await
    }

    async fn like(&self, name: &'static str, id: PostId) {
        self.call(move |engine| async move {
            engine.set(Relation::Like(user(name), id), true).await.unwrap();
        })
        .await;
    }

    /// A stream that lives on a worker, opened and live.
    async fn watch(&self, on: usize, name: &'static str, of: Watched) -> Told {
        let (sender, steps) = mpsc::unbounded_channel();
        let (engine, told) = (self.engine.clone(), Arc::clone(&self.told));
        let heartbeat = Duration::from_millis(1);
        let options = WatchOptions { of, heartbeat, reset_items: None };
        self.workers
            .spawn_on(on, move || async move {
                assert_eq!(current_shard(), on);
                let mut stream = engine.watch(&user(name), Start::Now, options).unwrap();
                while let Some(step) = stream.next().await.unwrap() {
                    if let StreamMessage::Batch { events, .. } = &step {
                        told.fetch_add(events.len(), Ordering::SeqCst);
                    }
                    if sender.send(step).is_err() {
                        return;
                    }
                }
            })
            .await;
        let mut told = Told { steps, told: Vec::new(), at: None };
        while !matches!(told.next().await, StreamMessage::CaughtUp { .. }) {}
        told
    }

    /// Blocks a worker: nothing runs there until something is sent.
    async fn block(&self, worker: usize) -> Sender<()> {
        let (resume, resumed) = channel();
        let (tell, blocked) = oneshot::channel();
        self.workers
            .spawn_on(worker, move || async move {
                tell.send(()).unwrap();
                resumed.recv().unwrap();
            })
            .await;
        within("the worker to be blocked", blocked).await.unwrap();
        resume
    }
}

impl Told {
    async fn next(&mut self) -> StreamMessage {
        let step = within("the next message", self.steps.recv()).await.expect("it goes on");
        if let StreamMessage::Batch { prev, events, .. } = &step {
            assert!(self.at.is_none_or(|at| at == *prev), "the chain has a hole");
            self.told.extend(events.iter().map(|event| in_short(event)));
        }
        let (StreamMessage::Opened { cursor, .. }
        | StreamMessage::Batch { cursor, .. }
        | StreamMessage::CaughtUp { cursor }
        | StreamMessage::Bookmark { cursor }
        | StreamMessage::Closing { cursor }) = &step
        else {
            panic!("a reset: {step:?}")
        };
        assert!(self.at.is_none_or(|at| at.after <= cursor.after), "it went back");
        self.at = Some(*cursor);
        step
    }

    /// What it said by the time at which it says that it has said all that was answered by now.
    async fn until_quiet(&mut self, world: &World) -> Vec<(u64, String)> {
        let head = world.engine.cursor().after;
        while self.at.is_none_or(|at| at.after < head) {
            self.next().await;
        }
        std::mem::take(&mut self.told)
    }
}
