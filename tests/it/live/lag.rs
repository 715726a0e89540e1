//! A blocked worker: calls on other workers are answered, and its own streams miss no event once it
//! runs again.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use whimbrel::config::Limits;
use whimbrel::engine::Engine;
use whimbrel::live::{Start, StreamMessage, WatchOptions, Watched};
use whimbrel::model::{Cursor, PostId, Relation, UserId};
use whimbrel::runtime::{Clock, CriticalThreads, Workers, current_shard};
use whimbrel::storage::LocalLog;

use crate::harness::core::{FEED, post, user};
use crate::harness::events::in_short;
use crate::harness::{LOG_OPTIONS, MemoryFolder, within};

/// The number of undispatched batches after which a shard lags.
const BATCHES_MAX: usize = 2;
/// Far more rounds than that, each of several batches.
const ROUNDS: usize = 40;

/// While a worker is blocked, calls on the other are answered. Afterwards its streams deliver every
/// event once and in order: posts, follows, unfollows, mutes, unmutes and notifications.
#[tokio::test]
async fn a_blocked_worker_blocks_no_other_and_its_streams_miss_no_event() {
    let workers = TwoWorkers::start().await;
    let mut feed = workers.watch(1, "reader", FEED).await;
    let mut notifications = workers.watch(1, "star", Watched::Notifications).await;
    let mut elsewhere = workers.watch(2, "reader", FEED).await;
    workers.follow("reader", "star").await;
    let mut expected = feed.until_quiet(&workers).await;
    assert_eq!(expected.len(), 1);
    elsewhere.until_quiet(&workers).await;

    let resume = workers.block(1).await;
    let mut first = None;
    for round in 0..ROUNDS {
        let id = workers.publish("star", &format!("post {round}")).await;
        first.get_or_insert(id);
        workers.publish("other", &format!("other {round}")).await;
        match round % 4 {
            0 => workers.set(Relation::Follow, "reader", "other", true).await,
            1 => workers.set(Relation::Mute, "reader", "other", true).await,
            2 => workers.set(Relation::Mute, "reader", "other", false).await,
            _ => workers.set(Relation::Follow, "reader", "other", false).await,
        }
        workers.like("fan", id).await;
    }
    // The stream on the other worker was never blocked.
    let unbroken = elsewhere.until_quiet(&workers).await;
    resume.send(()).unwrap();
    let resumed = feed.until_quiet(&workers).await;

    // All but the posts of "other" are the events of the unbroken stream. Those posts may be
    // missing, as "other" was unfollowed and muted again before they were read.
    expected.extend(resumed);
    let may_be_missing = |(_, what): &(u64, String)| what.starts_with("other: ");
    let certain = |events: &[(u64, String)]| {
        events.iter().filter(|event| !may_be_missing(event)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(certain(&expected[1..]), certain(&unbroken));
    assert!(expected.is_sorted_by(|one, next| one.0 < next.0), "an event out of order, or twice");
    assert!(expected[1..].iter().all(|event| unbroken.contains(event)));
    let delivered = notifications.until_quiet(&workers).await;
    assert_eq!(delivered.len(), 1 + ROUNDS, "a follow and the likes: {delivered:?}");

    // It is live again, with the present follows. Read after each change, because a mailbox has
    // room for few: a shard that lags does not have the posts of one who is not followed any more.
    let mut live = [Vec::new(), Vec::new()];
    for change in 0..5 {
        match change {
            0 => workers.follow("reader", "other").await,
            1 => drop(workers.publish("other", "live").await),
            2 => workers.set(Relation::Follow, "reader", "other", false).await,
            3 => drop(workers.publish("other", "unseen").await),
            _ => drop(workers.publish("star", "live too").await),
        }
        for (stream, live) in [&mut feed, &mut elsewhere].into_iter().zip(&mut live) {
            live.extend(stream.until_quiet(&workers).await);
        }
    }
    let texts: Vec<_> = live[0].iter().map(|(_, what)| what.as_str()).collect();
    assert_eq!(texts, ["+other", "other: live", "-other unfollowed", "star: live too"]);
    assert_eq!(live[0], live[1]);
    workers.stop().await;
}

/// A shard that lags again and again misses no event, and each of its feeds makes progress.
#[tokio::test]
async fn a_shard_that_lags_repeatedly_misses_no_event() {
    let workers = TwoWorkers::start().await;
    let mut streams = Vec::new();
    for number in 0..6 {
        let name = ["reader", "other", "fan"][number % 3];
        workers.follow(name, "star").await;
        streams.push(workers.watch(1, name, FEED).await);
    }
    let mut sent = Vec::new();
    for round in 0..12 {
        let resume = workers.block(1).await;
        for number in 0..=BATCHES_MAX + round % 5 {
            let text = format!("{round}.{number}");
            workers.publish("star", &text).await;
            sent.push(format!("star: {text}"));
        }
        resume.send(()).unwrap();
    }
    for stream in &mut streams {
        let delivered = stream.until_quiet(&workers).await;
        assert_eq!(delivered.into_iter().map(|(_, what)| what).collect::<Vec<_>>(), sent);
    }
    workers.stop().await;
}

/// A call is answered before the live feeds of its worker have all earlier events.
#[tokio::test]
async fn an_answer_waits_for_no_events() {
    const POSTS: usize = 20;
    const READERS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    let workers = TwoWorkers::limited(|limits| {
        limits.undispatched_batches_max = 8 * POSTS;
        limits.channel_events_max = 8 * POSTS;
        limits.fan_out_step_feeds_max = 1;
        limits.batch_commands_max = 1;
    })
    .await;
    let mut streams = Vec::new();
    for name in READERS {
        workers.follow(name, "star").await;
        streams.push(workers.watch(1, name, FEED).await);
    }

    // Two calls are made, and then their worker is blocked before it can answer.
    let (resume, resumed) = channel::<()>();
    let (report, asked) = oneshot::channel();
    let (answer, answered) = oneshot::channel();
    let (engine, delivered) = (workers.engine.clone(), Arc::clone(&workers.delivered));
    let call = move || async move {
        let mut calls = Vec::new();
        for _ in 0..2 {
            let mut call = Box::pin(engine.publish(user("caller"), post("hi"), None));
            let is_answered = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_ready())).await;
            assert!(!is_answered, "it is answered at once");
            calls.push(call);
        }
        report.send(delivered.load(Ordering::SeqCst)).unwrap();
        resumed.recv().unwrap_err();
        for call in calls {
            call.await.unwrap();
        }
        answer.send(delivered.load(Ordering::SeqCst)).unwrap();
    };
    workers.threads.spawn_on(1, call).await;
    let before = within("the calls to be made", asked).await.unwrap();
    for number in 0..POSTS {
        workers.publish("star", &number.to_string()).await;
    }
    drop(resume);
    let delivered = within("the answers", answered).await.unwrap() - before;
    assert!(delivered < POSTS * READERS.len(), "all events were delivered first");
    for stream in &mut streams {
        assert_eq!(stream.until_quiet(&workers).await.len(), POSTS);
    }
    workers.stop().await;
}

