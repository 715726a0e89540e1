//! Each operation of a log fails once, or from then on. Never cuts the power before the failure: what
//! a failed operation leaves is found after a power cut, and by another process without one.

use std::io::ErrorKind;

use whimbrel::model::Revision;
use whimbrel::storage::{EraseOutcome, Error, LocalLog, Log};

use super::found;
use crate::storage::fragile_folder::{FragileFolder, OpKind};
use crate::storage::log_history::{Acknowledged, History, batch_events, try_open};

const BATCHES: usize = 20;

/// The kinds of operations, each with the errors that it fails with.
const WRITING: [(OpKind, &[ErrorKind]); 8] = [
    (OpKind::Write, &[ErrorKind::Other, ErrorKind::StorageFull]),
    (OpKind::ShortWrite, &[ErrorKind::Other, ErrorKind::StorageFull]),
    (OpKind::SetBytes, &[ErrorKind::Other]),
    (OpKind::Sync, &[ErrorKind::Other, ErrorKind::StorageFull]),
    (OpKind::Create, &[ErrorKind::Other, ErrorKind::StorageFull]),
    (OpKind::Rename, &[ErrorKind::Other]),
    (OpKind::Remove, &[ErrorKind::Other]),
    (OpKind::FolderSync, &[ErrorKind::Other, ErrorKind::StorageFull]),
];
const READING: [(OpKind, &[ErrorKind]); 3] = [
    (OpKind::Read, &[ErrorKind::Other]),
    (OpKind::Open, &[ErrorKind::Other]),
    (OpKind::List, &[ErrorKind::Other]),
];

/// What the failures did.
#[derive(Debug, Default)]
struct Seen {
    runs: usize,
    /// Failed starts.
    starts: usize,
    /// Failed appends after which the log was closed.
    appends: usize,
    /// Appends that a full disk refused.
    refused: usize,
    postponed: usize,
    /// Failed erasures after which the log was closed.
    erasures: usize,
    checks: usize,
    reads: usize,
}

/// A log on a disk that fails.
struct Run<'a> {
    folder: &'a FragileFolder,
    history: Option<History>,
    random: fastrand::Rng,
    seen: &'a mut Seen,
}

/// The log cannot be used further.
struct Ended;

/// Writes, flushes, and changes of names.
#[test]
fn after_a_failed_write_or_flush_nothing_is_acknowledged_and_nothing_is_lost() {
    let mut seen = Seen::default();
    fail_each(&WRITING, &mut seen);
    let Seen { starts, appends, refused, postponed, erasures, checks, .. } = seen;
    let each = [starts, appends, refused, postponed, erasures, checks];
    assert!(each.iter().all(|count| *count > 4) && seen.runs > 500, "{seen:?}");
}

/// Reads.
#[test]
fn a_failed_read_changes_nothing() {
    let mut seen = Seen::default();
    fail_each(&READING, &mut seen);
    assert!(seen.starts > 4 && seen.reads > 4 && seen.postponed > 4, "{seen:?}");
    // A check lists the files.
    assert_eq!((seen.appends, seen.erasures), (0, 0), "{seen:?}");
}

/// Fails each operation of each kind.
fn fail_each(kinds: &[(OpKind, &[ErrorKind])], seen: &mut Seen) {
    for (kind, errors) in kinds {
        for (error, is_once) in errors.iter().flat_map(|error| [(*error, true), (*error, false)]) {
            for after in 0.. {
                let folder = FragileFolder::default();
                match is_once {
                    true => folder.fail_once(*kind, after, error),
                    false => folder.fail_from(*kind, after, error),
                }
                if !run(&folder, seen) {
                    assert!(after > 0, "{kind:?} is no operation of a log");
                    break;
                }
            }
        }
    }
}

/// Runs a workload on a folder that fails, and opens what is left. Returns whether anything failed.
fn run(folder: &FragileFolder, seen: &mut Seen) -> bool {
    seen.runs += 1;
    let seed = seen.runs;
    // The same operations for each failure.
    let random = fastrand::Rng::with_seed(1);
    let mut run = Run { folder, history: None, random, seen };
    // It has ended, or nothing failed that matters.
    let _: Result<(), Ended> = run.workload();
    let history = run.history;
    let has_failed = folder.failures() > 0;
    folder.heal();
    let mut random = fastrand::Rng::with_seed(seed as u64);
    if random.bool() {
        find_after_restart(folder, history.as_ref(), &mut random);
    } else {
        let acknowledged = Acknowledged::by(folder, folder.ops());
        let cut = folder.cut(folder.ops(), &mut random);
        found(&cut, history.as_ref(), acknowledged, &mut random);
    }
    has_failed
}

