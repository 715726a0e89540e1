//! Power cuts and failing disks during compactions: each deleted post is complete or erased, and
//! all other data are unchanged.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use whimbrel::model::{
    Change, Content, Event, LogId, PostId, PostRef, PostText, Revision, Timestamp, UserId,
};
use whimbrel::storage::{EraseOutcome, Erasure, Error, LocalLog, Log, LogEntry};

use crate::harness::eventually;
use crate::server::process::ServerProcess;
use crate::storage::fragile_disk::FragileDisk;
use crate::storage::local_log::OPTIONS;

/// The number of workloads, and of power cuts in each.
const SEEDS: u64 = 10;
const CUTS_PER_SEED: usize = 80;
const EVENTS: u64 = 150;

/// Cuts the power at random moments of a load with repeated compactions, and again during recovery
/// and another compaction.
#[test]
fn a_power_cut_leaves_each_post_complete_or_erased() {
    let mut seen = [0; 2];
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let disk = new_disk();
        let (id, made) = make_changes(&disk, &mut random);
        for _ in 0..CUTS_PER_SEED {
            let ops = random.usize(..=disk.ops());
            let (content, acknowledged) = disk.cut(ops, &mut random);
            let recovering = FragileDisk::with(content);
            let found = check(&recovering, id, &made, acknowledged, disk.erased_by(ops));
            seen[usize::from(found.erased_until > 0)] += 1;

            let erases_again = random.bool();
            let recovering = FragileDisk::with(recovering.cut(0, &mut random).0);
            let log = open(&recovering);
            if erases_again {
                erase(&*log, log.head().get());
                recovering.erased(log.head().get());
            }
            drop(log);
            let ops = random.usize(..=recovering.ops());
            let again = FragileDisk::with(recovering.cut(ops, &mut random).0);
            let erased = found.erased_until.max(recovering.erased_by(ops));
            let found_again = check(&again, id, &made, found.events, erased);
            assert_eq!(found_again.events, found.events);
        }
    }
    assert!(seen.iter().all(|&cuts| cuts > 20), "cuts before and after an erasure: {seen:?}");
}

/// A disk that fails the copy does no harm: the log is unchanged and usable, and is compacted once
/// the disk works again.
#[test]
fn a_failed_copy_is_discarded() {
    let mut postponed = 0;
    for writes in 0..30 {
        let disk = new_disk();
        let log = open(&disk);
        let made: Vec<_> = (1..=100).map(event).collect();
        log.append(Revision::ZERO, made.clone()).unwrap();
        disk.fail_copies_after_writes(Some(writes));
        let outcome = log.erase(&erasure(100), &|| true).unwrap();
        disk.fail_copies_after_writes(None);
        if let EraseOutcome::Postponed(error) = outcome {
            assert!(error.to_string().contains("disk.compacted"), "{error}");
            assert_eq!(read(&*log), made);
            assert_eq!(log.erased_until(), Revision::ZERO);
            postponed += 1;
        }
        log.append(Revision::new(100), vec![event(101)]).unwrap();
        erase(&*log, 100);
        let left = (1..=100).map(|number| event(number).erased());
        assert_eq!(read(&*log), left.chain([event(101)]).collect::<Vec<_>>());
    }
    assert!(postponed > 5, "{postponed}");
}

/// If it is unknown which file a restart finds, no more changes are acknowledged.
#[test]
fn after_a_failed_exchange_nothing_is_acknowledged() {
    let disk = new_disk();
    let log = open(&disk);
    let id = log.id();
    let made: Vec<_> = (1..=100).map(event).collect();
    log.append(Revision::ZERO, made.clone()).unwrap();
    disk.fail_exchanges();
    let error = log.erase(&erasure(100), &|| true).unwrap_err();
    assert!(matches!(error, Error::Storage { .. }), "{error}");
    let refused = log.append(Revision::new(100), vec![event(101)]).unwrap_err();
    assert!(matches!(refused, Error::Closed), "{refused}");
    drop(log);

    let mut seen = [false; 2];
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let found = FragileDisk::with(disk.cut(disk.ops(), &mut random).0);
        let found = check(&found, id, &made, 100, 0);
        seen[usize::from(found.erased_until > 0)] = true;
    }
    assert_eq!(seen, [true; 2]);
}

