//! Power cuts, kills and failing disks during erasures: each deleted post is whole or erased, and all
//! other events are unchanged. Never damages what is durable.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use whimbrel::model::{Event, Revision};
use whimbrel::storage::{EraseOutcome, Erasure, Error, LocalLog, Log};

use super::fragile_folder::{FragileFolder, OpKind};
use super::log_history::{
    Acknowledged, DELETES_EVERY, History, batch_events, erasure, event, is_deleted, open, text_of,
};
use crate::harness::{LOG_OPTIONS, eventually};
use crate::server::process::ServerProcess;

/// The number of workloads, and of power cuts in each.
const SEEDS: u64 = 6;
const CUTS_PER_SEED: usize = 60;
const BATCHES: usize = 60;
/// The events of [`log_of_batches`].
const EVENTS: u64 = 120;

/// Cuts the power at random moments of appends with erasures at the same time, and again during the
/// recovery and another erasure.
#[test]
fn a_power_cut_leaves_each_post_whole_or_erased() {
    let mut seen = [0; 2];
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let folder = FragileFolder::default();
        let history = append_and_erase(&folder, seed, &mut random);
        for _ in 0..CUTS_PER_SEED {
            let ops = random.usize(..=folder.ops());
            let acknowledged = Acknowledged::by(&folder, ops);
            let recovering = folder.cut(ops, &mut random);
            let log = open(&recovering);
            if acknowledged.events == 0 && log.id() != history.id() {
                continue;
            }
            let mut found = history.found(&log, acknowledged, &mut random);
            let shown = Acknowledged::all_of(&log);
            seen[usize::from(shown.erased_until > 0)] += 1;
            if random.bool() {
                let outcome = found.erase(&log, 0, shown.events).unwrap();
                assert!(matches!(outcome, EraseOutcome::Done), "{outcome:?}");
                recovering.erased(shown.events);
            }
            drop(log);
            let ops = random.usize(..=recovering.ops());
            let again = open(&recovering.cut(ops, &mut random));
            found.found(&again, Acknowledged::by(&recovering, ops).and(shown), &mut random);
            assert_eq!(again.head().get(), shown.events);
        }
    }
    assert!(seen.iter().all(|cuts| *cuts > 20), "cuts before and after an erasure: {seen:?}");
}

/// Appends batches of all sizes, while another thread erases.
fn append_and_erase(folder: &FragileFolder, seed: u64, random: &mut fastrand::Rng) -> History {
    let log = open(folder);
    let mut history = History::of_new(&log, seed);
    for _ in 0..8 {
        history.append(&log, 3).unwrap();
        folder.acknowledged(history.len());
    }
    let batches: Vec<_> = (0..BATCHES).map(|_| batch_events(random)).collect();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for events in batches {
                history.append(&log, events).unwrap();
                folder.acknowledged(history.len());
            }
        });
        while !writer.is_finished() {
            let until = log.head();
            let outcome = log.erase(&erasure(0, until.get()), &|| true).unwrap();
            assert!(matches!(outcome, EraseOutcome::Done), "{outcome:?}");
            folder.erased(until.get());
        }
    });
    history.may_erase(history.len());
    history
}

/// Once an erasure is acknowledged, no power cut brings back a byte of a post.
#[test]
fn no_power_cut_brings_back_an_erased_text() {
    let mut random = fastrand::Rng::with_seed(1);
    let folder = FragileFolder::default();
    let log = open(&folder);
    let mut history = History::of_new(&log, 1);
    for _ in 0..12 {
        history.append(&log, 5).unwrap();
    }
    let until = history.len();
    let texts: Vec<_> = (1..=until).filter(|number| is_deleted(*number)).map(text_of).collect();
    assert!(texts.iter().all(|text| has(&folder, text)));
    // The active segment is among those that are rewritten.
    assert!(matches!(history.erase(&log, 0, until), Ok(EraseOutcome::Done)));
    let erased = folder.ops();
    for _ in 0..12 {
        history.append(&log, 5).unwrap();
    }
    drop(log);
    for ops in erased..=folder.ops() {
        let cut = folder.cut(ops, &mut random);
        assert!(!texts.iter().any(|text| has(&cut, text)), "after {ops} operations");
    }
    assert!(texts.len() > 20);
}

