//! All clients reconnect at once: the log is read about once for all of them, with few concurrent
//! reads, and every stream catches up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use whimbrel::config::Limits;
use whimbrel::engine::Engine;
use whimbrel::live::{Start, StreamMessage, WatchOptions};
use whimbrel::model::{Change, Content, Cursor, Event, PostText, Revision, Timestamp, UserId};
use whimbrel::runtime::{Clock, CriticalThreads};
use whimbrel::storage::{Error, Index, LocalLog, Log};

use crate::harness::core::FEED;
use crate::harness::{Alter, AlteredLog, Disk, INDEX_OPTIONS, LOG_OPTIONS, MemoryFolder, within};

const WATCHERS: usize = 1_000;
const AUTHORS: usize = 20;
const FOLLOWEES: usize = 2;
const POSTS: usize = 2_000;
const READS_MAX: usize = 3;

/// A thousand streams resume after a restart, from all over the log, on one thread.
#[test]
fn a_storm_of_watchers_shares_the_reads_of_the_log() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (folder, index) = (MemoryFolder::default(), Disk::default());
    seed(&folder);
    runtime.block_on(async {
        let (first, _) = open(&folder, &index);
        within("the index to be written", first.stop()).await;
    });

    runtime.block_on(async {
        let (engine, log) = open(&folder, &index);
        let now = engine.cursor();
        let first_post = now.after.get() - POSTS as u64;
        let mut streams = JoinSet::new();
        for watcher in 0..WATCHERS {
            let after = first_post + (watcher * 7 % POSTS) as u64;
            let cursor = Cursor::after(now.log, Revision::new(after));
            let options =
                WatchOptions { of: FEED, heartbeat: Duration::from_secs(20), reset_items: None };
            let mut stream = engine.watch(&user(watcher), Start::After(cursor), options).unwrap();
            streams.spawn(async move {
                let mut delivered = Vec::new();
                loop {
                    match stream.next().await.unwrap().unwrap() {
                        StreamMessage::Batch { events, .. } => {
                            delivered.extend(events.iter().map(|e| e.revision.get()))
                        }
                        StreamMessage::CaughtUp { .. } => break,
                        _ => {}
                    }
                }
                let posts =
                    (0..POSTS).filter(|post| followees(watcher).contains(&(post % AUTHORS)));
                let posts = posts.map(|post| first_post + 1 + post as u64);
                let missed: Vec<_> = posts.filter(|&revision| revision > after).collect();
                assert_eq!(delivered, missed, "watcher {watcher}");
            });
        }
        while let Some(done) = within("all to be caught up", streams.join_next()).await {
            done.unwrap();
        }
        // Streams that need a post at the same moment may each read it.
        let events = log.alter.events.load(Ordering::SeqCst);
        assert!((POSTS / 2..=2 * POSTS).contains(&events), "{events} events were read");
        let at_once = log.alter.at_once_max.load(Ordering::SeqCst);
        assert!((1..=READS_MAX).contains(&at_once), "{at_once} reads at once");
        within("the engine to stop", engine.stop()).await;
    });
}

fn followees(watcher: usize) -> [usize; FOLLOWEES] {
    [watcher % AUTHORS, (watcher + 7) % AUTHORS]
}

fn user(number: usize) -> UserId {
    UserId::parse(&format!("watcher{number}")).unwrap()
}

fn author(number: usize) -> UserId {
    UserId::parse(&format!("author{number}")).unwrap()
}

/// All follows, and then all posts, by the authors in turns.
fn seed(folder: &MemoryFolder) {
    let follows = (0..WATCHERS).flat_map(|watcher| {
        let follow =
            move |followee| Change::Follow { follower: user(watcher), followee: author(followee) };
        followees(watcher).map(follow)
    });
    let posts = (0..POSTS).map(|post| Change::Publish {
        author: author(post % AUTHORS),
        content: Content::from_text(PostText::parse(&format!("post {post}")).unwrap()),
        request_id: None,
    });
    let event = |change| Event::new(Timestamp::default(), change);
    let log = LocalLog::with_folder(folder.clone(), LOG_OPTIONS).unwrap();
    log.append(Revision::ZERO, follows.chain(posts).map(event).collect()).unwrap();
}

fn open(folder: &MemoryFolder, index: &Disk) -> (Engine, Arc<AlteredLog<Counts>>) {
    let limits = Limits { concurrent_reads_max: READS_MAX, ..Limits::default() };
    let log = LocalLog::with_folder(folder.clone(), LOG_OPTIONS).unwrap();
    let index = Index::with_files(index, "index", &log, INDEX_OPTIONS, limits.request_id_retention)
        .unwrap();
    let log = AlteredLog::new(Arc::new(log), Counts::default());
    let engine = Engine::open_indexed(
        Arc::clone(&log) as Arc<dyn Log>,
        index,
        &limits,
        Clock::system(),
        &CriticalThreads::new(),
    );
    (engine.unwrap(), log)
}

/// Counts the reads of a log by revision.
#[derive(Debug, Default)]
struct Counts {
    events: AtomicUsize,
    at_once: AtomicUsize,
    at_once_max: AtomicUsize,
}

impl Alter for Counts {
    fn get_many(&self, log: &dyn Log, revisions: &[Revision]) -> Result<Vec<Option<Event>>, Error> {
        self.events.fetch_add(revisions.len(), Ordering::SeqCst);
        let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.at_once_max.fetch_max(at_once, Ordering::SeqCst);
        // As slow as a disk, so that concurrent reads overlap.
        std::thread::sleep(Duration::from_millis(1));
        let read = log.get_many(revisions);
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        read
    }
}