/// The program is killed during compactions, and then left to finish one.
#[tokio::test]
async fn a_killed_compaction_is_repeated_after_a_start() {
    const LONG: u64 = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let log = LocalLog::open(folder.path(), OPTIONS).unwrap();
    let id = log.id();
    let made: Vec<_> = (1..=LONG).map(event).collect();
    log.append(Revision::ZERO, made.clone()).unwrap();
    drop(log);
    let (file, copy) = (folder.path().join("log.redb"), folder.path().join("log.redb.compacted"));
    let inode = || std::fs::metadata(&file).unwrap().ino();
    let old = inode();
    for _ in 0..3 {
        let server = ServerProcess::start_compacting(folder.path());
        let begun = async || (copy.exists() || inode() != old).then_some(());
        eventually("a copy to be begun", begun).await;
        server.kill();
        let log = LocalLog::open(folder.path(), OPTIONS).unwrap();
        // On a busy machine the kill may come too late.
        let is_old = inode() == old;
        assert_eq!(log.erased_until() == Revision::ZERO, is_old);
        assert_eq!((log.id(), log.head()), (id, Revision::new(LONG)));
        assert!(!is_old || read(&log) == made);
        assert!(!copy.exists());
    }

    let server = ServerProcess::start_compacting(folder.path());
    eventually("the copy to replace the log", async || (inode() != old).then_some(())).await;
    assert_eq!(server.terminate(), Some(0));
    let log = LocalLog::open(folder.path(), OPTIONS).unwrap();
    let is_deleted = |number: u64| (number + 2).is_multiple_of(5);
    let left = made
        .into_iter()
        .zip(1..)
        .map(|(event, number)| if is_deleted(number) { event.erased() } else { event });
    assert_eq!((log.id(), log.erased_until()), (id, Revision::new(LONG)));
    assert!(read(&log).into_iter().eq(left));
}

struct Found {
    events: u64,
    erased_until: u64,
}

/// The log on `disk` must be a prefix of the written one, with all acknowledged events; and in it
/// the posts up to some moment are erased, at least those whose erasure was acknowledged.
fn check(disk: &FragileDisk, id: LogId, made: &[Event], acknowledged: u64, erased: u64) -> Found {
    let log = open(disk);
    assert_eq!(log.id(), id);
    let found = Found { events: log.head().get(), erased_until: log.erased_until().get() };
    assert!(found.events >= acknowledged, "{acknowledged} acknowledged, {} there", found.events);
    assert!(found.erased_until >= erased, "{erased} erased, {} found", found.erased_until);
    let left = made.iter().zip(1..).map(|(event, number)| {
        if number <= found.erased_until { event.clone().erased() } else { event.clone() }
    });
    assert_eq!(read(&*log), left.take(log.head().get() as usize).collect::<Vec<_>>());
    found
}

/// Appends batches of all sizes during compactions. Returns all events as written.
fn make_changes(disk: &FragileDisk, random: &mut fastrand::Rng) -> (LogId, Vec<Event>) {
    let log = open(disk);
    let batches: Vec<u64> = (0..).map(|_| random.u64(1..=12)).take(24).collect();
    let made: Vec<_> = (1..=batches.iter().sum()).map(event).collect();
    assert!(made.len() as u64 >= EVENTS / 2);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut head = 0;
            for events in batches {
                let batch = made[head..head + events as usize].to_vec();
                log.append(Revision::new(head as u64), batch).unwrap();
                head += events as usize;
                disk.acknowledged(head as u64);
            }
        });
        while !writer.is_finished() {
            let until = log.head().get();
            erase(&*log, until);
            disk.erased(until);
        }
    });
    (log.id(), made)
}

fn erase(log: &dyn Log, until: u64) {
    let outcome = log.erase(&erasure(until), &|| true).unwrap();
    assert!(matches!(outcome, EraseOutcome::Done), "{outcome:?}");
}

fn erasure(until: u64) -> Erasure {
    Erasure { posts: (1..=until).map(Revision::new).collect(), until: Revision::new(until) }
}

fn read(log: &dyn Log) -> Vec<Event> {
    let entries = log.read(Revision::ZERO, usize::MAX).unwrap();
    entries.into_iter().map(|LogEntry { event, .. }| event).collect()
}

/// Posts and deletions of all lengths, up to nearly a page of the file.
fn event(number: u64) -> Event {
    let author = |number| UserId::parse(&format!("user{}", number % 8)).unwrap();
    let change = if number.is_multiple_of(5) {
        let (id, author) = (PostId::from_revision(Revision::new(number - 2)), author(number - 2));
        let post = PostRef { id, author };
        Change::Delete { post, reply_to: None, quote: None, notified: Vec::new() }
    } else {
        let text = format!("{number} {}", "👩‍👩‍👧‍👦".repeat((number * 37 % 110) as usize));
        let content = Content::from_text(PostText::parse(&text).unwrap());
        Change::Publish { author: author(number), content, request_id: None }
    };
    Event::new(Timestamp::from_nanos(number), change)
}

/// A disk with a new log, created before the recording.
fn new_disk() -> FragileDisk {
    let disk = FragileDisk::default();
    drop(open(&disk));
    FragileDisk::with(disk.content())
}

fn open(disk: &FragileDisk) -> Arc<dyn Log> {
    Arc::new(LocalLog::with_files(disk.clone(), "disk", OPTIONS).unwrap())
}
