//! The contract of live feeds, held against histories: clients that publish, answer, repost, delete,
//! follow, block and mute all at once, watchers that are cut off and overrun, a server that is restarted or killed; then
//! everything that the watchers were sent is checked against a model that knows only the log.

mod machine;
mod model;
mod writers;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use machine::Machine;
use model::{Record, Tick, TimelineKind};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Channel;
use whimbrel::api::v1::WatchFeedRequest;
use whimbrel::api::v1::feed_event::Event;
use whimbrel::api::v1::feed_service_client::FeedServiceClient;
use whimbrel::api::v1::watch_feed_request::Start;
use whimbrel::api::v1::watch_feed_response::Message;
use whimbrel::model::Revision;
use whimbrel::storage::{LocalLog, Log, LogEntry};

use crate::harness::{Setup, eventually, within};
use crate::storage::local_log::OPTIONS;

const AUTHORS: usize = 6;
const USERS: usize = 5;
const DEVICES_PER_USER: usize = 2;
const POSTS_PER_AUTHOR: usize = 120;
const GRAPH_CHANGES_PER_USER: usize = 80;
/// Whom every user follows last: whoever is told so has seen everything.
const THE_END: &str = "the-end";

/// How hard it is made for the watchers.
#[derive(Clone, Copy, Debug)]
struct Weather {
    seed: u64,
    /// Places in the channels; with few, every burst overruns them.
    channel_events_max: usize,
    /// Whether watchers drop their streams at random, and read slowly.
    cuts: bool,
    /// How often the server is restarted.
    disturbances: usize,
    /// Whether the server is the built program, and killed instead.
    killed: bool,
}

const FAIR: Weather =
    Weather { seed: 1, channel_events_max: 1 << 14, cuts: false, disturbances: 0, killed: false };

/// Nobody is cut off and nobody overrun: then every post is sent, also those whose author is
/// unfollowed a moment later.
#[test]
fn unbroken_streams_show_exactly_what_happened() {
    run(FAIR);
}

/// The channels hold two events, so that most of what is sent is read from the log.
#[test]
fn overrun_streams_are_whole() {
    run(Weather { seed: 2, channel_events_max: 2, ..FAIR });
}

/// Watchers drop their streams at any message, bookmarks included, and resume.
#[test]
fn resumed_streams_are_whole() {
    run(Weather { seed: 3, channel_events_max: 2, cuts: true, ..FAIR });
}

/// The server is restarted under load besides.
#[test]
fn streams_are_whole_across_restarts() {
    run(Weather { seed: 4, channel_events_max: 2, cuts: true, disturbances: 3, ..FAIR });
}

/// The built program is killed with -9 again and again, also while it recovers: no acknowledged
/// post is lost and none doubled, and watchers resume whole.
#[test]
fn nothing_is_lost_when_the_program_is_killed() {
    run(Weather { seed: 5, cuts: true, disturbances: 8, killed: true, ..FAIR });
}

/// What all parts of a run share.
struct Stage {
    weather: Weather,
    /// The way to the server, which is another after a restart.
    channel: watch::Receiver<Channel>,
    ticks: AtomicU64,
    /// How many posts author0 has made.
    posts: watch::Sender<usize>,
    /// The names of all posts that were made.
    made: Mutex<Vec<String>>,
}

/// What the writers were told.
#[derive(Default)]
struct Told {
    posts: Vec<(String, String, u64)>,
    /// The revisions of changes, and when they were asked for.
    asked: Vec<(u64, Tick)>,
}

fn run(weather: Weather) {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    let runtime = threads.worker_threads(2).enable_all().build().unwrap();
    let (told, histories, log) = runtime.block_on(perform(weather));

    let mut record = Record::new(log);
    for (revision, asked) in told.asked {
        record.take_asked(revision, asked);
    }
    for (author, text, revision) in &told.posts {
        record.check_post(author, text, *revision);
    }
    assert_eq!(told.posts.len(), AUTHORS * POSTS_PER_AUTHOR);
    assert_eq!(histories.len(), USERS * DEVICES_PER_USER);
    for history in &histories {
        record.check(history);
    }
}

async fn perform(weather: Weather) -> (Told, Vec<TimelineKind>, Vec<LogEntry>) {
    let setup = Setup::new().limits(|limits| {
        limits.channel_events_max = weather.channel_events_max;
        // Bookmarks come often, so that streams are cut at many of them.
        limits.heartbeat_interval_min = Duration::from_millis(20);
    });
    let mut machine = if weather.killed { Machine::process() } else { Machine::here(setup).await };
    let (channels, channel) = watch::channel(machine.channel());
    let stage = Arc::new(Stage {
        weather,
        channel,
        ticks: AtomicU64::new(0),
        posts: watch::Sender::new(0),
        made: Mutex::default(),
    });

    let mut watchers = JoinSet::new();
    let (ready, mut all_ready) = tokio::sync::mpsc::channel(USERS * DEVICES_PER_USER);
    for user in 0..USERS {
        for device in 0..DEVICES_PER_USER {
            let (stage, ready) = (Arc::clone(&stage), ready.clone());
            watchers.spawn(async move { stage.watch(user, device, ready).await });
        }
    }
    drop(ready);
    // Everybody watches before the first change is made.
    while within("the watchers to begin", all_ready.recv()).await.is_some() {}

    let mut writers = JoinSet::new();
    for author in 0..AUTHORS {
        let stage = Arc::clone(&stage);
        writers.spawn(async move { stage.publish(author).await });
    }
    for user in 0..USERS {
        let stage = Arc::clone(&stage);
        writers.spawn(async move { stage.change_graph(user).await });
    }
    let told = disturb(&stage, &mut machine, &channels, writers).await;

    for user in 0..USERS {
        stage.follow(&format!("user{user}"), THE_END).await;
    }
    let histories = within("the watchers to come to the end", watchers.join_all()).await;
    drop(stage);
    let folder = machine.stop().await;
    let log =
        eventually("the log to be free", async || LocalLog::open(folder.path(), OPTIONS).ok());
    let entries = log.await.read(Revision::ZERO, usize::MAX).unwrap();
    (told, histories, entries)
}

