//! Writes of an index that is far behind its log: they are large, can be given up, and leave what small
//! ones would have left. Nothing is damaged here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use whimbrel::config::Limits;
use whimbrel::engine::Engine;
use whimbrel::model::{Change, Content, Event, PostText, Revision, Timestamp, UserId};
use whimbrel::runtime::{Clock, CriticalThreads};
use whimbrel::state::State;
use whimbrel::storage::{Index, LocalLog, Log};

use crate::harness::{
    CountedDisk, Disk, INDEX_OPTIONS, LOG_OPTIONS, MemoryFolder, eventually, load_index, within,
};

const USERS: usize = 40;
const EVENTS: usize = 6_000;
/// Events of a usual write.
const USUAL: usize = 10;

/// A log that is read after its index was lost: a few large writes catch up, and the index is that of
/// many small ones.
#[tokio::test]
async fn an_index_far_behind_catches_up_in_few_writes() {
    let log = log_of(EVENTS);
    let (disk, small) = (catch_up(&log, USUAL).await, Disk::default());
    assert!(!disk.spills().is_empty(), "all rows were in memory");
    // A commit writes the first block at most four times.
    let commits = disk.head_writes() / 4;
    assert!(commits < EVENTS / USUAL / 4, "{commits} commits");

    let state = State::load(Arc::clone(&log), open(&small, &*log), &Limits::default()).unwrap();
    for revision in 1..=log.head().get() {
        let event = log.get(Revision::new(revision)).unwrap().unwrap();
        state.apply(Revision::new(revision), &event).unwrap();
    }
    let index = state.index().unwrap();
    while index.complete_until() < log.head() {
        write((&state, &*log), index, USUAL, &|| false);
    }
    drop(state);
    // Only the keys of their hashes differ, and no event has a request id.
    assert_eq!(rows(disk.disk(), &*log), rows(&small, &*log));
}

/// An index that is little behind spills nothing, which would be more work for the disk and not less.
#[tokio::test]
async fn an_index_little_behind_spills_nothing() {
    let disk = catch_up(&log_of(EVENTS), EVENTS / 3).await;
    assert_eq!(disk.spills().len(), 0);
}

/// The disk of an index that a server has made of `log`, with `usual` events in a usual write.
async fn catch_up(log: &Arc<dyn Log>, usual: usize) -> CountedDisk {
    let disk = CountedDisk::default();
    let limits = Limits { index_events_max: usual, ..Limits::default() };
    let opened = Index::with_files(&disk, "index", &**log, INDEX_OPTIONS, kept()).unwrap();
    let critical = CriticalThreads::new();
    let engine = Engine::open_indexed(Arc::clone(log), opened, &limits, Clock::system(), &critical);
    let engine = engine.unwrap();
    eventually("the index to be complete", async || {
        let copy = Disk::holding(disk.disk().bytes());
        let opened = Index::with_files(&copy, "index", &**log, INDEX_OPTIONS, kept()).unwrap();
        (opened.complete_until() == log.head()).then_some(())
    })
    .await;
    within("the engine to stop", engine.stop()).await;
    disk
}

/// A write that is given up at any point leaves the index as it was, in use and on the disk, and the
/// next one succeeds.
#[test]
fn a_write_that_is_given_up_changes_nothing() {
    let log = log_of(300);
    let disk = Disk::default();
    let state = State::load(Arc::clone(&log), open(&disk, &*log), &Limits::default()).unwrap();
    for entry in log.read(Revision::ZERO, usize::MAX).unwrap() {
        state.apply(entry.revision, &entry.event).unwrap();
    }
    let index = state.index().unwrap();
    assert!(write((&state, &*log), index, 150, &|| false));
    let before = rows(&disk, &*log);
    let mut given_up = 0;
    loop {
        let checks = AtomicUsize::new(0);
        // At the first check, at a later one, and so on, until it is no longer given up.
        let is_cancelled = || checks.fetch_add(1, Ordering::SeqCst) >= given_up * 7;
        if write((&state, &*log), index, 150, &is_cancelled) {
            break;
        }
        assert_eq!(index.complete_until(), Revision::new(150));
        assert_eq!(rows(&disk, &*log), before);
        given_up += 1;
    }
    assert!(given_up > 10, "it was given up {given_up} times");
    assert_eq!(index.complete_until(), log.head());
    drop(state);

    let whole = Disk::default();
    let state = State::load(Arc::clone(&log), open(&whole, &*log), &Limits::default()).unwrap();
    for entry in log.read(Revision::ZERO, usize::MAX).unwrap() {
        state.apply(entry.revision, &entry.event).unwrap();
    }
    assert!(write((&state, &*log), state.index().unwrap(), usize::MAX, &|| false));
    drop(state);
    assert_eq!(rows(&disk, &*log), rows(&whole, &*log));
}

/// Writes the next `events`, as the indexer does.
fn write(
    (state, log): (&State, &dyn Log),
    index: &Index,
    events: usize,
    is_cancelled: &dyn Fn() -> bool,
) -> bool {
    let mut writing = state.write_to(index).unwrap();
    let entries = log.read(index.complete_until(), events).unwrap();
    entries.iter().for_each(|entry| writing.apply(entry.revision, &entry.event).unwrap());
    let last = entries.last().unwrap().revision;
    let chain = log.chain(last).unwrap().unwrap();
    index.write_unless(&writing.into_rows(), last, chain, is_cancelled).unwrap()
}

/// All rows that a start loads from a copy of `disk`, as text.
fn rows(disk: &Disk, log: &dyn Log) -> String {
    let (_, pieces) = load_index(open(&Disk::holding(disk.bytes()), log), log);
    format!("{pieces:?}")
}

pub(super) fn log_of(events: usize) -> Arc<dyn Log> {
    let log = LocalLog::with_folder(MemoryFolder::default(), LOG_OPTIONS).unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    let mut follows = std::collections::BTreeSet::new();
    for number in 0..events {
        let pair = (random.usize(..USERS), random.usize(..USERS));
        let (one, other) = (user(pair.0), user(pair.1));
        let change = match number % 2 {
            0 if pair.0 != pair.1 && follows.insert(pair) => {
                Change::Follow { follower: one, followee: other }
            }
            0 if follows.remove(&pair) => {
                Change::Unfollow { follower: one, followee: other, since: None }
            }
            _ => {
                let content = Content::from_text(PostText::parse("hello").unwrap());
                Change::Publish { author: one, content, request_id: None }
            }
        };
        let event = Event::new(Timestamp::from_nanos(number as u64), change);
        log.append(log.head(), vec![event]).unwrap();
    }
    Arc::new(log)
}

fn open(disk: &Disk, log: &dyn Log) -> whimbrel::storage::OpenedIndex {
    Index::with_files(disk, "index", log, INDEX_OPTIONS, kept()).unwrap()
}

pub(super) fn kept() -> std::time::Duration {
    Limits::default().request_id_retention
}

fn user(number: usize) -> UserId {
    UserId::parse(&format!("user{number}")).unwrap()
}