/// Opens what is left, goes on with it, and cuts the power.
fn find_after_restart(
    folder: &FragileFolder,
    history: Option<&History>,
    random: &mut fastrand::Rng,
) {
    let acknowledged = Acknowledged::by(folder, folder.ops());
    let (log, mut history) = found(folder, history, acknowledged, random);
    Acknowledged::all_of(&log).note(folder);
    let opened = folder.ops();
    for _ in 0..2 {
        history.append(&log, batch_events(random)).unwrap();
        folder.acknowledged(history.len());
        log.check().unwrap();
    }
    drop(log);
    let ops = random.usize(opened..=folder.ops());
    let acknowledged = Acknowledged::by(folder, ops);
    found(&folder.cut(ops, random), Some(&history), acknowledged, random);
}

impl Run<'_> {
    fn workload(&mut self) -> Result<(), Ended> {
        let mut log = self.start()?;
        self.history = Some(History::of_new(&log, 1));
        for batch in 0..BATCHES {
            self.append(&log)?;
            self.read(&log);
            match batch % 9 {
                2 => self.check(&log)?,
                5 => self.erase(&log)?,
                8 => {
                    drop(log);
                    log = self.start()?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn start(&mut self) -> Result<LocalLog, Ended> {
        try_open(self.folder).map_err(|error| {
            assert!(matches!(error, Error::Storage { .. }), "{error}");
            self.seen.starts += 1;
            Ended
        })
    }

    fn history(&mut self) -> &mut History {
        self.history.as_mut().unwrap()
    }

    /// A refused append is tried again, once there is room.
    fn append(&mut self, log: &LocalLog) -> Result<(), Ended> {
        let events = batch_events(&mut self.random);
        let head = log.head();
        while let Err(error) = self.history().append(log, events) {
            assert_eq!(log.head(), head, "a failed append shows an event");
            if !matches!(error, Error::DiskFull { .. }) {
                self.seen.appends += 1;
                self.is_closed(log);
                return Err(Ended);
            }
            self.seen.refused += 1;
            self.history().take_back();
            self.folder.heal();
            self.find_unchanged(log);
        }
        let acknowledged = self.history().len();
        self.folder.acknowledged(acknowledged);
        Ok(())
    }

    fn erase(&mut self, log: &LocalLog) -> Result<(), Ended> {
        let (before, until) = (log.erased_until(), log.head());
        match self.history().erase(log, before.get(), until.get()) {
            Ok(EraseOutcome::Done) => self.folder.erased(until.get()),
            Ok(EraseOutcome::Postponed(_)) => {
                self.seen.postponed += 1;
                assert_eq!(log.erased_until(), before);
            }
            Ok(EraseOutcome::Abandoned) => panic!("nobody stopped it"),
            Err(_) => {
                self.seen.erasures += 1;
                self.is_closed(log);
                return Err(Ended);
            }
        }
        Ok(())
    }

    fn check(&mut self, log: &LocalLog) -> Result<(), Ended> {
        log.check().map_err(|_| {
            self.seen.checks += 1;
            Ended
        })
    }

    /// A read that fails is no answer.
    fn read(&mut self, log: &LocalLog) {
        let number = self.random.u64(1..=log.head().get());
        let get = log.get(Revision::new(number));
        let read = log.read(Revision::new(number - 1), 1);
        self.seen.reads += usize::from(get.is_err()) + usize::from(read.is_err());
        if let (Ok(event), Ok(entries)) = (get, read) {
            assert_eq!(event.as_ref(), entries.first().map(|entry| &entry.event));
            assert!(event.is_some());
        }
    }

    /// Nothing more is acknowledged, and what was acknowledged can be read.
    fn is_closed(&mut self, log: &LocalLog) {
        self.folder.heal();
        let batch = self.history().clone().next_batch(1);
        let refused = log.append(log.head(), batch).unwrap_err();
        assert!(matches!(refused, Error::Closed), "{refused}");
        let until = log.head().get();
        let outcome = self.history().erase(log, 0, until);
        // Without events there is nothing to erase.
        assert!(until == 0 || matches!(outcome, Ok(EraseOutcome::Abandoned)), "{outcome:?}");
        self.find_unchanged(log);
    }

    fn find_unchanged(&mut self, log: &LocalLog) {
        let acknowledged = Acknowledged::by(self.folder, self.folder.ops());
        assert_eq!(log.head().get(), acknowledged.events);
        let mut random = fastrand::Rng::with_seed(1);
        self.history().found(log, acknowledged, &mut random);
    }
}