/// Disturbs the server while the writers write, and gathers what they were told.
async fn disturb(
    stage: &Stage,
    machine: &mut Machine,
    channels: &watch::Sender<Channel>,
    mut writers: JoinSet<Told>,
) -> Told {
    let Weather { seed, disturbances, .. } = stage.weather;
    let mut random = fastrand::Rng::with_seed(seed);
    for disturbance in 1..=disturbances {
        // Spread over the posts that author0 makes.
        let posts = POSTS_PER_AUTHOR * disturbance / (disturbances + 1);
        within("posts to be made", stage.posts.subscribe().wait_for(|made| *made >= posts))
            .await
            .unwrap();
        machine.disturb(&mut random).await;
        channels.send_replace(machine.channel());
    }
    let mut told = Told::default();
    while let Some(writer) = within("the writers to finish", writers.join_next()).await {
        let Told { posts, asked } = writer.unwrap();
        told.posts.extend(posts);
        told.asked.extend(asked);
    }
    told
}

impl Stage {
    fn tick(&self) -> Tick {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    /// Makes a call until it is decided; `None` if what it refers to is gone. A server that is being
    /// restarted answers nothing.
    async fn until_answered<T, F>(&self, call: impl Fn(Channel) -> F) -> Option<T>
    where
        F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        let answered = async {
            loop {
                let channel = self.channel.borrow().clone();
                match call(channel).await {
                    Ok(answer) => return Some(answer.into_inner()),
                    Err(status) if status.code() == Code::NotFound => return None,
                    Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            }
        };
        within("an answer", answered).await
    }

    async fn watch(
        &self,
        user: usize,
        device: usize,
        ready: tokio::sync::mpsc::Sender<()>,
    ) -> TimelineKind {
        let mut random =
            fastrand::Rng::with_seed(self.weather.seed << 16 | (user * 16 + device) as u64);
        let is_hard = self.weather.cuts || self.weather.channel_events_max < POSTS_PER_AUTHOR;
        let mut history =
            TimelineKind { user: format!("user{user}"), streams: Vec::new(), unbroken: !is_hard };
        let mut resume_after = None;
        let mut ready = Some(ready);
        loop {
            let (messages, at_end) =
                self.watch_once(&history.user, &mut resume_after, &mut ready, &mut random).await;
            history.streams.push(messages);
            if at_end {
                return history;
            }
        }
    }

    /// One stream, until it is cut off or level with the end.
    async fn watch_once(
        &self,
        user: &str,
        resume_after: &mut Option<String>,
        ready: &mut Option<tokio::sync::mpsc::Sender<()>>,
        random: &mut fastrand::Rng,
    ) -> (Vec<(Tick, Message)>, bool) {
        let request = WatchFeedRequest {
            user_id: user.to_owned(),
            start: resume_after.clone().map(Start::AfterCursor),
            heartbeat: Some(prost_types::Duration::default()),
            ..WatchFeedRequest::default()
        };
        let mut stream = self
            .until_answered(|channel| {
                let request = request.clone();
                async move { FeedServiceClient::new(channel).watch_feed(request).await }
            })
            .await
            .expect("a stream");
        let mut messages = Vec::new();
        let mut messages_left = if self.weather.cuts { random.usize(1..40) } else { usize::MAX };
        while messages_left > 0 {
            messages_left -= 1;
            let next = within("a message", stream.message()).await;
            let Ok(Some(message)) = next else { return (messages, false) };
            let message = message.message.unwrap();
            let cursor = cursor(&message).to_owned();
            messages.push((self.tick(), message));
            // Whoever watches tells so once the first stream is open.
            ready.take();
            let at_end = messages.last().is_some_and(|(_, message)| is_the_end(message));
            *resume_after = Some(cursor);
            if at_end {
                return (messages, true);
            }
            if self.weather.cuts && random.u8(..) < 8 {
                // A reader that is busy with something else.
                tokio::time::sleep(Duration::from_millis(random.u64(1..30))).await;
            }
        }
        (messages, false)
    }
}

fn is_the_end(message: &Message) -> bool {
    let Message::Batch(batch) = message else { return false };
    batch.events.iter().any(|event| match &event.event {
        Some(Event::AuthorAdded(added)) => added.author_id == THE_END,
        _ => false,
    })
}

fn cursor(message: &Message) -> &str {
    match message {
        Message::Opened(opened) => &opened.cursor,
        Message::Batch(batch) => &batch.cursor,
        Message::CaughtUp(caught_up) => &caught_up.cursor,
        Message::Bookmark(bookmark) => &bookmark.cursor,
        Message::Closing(closing) => &closing.cursor,
        Message::Reset(_) => panic!("nobody asked for a reset"),
    }
}
