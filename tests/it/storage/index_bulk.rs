//! Indexes that are made at once, with rows that are spilled to the disk: they have what many small
//! writes make. Only the spilled rows are damaged here.

use std::error::Error;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use whimbrel::config::Limits;
use whimbrel::model::{Event, Mark, Revision, Timestamp};
use whimbrel::state::State;
use whimbrel::storage::{Index, LocalLog, Log, Residency, Snapshot, TimelineKind};

use crate::harness::{CountedDisk, Disk, INDEX_OPTIONS, LOG_OPTIONS, MemoryFolder, load_index};
use crate::oracle::any_change::any_change;
use crate::oracle::history::Oracle;

const USERS: usize = 9;
const EVENTS: u64 = 2_000;
/// More than all tables of records have.
const TABLES: u8 = 30;

/// How an index is written.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Events of the first write. All others are of the rest.
    first: usize,
    rest: usize,
    /// Events after which rows are spilled.
    spill_every: usize,
}

/// A random history of all kinds of changes: whether the tables are filled at once or changed by many
/// writes, from rows in memory or from runs on the disk, they have the same rows. All reads verify
/// their checks.
#[test]
fn an_index_is_the_same_however_it_is_written() {
    let log = log_of_any_changes();
    let all = EVENTS as usize;
    let expected = written(&log, Plan { first: 97, rest: 97, spill_every: all });
    for plan in [
        Plan { first: all, rest: all, spill_every: all },
        Plan { first: all, rest: all, spill_every: 900 },
        Plan { first: all, rest: all, spill_every: 170 },
        Plan { first: all / 2, rest: all, spill_every: 170 },
        Plan { first: 1, rest: all / 3, spill_every: 300 },
    ] {
        let found = written(&log, plan);
        assert!(found == expected, "{plan:?}: {}", first_difference(&found, &expected));
    }
}

/// A byte of a run that changes on the disk is noticed, by whoever reads it, and nothing is written.
#[test]
fn damaged_runs_are_refused() {
    let log = log_of_any_changes();
    let entries = log.read(Revision::ZERO, usize::MAX).unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..12 {
        let disk = CountedDisk::default();
        let retention = Limits::default().request_id_retention;
        let opened = Index::with_files(&disk, "index", &*log, INDEX_OPTIONS, retention).unwrap();
        let state = State::load(Arc::clone(&log), opened, &Limits::default()).unwrap();
        for entry in &entries {
            state.apply(entry.revision, &entry.event).unwrap();
        }
        let index = state.index().unwrap();
        let mut writing = state.write_to(index).unwrap();
        let (first, rest) = entries.split_at(entries.len() / 2);
        for entry in first {
            writing.apply(entry.revision, &entry.event).unwrap();
        }
        assert!(writing.spill().unwrap(), "the index is no table in memory");
        let damaged = damage(&disk, &mut random);
        let written = || -> Result<(), Box<dyn Error>> {
            for entry in rest {
                writing.apply(entry.revision, &entry.event)?;
            }
            Ok(index.write(&writing.into_rows(), log.head(), log.chain(log.head())?.unwrap())?)
        };
        let error = written().expect_err(&damaged).to_string();
        assert!(error.contains("other bytes than were written"), "{damaged}: {error}");
        assert_eq!(index.complete_until(), Revision::ZERO, "{damaged}");
    }
}

/// Changes a bit of a spilled row, and says which.
fn damage(disk: &CountedDisk, random: &mut fastrand::Rng) -> String {
    let spills = disk.spills();
    let number = random.usize(..spills.len());
    let file = &spills[number];
    let (at, bit) = (random.u64(..file.metadata().unwrap().len()), random.u8(..8));
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1 << bit], at).unwrap();
    format!("bit {bit} of byte {at} of file {number}")
}

/// All rows of an index that is written by `plan`, as lines.
fn written(log: &Arc<dyn Log>, plan: Plan) -> Vec<String> {
    let disk = Disk::default();
    let retention = Limits::default().request_id_retention;
    let open =
        |disk: &Disk| Index::with_files(disk, "index", &**log, INDEX_OPTIONS, retention).unwrap();
    let state = State::load(Arc::clone(log), open(&disk), &Limits::default()).unwrap();
    for entry in log.read(Revision::ZERO, usize::MAX).unwrap() {
        state.apply(entry.revision, &entry.event).unwrap();
    }
    let index = state.index().unwrap();
    let mut events = plan.first;
    while index.complete_until() < log.head() {
        let mut writing = state.write_to(index).unwrap();
        let entries = log.read(index.complete_until(), events).unwrap();
        for (number, entry) in entries.iter().enumerate() {
            writing.apply(entry.revision, &entry.event).unwrap();
            if number % plan.spill_every == plan.spill_every - 1 {
                assert!(writing.spill().unwrap(), "the index is no table in memory");
            }
        }
        let last = entries.last().unwrap().revision;
        let rows = writing.into_rows();
        index.write(&rows, last, log.chain(last).unwrap().unwrap()).unwrap();
        state.indexed(&rows, last).unwrap();
        events = plan.rest;
    }
    let mut lines = stored(&index.snapshot().unwrap());
    let (_, loaded) = load_index(open(&Disk::holding(disk.bytes())), &**log);
    lines.extend(loaded.iter().map(|piece| format!("{piece:?}")));
    lines
}

/// All rows that are read from the disk.
fn stored(snapshot: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    for user in 0..USERS as u32 {
        for kind in [TimelineKind::Posts, TimelineKind::Changes] {
            let marks = snapshot.newest_before(kind, user, Mark::LAST, usize::MAX).unwrap();
            lines.push(format!("{kind:?} of {user}: {marks:?}"));
        }
    }
    for (table, subject) in (1..TABLES).flat_map(|table| (0..=EVENTS).map(move |of| (table, of))) {
        let single = snapshot.record((table, subject, 0), Residency::OnDisk).unwrap();
        let list = snapshot.records_after((table, subject), 0, usize::MAX).unwrap();
        if single.is_some() || !list.is_empty() {
            lines.push(format!("table {table}, {subject}: {single:?}, {list:?}"));
        }
    }
    lines
}

fn first_difference(found: &[String], expected: &[String]) -> String {
    let pair = found.iter().zip(expected).find(|(found, expected)| found != expected);
    pair.map_or_else(
        || format!("{} lines instead of {}", found.len(), expected.len()),
        |(found, expected)| format!("{found}\ninstead of {expected}"),
    )
}

pub(super) fn log_of_any_changes() -> Arc<dyn Log> {
    let log = LocalLog::with_folder(MemoryFolder::default(), LOG_OPTIONS).unwrap();
    let (mut random, mut oracle) = (fastrand::Rng::with_seed(5), Oracle::default());
    while oracle.head() < EVENTS {
        if let Some(change) = any_change(&mut random, &oracle, USERS) {
            let at = oracle.push(change.clone());
            let event = Event::new(Timestamp::from_nanos(at), change);
            log.append(log.head(), vec![event]).unwrap();
        }
    }
    Arc::new(log)
}
