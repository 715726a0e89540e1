//! Power cuts and failing disks under an engine, with the batches that its callers cause. Never tests
//! the log alone.

use std::io::ErrorKind;
use std::sync::Arc;

use tokio::task::JoinSet;
use whimbrel::config::Limits;
use whimbrel::engine::{Engine, Error};
use whimbrel::model::{PostText, RequestId, Revision, UserId};
use whimbrel::runtime::{Clock, CriticalThreads};
use whimbrel::storage::{Log, LogEntry};

use crate::harness::within;
use crate::storage::fragile_folder::{FragileFolder, OpKind};
use crate::storage::log_history;

/// The number of workloads, each with [`CUTS_PER_SEED`] power cuts.
const SEEDS: u64 = 4;
const CUTS_PER_SEED: usize = 60;
/// The number of events of one workload.
const EVENTS: u64 = 120;

/// Cuts the power at random moments of a random load, and again while recovering.
#[test]
fn changes_that_an_engine_acknowledged_survive_a_power_cut() {
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let folder = new_folder();
        let made = make_changes(&folder, &mut random);
        assert!(made.len() as u64 >= EVENTS);

        for _ in 0..CUTS_PER_SEED {
            let ops = random.usize(..=folder.ops());
            let acknowledged = folder.acknowledged_by(ops);
            let recovering = folder.cut(ops, &mut random);
            let found = read_all(&recovering);
            assert!(found.len() as u64 >= acknowledged, "{} of {acknowledged}", found.len());
            assert_eq!(found, &made[..found.len()], "seed {seed}: what is there was not made");

            let again = recovering.cut(random.usize(..=recovering.ops()), &mut random);
            let found_again = read_all(&again);
            assert_eq!(found, found_again, "seed {seed}: a cut while recovering changed the log");
        }
    }
}

/// A failed operation ends the engine: no later change is acknowledged, and every acknowledged one
/// is found after a restart, with or without a power cut.
#[test]
fn a_failing_disk_ends_the_engine() {
    let kinds = [
        (OpKind::Sync, 12),
        (OpKind::Write, 12),
        (OpKind::ShortWrite, 6),
        (OpKind::SetBytes, 3),
        (OpKind::Create, 3),
        (OpKind::FolderSync, 3),
    ];
    for (kind, moments) in kinds {
        for after in 0..moments {
            let folder = new_folder();
            let acknowledged = runtime().block_on(publish_until_failure(&folder, kind, after));
            folder.heal();
            let mut random = fastrand::Rng::with_seed(after as u64);
            let left = if random.bool() { folder.cut(folder.ops(), &mut random) } else { folder };
            // The failed change may be in the log or not.
            let found = read_all(&left).len() as u64;
            assert!(
                (acknowledged..=acknowledged + 1).contains(&found),
                "{kind:?} {after}: {acknowledged} {found}"
            );
        }
    }
}

/// A full disk refuses a change, and once there is room the engine goes on.
#[test]
fn a_full_disk_does_not_end_the_engine() {
    let folder = new_folder();
    let (acknowledged, refused) = runtime().block_on(async {
        let critical = CriticalThreads::new();
        let engine = open(&folder, &critical);
        folder.fail_from(OpKind::Create, 2, ErrorKind::StorageFull);
        let (mut acknowledged, mut refused) = (0, 0);
        for number in 0..60 {
            match publish(&engine, "alice", number).await {
                Ok(revision) => acknowledged = revision,
                Err(error) => {
                    assert!(matches!(error, Error::DiskFull), "{error}");
                    refused += 1;
                    if refused == 3 {
                        folder.heal();
                    }
                }
            }
        }
        assert_eq!(critical.failure(), None);
        within("the engine to stop", engine.stop()).await;
        (acknowledged, refused)
    });
    assert_eq!((acknowledged, refused), (57, 3));
    assert_eq!(read_all(&folder).len(), 57);
}

/// Returns the last revision that was acknowledged.
async fn publish_until_failure(folder: &FragileFolder, kind: OpKind, after: usize) -> u64 {
    let critical = CriticalThreads::new();
    let engine = open(folder, &critical);
    folder.fail_from(kind, after, ErrorKind::Other);
    let mut acknowledged = 0;
    let unanswered = loop {
        match publish(&engine, "alice", acknowledged).await {
            Ok(revision) => acknowledged = revision,
            Err(error) => break error,
        }
    };
    assert!(matches!(unanswered, Error::OutcomeUnknown), "{unanswered}");
    let failure = within("the engine to fail", critical.failed()).await;
    assert_eq!(failure.part, "whimbrel-commit");
    let late = publish(&engine, "alice", acknowledged + 1).await.unwrap_err();
    assert!(matches!(late, Error::Stopping | Error::OutcomeUnknown), "{late}");
    acknowledged
}

/// Makes changes by several callers at once, for batches of all sizes. Returns the whole log.
fn make_changes(folder: &FragileFolder, random: &mut fastrand::Rng) -> Vec<LogEntry> {
    runtime().block_on(async {
        let critical = CriticalThreads::new();
        let engine = open(folder, &critical);
        let mut number = 0;
        while number < EVENTS {
            let mut calls = JoinSet::new();
            for _ in 0..random.u64(1..=24) {
                number += 1;
                let engine = engine.clone();
                let author = format!("user{}", random.u64(..8));
                calls.spawn(async move { publish(&engine, &author, number).await });
            }
            while let Some(revision) = calls.join_next().await {
                // A batch is acknowledged in order, so everything up to the greatest revision is
                // acknowledged.
                let acknowledged = folder.acknowledged_by(folder.ops());
                folder.acknowledged(revision.unwrap().unwrap().max(acknowledged));
            }
        }
        within("the engine to stop", engine.stop()).await;
    });
    read_all(&folder.copy())
}

async fn publish(engine: &Engine, author: &str, number: u64) -> Result<u64, Error> {
    let author = UserId::parse(author).unwrap();
    // Texts of all lengths: one grapheme of this family has 25 bytes.
    let text = format!("{number} {}", "👩‍👩‍👧‍👦".repeat((number * 37 % 110) as usize));
    let text = PostText::parse(&text).unwrap();
    let request_id = RequestId::parse(&format!("r{number}")).unwrap();
    let published = engine.publish(author, text, Some(request_id)).await?;
    Ok(published.post.revision.get())
}

/// A folder with a new log, created before the recording.
fn new_folder() -> FragileFolder {
    let folder = FragileFolder::default();
    drop(log_history::open(&folder));
    folder.copy()
}

fn open(folder: &FragileFolder, critical: &CriticalThreads) -> Engine {
    let log: Arc<dyn Log> = Arc::new(log_history::open(folder));
    Engine::open(log, &Limits::default(), Clock::system(), critical).unwrap()
}

fn read_all(folder: &FragileFolder) -> Vec<LogEntry> {
    log_history::open(folder).read(Revision::ZERO, usize::MAX).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