/// A disk that fails a rewrite does no harm: the log is unchanged and usable, and the posts are
/// erased once the disk works again.
#[test]
fn a_failed_rewrite_is_discarded() {
    let kinds = [
        OpKind::Write,
        OpKind::ShortWrite,
        OpKind::SetBytes,
        OpKind::Sync,
        OpKind::Create,
        OpKind::Open,
        OpKind::Read,
    ];
    for kind in kinds {
        let mut postponed = 0;
        for after in 0.. {
            let (folder, log, made) = log_of_batches();
            folder.fail_from(kind, after, ErrorKind::Other);
            let outcome = log.erase(&erasure(0, EVENTS), &|| true);
            folder.heal();
            match outcome {
                Ok(EraseOutcome::Postponed(error)) => {
                    assert!(error.to_string().contains(".seg"), "{error}");
                    assert_eq!(log.erased_until(), Revision::ZERO);
                    assert!(!has_unfinished(&folder.names()));
                    postponed += 1;
                }
                Ok(EraseOutcome::Done) => break,
                // The note at the end could not be written.
                Err(Error::Storage { .. }) => continue,
                outcome => panic!("{outcome:?}"),
            }
            let is_whole_or_erased = |(found, event): (&Event, &Event)| {
                found == event || *found == event.clone().erased()
            };
            assert!(read(&log).iter().zip(&made).all(is_whole_or_erased));
            log.append(Revision::new(EVENTS), vec![event(EVENTS + 1, 0)]).unwrap();
            let outcome = log.erase(&erasure(0, EVENTS), &|| true).unwrap();
            assert!(matches!(outcome, EraseOutcome::Done), "{outcome:?}");
            let left = (1..).zip(made).map(|(number, event)| erased_if_deleted(number, event));
            assert_eq!(read(&log)[..EVENTS as usize], left.collect::<Vec<_>>());
        }
        assert!(postponed > 0, "{kind:?}");
    }
}

/// A stop between two segments leaves a log that can be used, and a later erasure does the rest.
#[test]
fn an_erasure_that_is_stopped_between_two_segments_is_finished_later() {
    for segments in 0..4 {
        let (folder, log, made) = log_of_batches();
        let calls = std::cell::Cell::new(0);
        let go_on = || calls.replace(calls.get() + 1) < segments;
        let outcome = log.erase(&erasure(0, EVENTS), &go_on).unwrap();
        assert!(matches!(outcome, EraseOutcome::Abandoned), "{outcome:?}");
        assert_eq!(log.erased_until(), Revision::ZERO);
        assert!(!has_unfinished(&folder.names()));
        let erased = read(&log).iter().zip(&made).filter(|(found, event)| found != event).count();
        assert_eq!(erased > 0, segments > 0);
        assert!(matches!(log.erase(&erasure(0, EVENTS), &|| true), Ok(EraseOutcome::Done)));
        let left = (1..).zip(made).map(|(number, event)| erased_if_deleted(number, event));
        assert_eq!(read(&log), left.collect::<Vec<_>>());
    }
}

/// An erasure that comes to segments without the posts already copies none of them, and can be stopped
/// while it looks.
#[test]
fn a_segment_is_rewritten_once() {
    let (folder, log, _) = log_of_batches();
    assert!(matches!(log.erase(&erasure(0, EVENTS), &|| true), Ok(EraseOutcome::Done)));
    folder.fail_from(OpKind::Create, 0, ErrorKind::Other);
    let outcome = log.erase(&erasure(0, EVENTS), &|| true);
    assert!(matches!(outcome, Ok(EraseOutcome::Done)), "{outcome:?}");
    let calls = std::cell::Cell::new(0);
    let one = Erasure { posts: vec![erasure(0, EVENTS).posts[0]], until: Revision::new(EVENTS) };
    let outcome = log.erase(&one, &|| calls.replace(calls.get() + 1) < 1);
    assert!(matches!(outcome, Ok(EraseOutcome::Abandoned)), "{outcome:?}");
}

/// If it is unknown which file a restart finds, no more changes are acknowledged.
#[test]
fn after_a_failed_exchange_nothing_is_acknowledged() {
    let mut seen = [false; 2];
    for (seed, kind) in (0..40).zip([OpKind::Rename, OpKind::FolderSync].into_iter().cycle()) {
        let (folder, log, made) = log_of_batches();
        let id = log.id();
        folder.fail_once(kind, 0, ErrorKind::Other);
        let error = log.erase(&erasure(0, EVENTS), &|| true).unwrap_err();
        assert!(matches!(error, Error::Storage { .. }), "{error}");
        let refused = log.append(Revision::new(EVENTS), vec![event(EVENTS + 1, 0)]).unwrap_err();
        assert!(matches!(refused, Error::Closed), "{refused}");
        drop(log);

        let mut random = fastrand::Rng::with_seed(seed);
        let log = open(&folder.cut(folder.ops(), &mut random));
        assert_eq!((log.id(), log.erased_until()), (id, Revision::ZERO));
        let found = read(&log);
        assert_eq!(found.len(), made.len());
        seen[usize::from(found != made)] = true;
        for ((number, event), found) in (1..).zip(made).zip(found) {
            assert!(found == event || found == erased_if_deleted(number, event));
        }
    }
    assert_eq!(seen, [true; 2], "either file is found");
}

