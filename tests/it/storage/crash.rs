//! Power cuts and failing disks: acknowledged changes are found, once and in order, whatever
//! happened to unflushed writes.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use whimbrel::api::v1::PublishRequest;
use whimbrel::client::Client;
use whimbrel::config::Limits;
use whimbrel::engine::{Engine, Error};
use whimbrel::model::{PostText, RequestId, Revision, UserId};
use whimbrel::runtime::{Clock, CriticalThreads};
use whimbrel::storage::{LocalLog, Log, LogEntry};

use crate::server::process::ServerProcess;
use crate::storage::fragile_disk::FragileDisk;
use crate::storage::local_log::OPTIONS;

/// The number of workloads, each with [`CUTS_PER_SEED`] power cuts: over a thousand in all.
const SEEDS: u64 = 12;
const CUTS_PER_SEED: usize = 100;
/// The number of events of one workload.
const EVENTS: u64 = 120;

/// Cuts the power at random moments of a random load, and in some cases again while recovering.
#[test]
fn acknowledged_changes_survive_a_power_cut_at_any_point() {
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let disk = new_disk();
        let made = make_changes(&disk, &mut random);
        assert!(made.len() as u64 >= EVENTS);

        for _ in 0..CUTS_PER_SEED {
            let (content, acknowledged) = disk.cut(random.usize(..=disk.ops()), &mut random);
            let recovering = FragileDisk::with(content);
            let found = read_all(recovering.clone());
            check(&made, &found, acknowledged, seed);

            let ops = random.usize(..=recovering.ops());
            let (content, _) = recovering.cut(ops, &mut random);
            let found_again = read_all(FragileDisk::with(content));
            assert_eq!(found, found_again, "seed {seed}: a cut while recovering changed the log");
        }
    }
}

/// The recovered log must be a prefix of the written one, with all acknowledged events.
fn check(made: &[LogEntry], found: &[LogEntry], acknowledged: u64, seed: u64) {
    assert!(
        found.len() as u64 >= acknowledged,
        "seed {seed}: {acknowledged} events were acknowledged, but {} are there",
        found.len()
    );
    assert_eq!(found, &made[..found.len()], "seed {seed}: what is there is not what was made");
}

/// A failed flush ends the engine: no later change is acknowledged, and every acknowledged one is
/// found after a restart.
#[test]
fn after_a_failed_flush_nothing_is_acknowledged() {
    for syncs in 0..20 {
        a_failing_disk_ends_the_engine(|disk| disk.fail_after_syncs(syncs), syncs as u64);
    }
}

/// The program ends on a failing disk with a code and a message. Started on a good disk it has all
/// acknowledged changes.
#[test]
fn a_failing_disk_ends_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start_on_failing_disk(folder.path(), 4 << 10);
    let acknowledged = runtime().block_on(async {
        let client = Client::connect(&server.address().to_string()).await.unwrap();
        let mut acknowledged = 0;
        loop {
            let request = PublishRequest {
                author_id: "alice".to_owned(),
                text: "👩‍👩‍👧‍👦".repeat(100),
                ..PublishRequest::default()
            };
            match client.publish(request).await {
                Ok(published) => acknowledged = published.post.unwrap().revision,
                Err(error) => {
                    assert!(error.is_transient(), "{error}");
                    break acknowledged;
                }
            }
        }
    });
    let (code, output) = server.ended();
    assert_eq!(code, Some(5), "{output}");
    assert!(output.contains("log.redb"), "the message names the file: {output}");

    let found = {
        let log = LocalLog::open(folder.path(), OPTIONS).unwrap();
        log.head().get()
    };
    assert!((acknowledged..=acknowledged + 1).contains(&found), "{acknowledged} {found}");
    assert!(acknowledged > 0);
}

/// A failed write ends the engine like a failed flush.
#[test]
fn after_a_failed_write_nothing_is_acknowledged() {
    for writes in 0..40 {
        a_failing_disk_ends_the_engine(|disk| disk.fail_after_writes(writes), writes as u64);
    }
}

fn a_failing_disk_ends_the_engine(break_disk: impl Fn(&FragileDisk), seed: u64) {
    let disk = new_disk();
    let acknowledged = runtime().block_on(async {
        let critical = CriticalThreads::new();
        let engine = open(&disk, &critical);
        break_disk(&disk);
        let mut acknowledged = 0;
        let unanswered = loop {
            match publish(&engine, "alice", acknowledged).await {
                Ok(revision) => acknowledged = revision,
                Err(error) => break error,
            }
        };
        assert!(matches!(unanswered, Error::OutcomeUnknown), "{unanswered}");
        let failure =
            tokio::time::timeout(Duration::from_secs(30), critical.failed()).await.unwrap();
        assert_eq!(failure.part, "whimbrel-commit");
        let late = publish(&engine, "alice", acknowledged + 1).await.unwrap_err();
        assert!(matches!(late, Error::Stopping | Error::OutcomeUnknown), "{late}");
        acknowledged
    });

    let mut random = fastrand::Rng::with_seed(seed);
    let (content, _) = disk.cut(disk.ops(), &mut random);
    let found = read_all(FragileDisk::with(content)).len() as u64;
    // The failed change may be in the log or not.
    assert!((acknowledged..=acknowledged + 1).contains(&found), "{acknowledged} {found}");
}

/// Makes changes by several callers at once, for batches of all sizes. Returns the whole log.
fn make_changes(disk: &FragileDisk, random: &mut fastrand::Rng) -> Vec<LogEntry> {
    runtime().block_on(async {
        let critical = CriticalThreads::new();
        let engine = open(disk, &critical);
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
                disk.acknowledged(revision.unwrap().unwrap());
            }
        }
        engine.stop().await;
    });
    read_all(FragileDisk::with(disk.cut(disk.ops(), random).0))
}

async fn publish(engine: &Engine, author: &str, number: u64) -> Result<u64, Error> {
    let author = UserId::parse(author).unwrap();
    // Texts of all lengths, up to nearly a page of the file: one grapheme of this family has 25
    // bytes.
    let text = format!("{number} {}", "👩‍👩‍👧‍👦".repeat((number * 37 % 110) as usize));
    let text = PostText::parse(&text).unwrap();
    let request_id = RequestId::parse(&format!("r{number}")).unwrap();
    let published = engine.publish(author, text, Some(request_id)).await?;
    Ok(published.post.revision.get())
}

/// A disk with a new log, created before the recording.
fn new_disk() -> FragileDisk {
    let disk = FragileDisk::default();
    drop(LocalLog::with_files(disk.clone(), "disk", OPTIONS).unwrap());
    FragileDisk::with(disk.content())
}

fn open(disk: &FragileDisk, critical: &CriticalThreads) -> Engine {
    let log: Arc<dyn Log> = Arc::new(LocalLog::with_files(disk.clone(), "disk", OPTIONS).unwrap());
    Engine::open(log, &Limits::default(), Clock::system(), critical).unwrap()
}

fn read_all(disk: FragileDisk) -> Vec<LogEntry> {
    let log = LocalLog::with_files(disk, "disk", OPTIONS).unwrap();
    log.read(Revision::ZERO, usize::MAX).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
