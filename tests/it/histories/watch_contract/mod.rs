//! The contract of live feeds, over concurrent histories. Clients publish, reply, repost, delete,
//! follow, block and mute at once. Watchers are cut off and overrun, the server is restarted or
//! killed, or is one of several that share the log. At the end every message to the watchers is
//! checked against a model that knows only the log.

mod model;
mod server_under_test;
mod writers;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::{Contract, DeviceHistory, Tick};
use server_under_test::{Kind as ServerKind, ServerUnderTest};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Channel;
use whimbrel::api::v1::WatchFeedRequest;
use whimbrel::api::v1::feed_event::Change;
use whimbrel::api::v1::feed_service_client::FeedServiceClient;
use whimbrel::api::v1::watch_feed_request::Start;
use whimbrel::api::v1::watch_feed_response::Kind;
use whimbrel::storage::LogEntry;

use crate::harness::postgres::Postgres;
use crate::harness::{Setup, within};

const AUTHORS: usize = 6;
const USERS: usize = 5;
const DEVICES_PER_USER: usize = 2;
const POSTS_PER_AUTHOR: usize = 120;
const GRAPH_CHANGES_PER_USER: usize = 80;
/// Every user follows this one last: a watcher that has the event has everything.
const THE_END: &str = "the-end";

/// The disturbances that watchers have to cope with.
#[derive(Clone, Copy, Debug)]
struct Conditions {
    seed: u64,
    /// The size of the channels. Small ones are overrun by every burst.
    channel_events_max: usize,
    /// Whether watchers drop their streams at random, and read slowly.
    cuts: bool,
    /// The number of restarts.
    restarts: usize,
    /// What serves.
    server: ServerKind,
}

const UNDISTURBED: Conditions = Conditions {
    seed: 1,
    channel_events_max: 1 << 14,
    cuts: false,
    restarts: 0,
    server: ServerKind::InProcess,
};

/// No watcher is cut off or overrun: every post is delivered, also if its author is unfollowed a
/// moment later.
#[test]
fn unbroken_streams_deliver_every_event() {
    run(UNDISTURBED);
}

/// The channels hold two events, so that most events are read from the log.
#[test]
fn overrun_streams_are_complete() {
    run(Conditions { seed: 2, channel_events_max: 2, ..UNDISTURBED });
}

/// Watchers drop their streams at any message, bookmarks included, and resume.
#[test]
fn resumed_streams_are_complete() {
    run(Conditions { seed: 3, channel_events_max: 2, cuts: true, ..UNDISTURBED });
}

/// The server is also restarted under load.
#[test]
fn streams_are_complete_across_restarts() {
    run(Conditions { seed: 4, channel_events_max: 2, cuts: true, restarts: 3, ..UNDISTURBED });
}

/// The built program is killed with -9 again and again, also while it recovers: no acknowledged
/// post is lost or duplicated, and resumed streams are complete.
#[test]
fn nothing_is_lost_when_the_program_is_killed() {
    let server = ServerKind::Program;
    run(Conditions { seed: 5, cuts: true, restarts: 8, server, ..UNDISTURBED });
}

/// As the first one, with three nodes: each call, and each stream, is at one of them.
#[test]
fn unbroken_streams_of_nodes_deliver_every_event() {
    if Postgres::shared().is_some() {
        run(Conditions { seed: 6, server: ServerKind::Nodes, ..UNDISTURBED });
    }
}

/// Watchers drop their streams at any message, and resume at any of three nodes, which are restarted in turn.
#[test]
fn streams_that_change_nodes_are_complete() {
    if Postgres::shared().is_some() {
        let server = ServerKind::Nodes;
        let conditions = Conditions { seed: 7, channel_events_max: 2, server, ..UNDISTURBED };
        run(Conditions { cuts: true, restarts: 4, ..conditions });
    }
}

/// The state that all tasks of a history share.
struct Shared {
    conditions: Conditions,
    /// The channel to the server, or one to each node. A restart replaces them.
    channels: watch::Receiver<Vec<Channel>>,
    ticks: AtomicU64,
    /// The number of posts by author0.
    posts: watch::Sender<usize>,
    /// The ids of all posts.
    post_ids: Mutex<Vec<String>>,
}

/// The responses to the writers.
#[derive(Default)]
struct Acknowledged {
    /// Author, text and revision.
    posts: Vec<(String, String, u64)>,
    /// The revisions of other changes, each with the tick of its request.
    requested: Vec<(u64, Tick)>,
}

fn run(conditions: Conditions) {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    let runtime = threads.worker_threads(2).enable_all().build().unwrap();
    let (acknowledged, histories, log) = runtime.block_on(perform(conditions));

    let mut contract = Contract::new(log);
    for (revision, tick) in acknowledged.requested {
        contract.set_requested(revision, tick);
    }
    for (author, text, revision) in &acknowledged.posts {
        contract.check_post(author, text, *revision);
    }
    assert_eq!(acknowledged.posts.len(), AUTHORS * POSTS_PER_AUTHOR);
    assert_eq!(histories.len(), USERS * DEVICES_PER_USER);
    for history in &histories {
        contract.check(history);
    }
}

