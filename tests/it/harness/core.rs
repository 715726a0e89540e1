//! An engine without a network, on a disk in memory: for tests that go step by step, or repeat
//! hundreds of times.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use whimbrel::config::Limits;
use whimbrel::engine::{Changed, Engine, Published};
use whimbrel::live::{FeedEventKind, LiveStream, Start, StreamMessage, WatchOptions, Watched};
use whimbrel::model::{PostText, Relation, RequestId, Revision, UserId};
use whimbrel::runtime::{Clock, CriticalThreads};
use whimbrel::storage::{Index, LocalLog, PostgresLog};

use super::disk::Disk;
use super::memory_folder::{INDEX_OPTIONS, LOG_OPTIONS, MemoryFolder};
use super::patience::{PATIENCE, within};
use super::postgres::Postgres;

/// The home feed with its default options.
pub(crate) const FEED: Watched = Watched::Feed { all_replies: false };

/// An engine and its disks.
#[derive(Debug)]
pub(crate) struct Core {
    folder: MemoryFolder,
    /// The disk of its index, if it has one.
    index: Option<Disk>,
    limits: Limits,
    /// The heartbeat of its streams. It may be shorter than a server allows.
    heartbeat: Duration,
    clock: Clock,
    /// `None` only during a restart: the old engine must be gone before the disk is opened again.
    engine: Option<Engine>,
    /// Another node of the same log.
    other: Option<OtherNode>,
}

/// Where two nodes have their log, and the one that is not in turn.
#[derive(Debug)]
struct OtherNode {
    store: String,
    /// That of the node in turn, and that of the other one.
    folders: [TempDir; 2],
    engine: Engine,
}

impl Core {
    /// An engine on an empty disk, with changed limits.
    pub(crate) fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        Self::new(None, change)
    }

    /// An engine with an index, on empty disks, with changed limits.
    pub(crate) fn indexed(change: impl FnOnce(&mut Limits)) -> Self {
        Self::new(Some(Disk::default()), change)
    }

    fn new(index: Option<Disk>, change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits { post_cache_bytes_max: 1 << 20, ..Limits::default() };
        change(&mut limits);
        let server_default = Limits::default().heartbeat_interval_default;
        let heartbeat = std::mem::replace(&mut limits.heartbeat_interval_default, server_default);
        let (folder, clock) = (MemoryFolder::default(), Clock::system());
        let engine = Some(open(&folder, index.as_ref(), &limits, &clock));
        Self { folder, index, limits, heartbeat, clock, engine, other: None }
    }

    /// Two engines on the log at `store`, with changed limits and without an index.
    pub(crate) fn shared(store: String, change: impl FnOnce(&mut Limits)) -> Self {
        let core = Self::limited(change);
        let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let [one, two] = [0, 1].map(|node| open_node(&store, folders[node].path(), &core.limits));
        let other = Some(OtherNode { store, folders, engine: two });
        Self { engine: Some(one), other, ..core }
    }

    /// Gives the turn to the other node, if there is one. If it `is_level`, it has all that the former had.
    pub(crate) async fn give_turn(&mut self, is_level: bool) {
        let Some(other) = &mut self.other else { return };
        let former = self.engine.as_mut().expect("the engine runs");
        std::mem::swap(former, &mut other.engine);
        other.folders.swap(0, 1);
        if is_level {
            let newest = other.engine.cursor().after;
            former.has(newest, PATIENCE).await.expect("it follows");
        }
    }

    /// The newest revision that a node shows.
    pub(crate) fn newest(&self) -> Revision {
        let other = self.other.as_ref().map(|other| other.engine.cursor().after);
        self.engine().cursor().after.max(other.unwrap_or_default())
    }

    /// Stops the engine, and opens another on the same disks.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.engine = Some(match &self.other {
            Some(OtherNode { store, folders, .. }) => {
                open_node(store, folders[0].path(), &self.limits)
            }
            None => open(&self.folder, self.index.as_ref(), &self.limits, &self.clock),
        });
    }

    /// Stops the engine, and returns the folder of its log.
    pub(crate) async fn closed(mut self) -> MemoryFolder {
        self.stop().await;
        self.folder
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("the engine runs")
    }

    async fn stop(&mut self) {
        let engine = self.engine.take().expect("the engine runs");
        within("the engine to stop", engine.stop()).await;
    }

    pub(crate) async fn follow(&self, follower: &str, followee: &str) -> Changed {
        self.engine()
            .set(Relation::Follow(user(follower), user(followee)), true)
            .await
            .expect("the follow succeeds")
    }

    pub(crate) async fn publish(&self, author: &str, text: &str) -> Published {
        self.engine().publish(user(author), post(text), None).await.expect("the post is published")
    }

    /// Opens a live feed. It does nothing until its next message is read.
    pub(crate) fn watch(&self, name: &str, start: Start) -> LiveStream {
        self.watch_as(name, start, FEED)
    }

    /// As [`Core::watch`], of any kind of stream.
    pub(crate) fn watch_as(&self, name: &str, start: Start, of: Watched) -> LiveStream {
        let options = WatchOptions { of, heartbeat: self.heartbeat, reset_items: None };
        self.engine().watch(&user(name), start, options).expect("the stream is opened")
    }
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::parse(name).expect("a user id")
}

pub(crate) fn post(text: &str) -> PostText {
    PostText::parse(text).expect("a text")
}

pub(crate) fn request_id(text: &str) -> RequestId {
    RequestId::parse(text).expect("a request id")
}

/// The next message of `stream`.
pub(crate) async fn step(stream: &mut LiveStream) -> StreamMessage {
    let step = within("the next message", stream.next()).await;
    step.expect("the log is read").expect("the stream continues")
}

/// The texts of a batch of posts. Panics if `step` is another message, or has another event.
pub(crate) fn texts(step: &StreamMessage) -> Vec<&str> {
    let StreamMessage::Batch { events, .. } = step else { panic!("not a batch: {step:?}") };
    events.iter().map(|event| text(&event.kind)).collect()
}

fn text(kind: &FeedEventKind) -> &str {
    match kind {
        FeedEventKind::Posted(post) => post.content.text.as_str(),
        other => panic!("not a post: {other:?}"),
    }
}

/// A node of the log at `store`.
fn open_node(store: &str, folder: &Path, limits: &Limits) -> Engine {
    let open = || {
        let log = PostgresLog::open(folder, LOG_OPTIONS, Postgres::options(store));
        let log = Arc::new(log.expect("the log opens"));
        Engine::open(log, limits, Clock::system(), &CriticalThreads::new())
    };
    // It waits for PostgreSQL, as no task may.
    let opened = thread::scope(|scope| scope.spawn(open).join());
    opened.expect("it does not panic").expect("the engine opens")
}

fn open(folder: &MemoryFolder, index: Option<&Disk>, limits: &Limits, clock: &Clock) -> Engine {
    let log = LocalLog::with_folder(folder.clone(), LOG_OPTIONS).expect("the log opens");
    let index = index.map(|index| {
        let opened =
            Index::with_files(index, "index", &log, INDEX_OPTIONS, limits.request_id_retention);
        opened.expect("the index opens")
    });
    let (log, clock, critical) = (Arc::new(log), clock.clone(), CriticalThreads::new());
    let engine = match index {
        Some(index) => Engine::open_indexed(log, index, limits, clock, &critical),
        None => Engine::open(log, limits, clock, &critical),
    };
    engine.expect("the engine opens")
}
