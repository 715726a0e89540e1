//! What is logged while an index is written: nothing for short work, and otherwise how far it is, every
//! ten seconds of the clock. The clock of these tests moves only when the indexer reads the log.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use whimbrel::config::Limits;
use whimbrel::engine::Engine;
use whimbrel::runtime::{Clock, CriticalThreads};
use whimbrel::storage::{Index, LocalLog, Log};

use super::index_late::{kept, log_of};
use crate::harness::core::{post, user};
use crate::harness::{
    Alter, AlteredLog, Disk, INDEX_OPTIONS, LOG_OPTIONS, LogLines, MemoryFolder, eventually, within,
};

const EVENTS: usize = 6_000;
/// The name of the thread of the indexer.
const INDEXER: &str = "whimbrel-index";

/// A log whose reads by the indexer take time on the clock.
#[derive(Debug)]
struct TimedReads {
    clock: Clock,
    each: Duration,
    /// What the indexer logs.
    lines: LogLines,
}

impl Alter for TimedReads {
    fn at_read(&self) {
        if thread::current().name() == Some(INDEXER) {
            self.lines.collect();
            self.clock.pass(self.each);
        }
    }
}

impl TimedReads {
    fn new(seconds: u64) -> Self {
        let clock = Clock::held_at(Duration::from_secs(1));
        Self { clock, each: Duration::from_secs(seconds), lines: LogLines::default() }
    }

    fn open(self, log: Arc<dyn Log>, disk: &Disk, limits: &Limits) -> Engine {
        let opened = Index::with_files(disk, "index", &*log, INDEX_OPTIONS, kept()).unwrap();
        let (clock, critical) = (self.clock.clone(), CriticalThreads::new());
        Engine::open_indexed(AlteredLog::new(log, self), opened, limits, clock, &critical).unwrap()
    }
}

/// The lines of one write of all events, which has six reads of at most 1,024 events.
async fn lines_of_a_write(seconds_each: u64) -> Vec<String> {
    let reads = TimedReads::new(seconds_each);
    let lines = reads.lines.clone();
    // Only a stop writes the index.
    let limits = Limits {
        index_events_max: 2 * EVENTS,
        index_write_delay_max: Duration::from_secs(60 * 60),
        ..Limits::default()
    };
    let engine = reads.open(log_of(EVENTS), &Disk::default(), &limits);
    within("the engine to stop", engine.stop()).await;
    lines.so_far()
}

/// The time counts from the first read on: reports are due ten seconds after it, and ten after that.
#[tokio::test]
async fn a_long_write_is_reported_every_ten_seconds() {
    let expected = [
        "INFO the index is being written written=0 read=3072 of=6000",
        "INFO the index is being written written=0 read=5120 of=6000",
        "INFO the index has caught up written=6000",
    ];
    assert_eq!(lines_of_a_write(5).await, expected);
    // No step is shorter, so each but the first is reported.
    let reported = lines_of_a_write(60).await;
    assert_eq!(reported.len(), 6, "{reported:?}");
    assert!(reported[0].contains("read=2048 ") && reported[4].contains("read=6000 "));
}

/// Six reads of a second.
#[tokio::test]
async fn a_short_write_is_not_reported() {
    assert_eq!(lines_of_a_write(1).await, Vec::<String>::new());
}

/// Each piece of work has its own time: what passes between two is not counted.
#[tokio::test]
async fn the_time_between_two_writes_is_not_counted() {
    let reads = TimedReads::new(1);
    let (clock, lines) = (reads.clock.clone(), reads.lines.clone());
    let limits = Limits { index_write_delay_max: Duration::from_millis(1), ..Limits::default() };
    let log: Arc<dyn Log> =
        Arc::new(LocalLog::with_folder(MemoryFolder::default(), LOG_OPTIONS).unwrap());
    let disk = Disk::default();
    let engine = reads.open(Arc::clone(&log), &disk, &limits);
    for _ in 0..3 {
        engine.publish(user("bob"), post("hi"), None).await.unwrap();
        eventually("the index to be written", async || {
            let copy = Disk::holding(disk.bytes());
            let opened = Index::with_files(&copy, "index", &*log, INDEX_OPTIONS, kept()).unwrap();
            (opened.complete_until() == log.head()).then_some(())
        })
        .await;
        clock.pass(Duration::from_secs(60));
    }
    within("the engine to stop", engine.stop()).await;
    assert_eq!(lines.so_far(), Vec::<String>::new());
}