async fn perform(conditions: Conditions) -> (Acknowledged, Vec<DeviceHistory>, Vec<LogEntry>) {
    let setup = Setup::new().limits(|limits| {
        limits.channel_events_max = conditions.channel_events_max;
        // Bookmarks come often, so that streams are cut at many of them.
        limits.heartbeat_interval_min = Duration::from_millis(20);
    });
    let mut server = ServerUnderTest::start(conditions.server, setup).await;
    let (now, channels) = watch::channel(server.channels());
    let shared = Arc::new(Shared {
        conditions,
        channels,
        ticks: AtomicU64::new(0),
        posts: watch::Sender::new(0),
        post_ids: Mutex::default(),
    });

    let mut watchers = JoinSet::new();
    let (ready, mut all_ready) = tokio::sync::mpsc::channel(USERS * DEVICES_PER_USER);
    for user in 0..USERS {
        for device in 0..DEVICES_PER_USER {
            let (shared, ready) = (Arc::clone(&shared), ready.clone());
            watchers.spawn(async move { shared.watch(user, device, ready).await });
        }
    }
    drop(ready);
    // All watchers begin before the first change.
    while within("the watchers to begin", all_ready.recv()).await.is_some() {}

    let mut writers = JoinSet::new();
    for author in 0..AUTHORS {
        let shared = Arc::clone(&shared);
        writers.spawn(async move { shared.publish(author).await });
    }
    for user in 0..USERS {
        let shared = Arc::clone(&shared);
        writers.spawn(async move { shared.change_graph(user).await });
    }
    let acknowledged = restart_while_writing(&shared, &mut server, &now, writers).await;

    for user in 0..USERS {
        shared.follow(&format!("user{user}"), THE_END).await;
    }
    let histories = within("the watchers to see the end", watchers.join_all()).await;
    drop(shared);
    (acknowledged, histories, server.stop().await)
}

/// Restarts the server while the writers write, and collects the responses to them.
async fn restart_while_writing(
    shared: &Shared,
    server: &mut ServerUnderTest,
    now: &watch::Sender<Vec<Channel>>,
    mut writers: JoinSet<Acknowledged>,
) -> Acknowledged {
    let Conditions { seed, restarts, .. } = shared.conditions;
    let mut random = fastrand::Rng::with_seed(seed);
    for restart in 1..=restarts {
        // Spread over the posts that author0 makes.
        let posts = POSTS_PER_AUTHOR * restart / (restarts + 1);
        within("posts to be made", shared.posts.subscribe().wait_for(|made| *made >= posts))
            .await
            .unwrap();
        server.restart(&mut random).await;
        now.send_replace(server.channels());
    }
    let mut acknowledged = Acknowledged::default();
    while let Some(writer) = within("the writers to finish", writers.join_next()).await {
        let Acknowledged { posts, requested } = writer.unwrap();
        acknowledged.posts.extend(posts);
        acknowledged.requested.extend(requested);
    }
    acknowledged
}

impl Shared {
    fn tick(&self) -> Tick {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    /// Repeats a call until it succeeds; `None` if the post that it refers to was deleted. A server
    /// that is being restarted does not answer.
    async fn until_answered<T, F>(&self, call: impl Fn(Channel) -> F) -> Option<T>
    where
        F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        let answered = async {
            loop {
                let channel = fastrand::choice(&*self.channels.borrow()).cloned();
                let channel = channel.expect("there is one");
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
    ) -> DeviceHistory {
        let mut random =
            fastrand::Rng::with_seed(self.conditions.seed << 16 | (user * 16 + device) as u64);
        let is_hard = self.conditions.cuts || self.conditions.channel_events_max < POSTS_PER_AUTHOR;
        let mut history =
            DeviceHistory { user: format!("user{user}"), streams: Vec::new(), unbroken: !is_hard };
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

    /// Reads one stream until it is cut off or has the last event.
    async fn watch_once(
        &self,
        user: &str,
        resume_after: &mut Option<String>,
        ready: &mut Option<tokio::sync::mpsc::Sender<()>>,
        random: &mut fastrand::Rng,
    ) -> (Vec<(Tick, Kind)>, bool) {
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
        let mut messages_left = if self.conditions.cuts { random.usize(1..40) } else { usize::MAX };
        while messages_left > 0 {
            messages_left -= 1;
            let next = within("a message", stream.message()).await;
            let Ok(Some(message)) = next else { return (messages, false) };
            let message = message.kind.unwrap();
            let cursor = cursor(&message).to_owned();
            messages.push((self.tick(), message));
            // Dropping it reports that the first stream is open.
            ready.take();
            let at_end = messages.last().is_some_and(|(_, message)| is_the_end(message));
            *resume_after = Some(cursor);
            if at_end {
                return (messages, true);
            }
            if self.conditions.cuts && random.u8(..) < 8 {
                // A slow reader.
                tokio::time::sleep(Duration::from_millis(random.u64(1..30))).await;
            }
        }
        (messages, false)
    }
}

fn is_the_end(message: &Kind) -> bool {
    let Kind::Batch(batch) = message else { return false };
    batch.events.iter().any(|event| match &event.change {
        Some(Change::AuthorAdded(added)) => added.author_id == THE_END,
        _ => false,
    })
}

fn cursor(message: &Kind) -> &str {
    match message {
        Kind::Opened(opened) => &opened.cursor,
        Kind::Batch(batch) => &batch.cursor,
        Kind::CaughtUp(caught_up) => &caught_up.cursor,
        Kind::Bookmark(bookmark) => &bookmark.cursor,
        Kind::Closing(closing) => &closing.cursor,
        Kind::Reset(_) => panic!("no reset was requested"),
    }
}