/// An engine with two workers.
struct TwoWorkers {
    engine: Engine,
    threads: Workers,
    /// The number of events that all streams have delivered.
    delivered: Arc<AtomicUsize>,
}

/// The messages of a stream on a worker.
struct Messages {
    received: mpsc::UnboundedReceiver<StreamMessage>,
    /// The events that were not returned yet.
    events: Vec<(u64, String)>,
    at: Option<Cursor>,
}

impl TwoWorkers {
    async fn start() -> Self {
        Self::limited(|_| ()).await
    }

    async fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        let log = LocalLog::with_folder(MemoryFolder::default(), LOG_OPTIONS).unwrap();
        let mut limits = Limits {
            worker_threads: 2,
            undispatched_batches_max: BATCHES_MAX,
            channel_events_max: 4,
            ..Limits::default()
        };
        change(&mut limits);
        let critical = CriticalThreads::new();
        let engine = Engine::open(Arc::new(log), &limits, Clock::system(), &critical).unwrap();
        let threads = Workers::start(2, &critical).unwrap();
        for (shard, mailbox) in (1..).zip(engine.mailboxes()) {
            threads.spawn_on(shard, move || mailbox.run()).await;
        }
        Self { engine, threads, delivered: Arc::default() }
    }

    async fn stop(self) {
        self.threads.stop().await;
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
        self.threads.spawn_on(2, call).await;
        within("an answer on the other worker", answered).await.unwrap()
    }

    async fn set(
        &self,
        relation: fn(UserId, UserId) -> Relation,
        one: &'static str,
        other: &'static str,
        on: bool,
    ) {
        self.call(move |engine| async move {
            engine.set(relation(user(one), user(other)), on).await.unwrap();
        })
        .await;
    }

    async fn follow(&self, one: &'static str, other: &'static str) {
        self.set(Relation::Follow, one, other, true).await;
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

    /// Opens a stream on a worker, and waits until it is live.
    async fn watch(&self, on: usize, name: &'static str, of: Watched) -> Messages {
        let (sender, received) = mpsc::unbounded_channel();
        let (engine, delivered) = (self.engine.clone(), Arc::clone(&self.delivered));
        let heartbeat = Duration::from_millis(1);
        let options = WatchOptions { of, heartbeat, reset_items: None };
        self.threads
            .spawn_on(on, move || async move {
                assert_eq!(current_shard(), on);
                let mut stream = engine.watch(&user(name), Start::Now, options).unwrap();
                while let Some(step) = stream.next().await.unwrap() {
                    if let StreamMessage::Batch { events, .. } = &step {
                        delivered.fetch_add(events.len(), Ordering::SeqCst);
                    }
                    if sender.send(step).is_err() {
                        return;
                    }
                }
            })
            .await;
        let mut messages = Messages { received, events: Vec::new(), at: None };
        while !matches!(messages.next().await, StreamMessage::CaughtUp { .. }) {}
        messages
    }

    /// Blocks a worker until the sender is used.
    async fn block(&self, worker: usize) -> Sender<()> {
        let (resume, resumed) = channel();
        let (report, blocked) = oneshot::channel();
        self.threads
            .spawn_on(worker, move || async move {
                report.send(()).unwrap();
                resumed.recv().unwrap();
            })
            .await;
        within("the worker to be blocked", blocked).await.unwrap();
        resume
    }
}

impl Messages {
    async fn next(&mut self) -> StreamMessage {
        let step =
            within("the next message", self.received.recv()).await.expect("the stream continues");
        if let StreamMessage::Batch { prev, events, .. } = &step {
            assert!(self.at.is_none_or(|at| at == *prev), "the chain of cursors has a gap");
            self.events.extend(events.iter().map(|event| in_short(event)));
        }
        let (StreamMessage::Opened { cursor, .. }
        | StreamMessage::Batch { cursor, .. }
        | StreamMessage::CaughtUp { cursor }
        | StreamMessage::Bookmark { cursor }
        | StreamMessage::Closing { cursor }) = &step
        else {
            panic!("a reset: {step:?}")
        };
        assert!(self.at.is_none_or(|at| at.after <= cursor.after), "a cursor went back");
        self.at = Some(*cursor);
        step
    }

    /// The events up to now. The stream has delivered them once its cursor is at the head of the
    /// log.
    async fn until_quiet(&mut self, workers: &TwoWorkers) -> Vec<(u64, String)> {
        let head = workers.engine.cursor().after;
        while self.at.is_none_or(|at| at.after < head) {
            self.next().await;
        }
        std::mem::take(&mut self.events)
    }
}