/// The program is killed during erasures, and then left to finish one.
#[tokio::test]
async fn a_killed_compaction_is_repeated_after_a_start() {
    const LONG: u64 = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let log = LocalLog::open(folder.path(), LOG_OPTIONS).unwrap();
    let id = log.id();
    let made: Vec<_> = (1..=LONG).map(|number| event(number, 0)).collect();
    for (after, batch) in (0..).step_by(100).zip(made.chunks(100)) {
        log.append(Revision::new(after), batch.to_vec()).unwrap();
    }
    drop(log);
    let is_retracted = |number: u64| (number + 2).is_multiple_of(DELETES_EVERY);
    let left = |number, event: Event| if is_retracted(number) { event.erased() } else { event };
    for _ in 0..3 {
        let old = segments(folder.path());
        let server = ServerProcess::start_compacting(folder.path());
        let begun = || {
            let segments = segments(folder.path());
            let is_new = |(name, inode)| segments.get(name) != Some(inode);
            old.iter().any(is_new) || has_unfinished(segments.keys())
        };
        eventually("a segment to be rewritten", async || begun().then_some(())).await;
        server.kill();
        let log = LocalLog::open(folder.path(), LOG_OPTIONS).unwrap();
        assert_eq!((log.id(), log.head()), (id, Revision::new(LONG)));
        assert!(!has_unfinished(segments(folder.path()).keys()));
        let is_done = log.erased_until() > Revision::ZERO;
        for ((number, event), found) in (1..).zip(&made).zip(read(&log)) {
            let is_whole = found == *event && !(is_done && is_retracted(number));
            assert!(is_whole || found == left(number, event.clone()), "{number}");
        }
    }

    let server = ServerProcess::start_compacting(folder.path());
    let is_noted = async || has_note(folder.path()).then_some(());
    eventually("all deleted posts to be erased", is_noted).await;
    assert_eq!(server.terminate(), Some(0));
    let log = LocalLog::open(folder.path(), LOG_OPTIONS).unwrap();
    assert_eq!((log.id(), log.erased_until()), (id, Revision::new(LONG)));
    let left = (1..).zip(made).map(|(number, event)| left(number, event));
    assert!(read(&log).into_iter().eq(left));
}

/// A log of [`EVENTS`] events in several segments.
fn log_of_batches() -> (FragileFolder, LocalLog, Vec<Event>) {
    let folder = FragileFolder::default();
    let log = open(&folder);
    let made: Vec<_> = (1..=EVENTS).map(|number| event(number, 0)).collect();
    for (after, batch) in (0..).step_by(4).zip(made.chunks(4)) {
        log.append(Revision::new(after), batch.to_vec()).unwrap();
    }
    assert!(folder.names().len() > 3, "{:?}", folder.names());
    (folder, log, made)
}

fn erased_if_deleted(number: u64, event: Event) -> Event {
    if is_deleted(number) { event.erased() } else { event }
}

fn read(log: &dyn Log) -> Vec<Event> {
    let entries = log.read(Revision::ZERO, usize::MAX).unwrap();
    entries.into_iter().map(|entry| entry.event).collect()
}

fn has(folder: &FragileFolder, text: &str) -> bool {
    folder.names().iter().any(|name| contains(&folder.bytes_of(name), text.as_bytes()))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|bytes| bytes == part)
}

fn has_unfinished<'a>(names: impl IntoIterator<Item = &'a String>) -> bool {
    names.into_iter().any(|name| name.ends_with(".new"))
}

/// The files of a log of the real program, with their inodes.
fn segments(data: &Path) -> BTreeMap<String, u64> {
    let files = std::fs::read_dir(data.join("log")).unwrap().map(|entry| entry.unwrap());
    // A file may be renamed meanwhile.
    let inode = |file: std::fs::DirEntry| {
        let name = file.file_name().into_string().unwrap();
        Some((name, file.metadata().ok()?.ino()))
    };
    files.filter_map(inode).collect()
}

/// Whether a frame says that posts are erased: it is written at the end of an erasure.
fn has_note(data: &Path) -> bool {
    let names = segments(data).into_keys().rev();
    let content = |name| std::fs::read(data.join("log").join(name)).unwrap_or_default();
    names.map(content).any(|bytes| contains(&bytes, b"WFRM\x02\0\0\0"))
}
