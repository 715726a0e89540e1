//! The power is cut after each operation of a log, and again while it recovers and goes on. Never
//! lets an operation fail.

use std::sync::atomic::{AtomicUsize, Ordering};

use whimbrel::storage::{EraseOutcome, LocalLog, Log};

use crate::storage::fragile_folder::FragileFolder;
use crate::storage::log_history::{Acknowledged, History, batch_events, open};

/// The number of workloads. The power is cut after each of their operations.
const SEEDS: u64 = 4;
const BATCHES: usize = 110;

/// A workload, and its folder.
struct Workload {
    folder: FragileFolder,
    history: History,
    /// The operations of the first opening. Before their end nobody has seen the log.
    first_ops: usize,
}

/// Appends of all sizes, erasures, checks, stops and starts, from the first creation of the log on.
#[test]
fn acknowledged_changes_survive_a_power_cut_after_any_operation() {
    let (cuts, segments) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for half in 0..2 {
            let (cuts, segments) = (&cuts, &segments);
            scope.spawn(move || {
                for seed in (0..SEEDS).filter(|seed| seed % 2 == half) {
                    let mut random = fastrand::Rng::with_seed(seed);
                    let workload = Workload::run(&mut random, seed);
                    segments.fetch_add(workload.folder.names().len(), Ordering::SeqCst);
                    for ops in 0..=workload.folder.ops() {
                        cuts.fetch_add(workload.cut_twice(ops, &mut random), Ordering::SeqCst);
                    }
                }
            });
        }
    });
    let (cuts, segments) = (cuts.into_inner(), segments.into_inner());
    assert!(cuts >= 4_000, "{cuts}");
    assert!(segments >= 10 * SEEDS as usize, "{segments}");
}

impl Workload {
    fn run(random: &mut fastrand::Rng, seed: u64) -> Self {
        let folder = FragileFolder::default();
        let mut log = open(&folder);
        let first_ops = folder.ops();
        let mut history = History::of_new(&log, seed);
        let mut erased_until = 0;
        for _ in 0..BATCHES {
            match random.u8(..24) {
                0..20 => {
                    history.append(&log, batch_events(random)).unwrap();
                    folder.acknowledged(history.len());
                }
                20 | 21 => log.check().unwrap(),
                22 => {
                    let until = random.u64(erased_until..=history.len());
                    erase(&mut history, &log, erased_until, until);
                    folder.erased(until);
                    erased_until = until;
                }
                _ => {
                    drop(log);
                    log = open(&folder);
                }
            }
        }
        drop(log);
        Self { folder, history, first_ops }
    }

    /// Cuts the power after `ops` operations, and once more during the recovery or after it. Returns
    /// the number of cuts.
    fn cut_twice(&self, ops: usize, random: &mut fastrand::Rng) -> usize {
        let recovering = self.folder.cut(ops, random);
        if random.u8(..4) == 0 {
            prepare(&recovering, random);
        }
        let log = open(&recovering);
        let is_creation = ops < self.first_ops;
        let mut history = if is_creation && log.id() != self.history.id() {
            History::of_new(&log, 0)
        } else {
            self.history.found(&log, Acknowledged::by(&self.folder, ops), random)
        };
        let opened = recovering.ops();
        let shown = Acknowledged::all_of(&log);
        shown.note(&recovering);
        go_on(&recovering, log, &mut history, random);

        let last = if random.bool() { opened } else { recovering.ops() };
        let ops = random.usize(..=last);
        let again = recovering.cut(ops, random);
        let acknowledged = Acknowledged::by(&recovering, ops).and(shown);
        let log = open(&again);
        if is_creation && ops < opened && log.id() != history.id() {
            // Nobody has seen the log that is lost.
            assert_eq!(log.head().get(), 0);
            return 2;
        }
        let head = history.found(&log, acknowledged, random).len();
        drop(log);
        let log = open(&again.copy());
        assert_eq!((log.id(), log.head().get()), (history.id(), head), "another start finds more");
        2
    }
}

/// Leaves segments as a thread that makes them ready does: the zeros of one may be incomplete.
fn prepare(folder: &FragileFolder, random: &mut fastrand::Rng) {
    let names = folder.names();
    let Some(newest) = names.iter().rev().find_map(|name| name.strip_suffix(".seg")) else {
        return;
    };
    let next = newest.parse::<u64>().unwrap() + 1;
    for number in next..next + random.u64(1..=2) {
        folder.put(&format!("{number:016}.seg"), vec![0; random.usize(..12 << 10)]);
    }
}

/// A recovered log can be written to.
fn go_on(folder: &FragileFolder, log: LocalLog, history: &mut History, random: &mut fastrand::Rng) {
    for _ in 0..random.usize(1..4) {
        history.append(&log, batch_events(random)).unwrap();
        folder.acknowledged(history.len());
    }
    if random.bool() {
        log.check().unwrap();
    }
    if random.u8(..4) == 0 {
        let until = history.len();
        erase(history, &log, 0, until);
        folder.erased(until);
    }
    drop(log);
}

fn erase(history: &mut History, log: &LocalLog, after: u64, until: u64) {
    let outcome = history.erase(log, after, until).unwrap();
    assert!(matches!(outcome, EraseOutcome::Done), "{outcome:?}");
}
