//! A start after a power cut or a kill fails, is killed or loses power itself, at each of its
//! operations. Never changes an event.

use std::io::ErrorKind;

use whimbrel::storage::Error;

use super::{found, workload};
use crate::storage::fragile_folder::{FragileFolder, OpKind};
use crate::storage::log_history::{Acknowledged, History, try_open};

/// The number of folders that a cut leaves, and of those that a kill leaves.
const FOLDERS: usize = 12;

const KINDS: [OpKind; 11] = [
    OpKind::Read,
    OpKind::Write,
    OpKind::ShortWrite,
    OpKind::SetBytes,
    OpKind::Sync,
    OpKind::Create,
    OpKind::Open,
    OpKind::Rename,
    OpKind::Remove,
    OpKind::List,
    OpKind::FolderSync,
];

/// A folder in which a log was written, and what is known of it.
struct Left {
    folder: FragileFolder,
    history: Option<History>,
    acknowledged: Acknowledged,
}

/// What interrupts a start.
#[derive(Clone, Copy, Debug)]
enum Interruption {
    Fault(OpKind),
    Kill { is_within_write: bool },
}

/// After each interruption another start finds the same, and so does one after a power cut.
#[test]
fn an_interrupted_start_can_be_repeated() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut interrupted = [0; 2];
    for number in 0..FOLDERS {
        let (seed, after) = (number as u64 % 3, random.usize(20..90));
        let cut = cut_folder(seed, after, &mut random);
        let copy = || Left { folder: cut.folder.copy(), history: cut.history.clone(), ..cut };
        interrupted[0] += interrupt(&copy, &mut random);
        let is_within_write = random.bool();
        interrupted[1] += interrupt(&|| killed_folder(seed, after, is_within_write), &mut random);
    }
    assert!(interrupted.iter().all(|starts| *starts > 250), "{interrupted:?}");
}

/// A folder after a power cut, all of it durable.
fn cut_folder(seed: u64, ops: usize, random: &mut fastrand::Rng) -> Left {
    let folder = FragileFolder::default();
    let history = workload(&folder, seed);
    let acknowledged = Acknowledged::by(&folder, ops);
    Left { folder: folder.cut(ops, random), history, acknowledged }
}

/// A folder after a kill, not all of it durable.
fn killed_folder(seed: u64, after: usize, is_within_write: bool) -> Left {
    let folder = FragileFolder::default();
    folder.kill_after(after, is_within_write);
    let history = workload(&folder, seed);
    folder.heal();
    let acknowledged = Acknowledged::by(&folder, folder.ops());
    Left { folder, history, acknowledged }
}

/// Interrupts a start in such a folder at each operation. Returns the number of interruptions.
fn interrupt(left: &dyn Fn() -> Left, random: &mut fastrand::Rng) -> usize {
    let kills = [true, false].map(|is_within_write| Interruption::Kill { is_within_write });
    let mut interrupted = 0;
    for interruption in KINDS.map(Interruption::Fault).into_iter().chain(kills) {
        for after in 0.. {
            let left = left();
            let before = left.folder.failures();
            match interruption {
                Interruption::Fault(kind) => left.folder.fail_once(kind, after, ErrorKind::Other),
                Interruption::Kill { is_within_write } => {
                    left.folder.kill_after(after, is_within_write);
                }
            }
            match try_open(&left.folder) {
                Ok(log) => drop(log),
                Err(error) => assert!(matches!(error, Error::Storage { .. }), "{error}"),
            }
            let was_interrupted = left.folder.failures() > before;
            left.folder.heal();
            left.check(random);
            if !was_interrupted {
                break;
            }
            interrupted += 1;
        }
    }
    interrupted
}

impl Left {
    fn check(self, random: &mut fastrand::Rng) {
        let Self { folder, history, acknowledged } = self;
        if random.bool() {
            found(&folder.cut(folder.ops(), random), history.as_ref(), acknowledged, random);
            return;
        }
        let (log, history) = found(&folder, history.as_ref(), acknowledged, random);
        let shown = Acknowledged::all_of(&log);
        found(&folder.cut(folder.ops(), random), Some(&history), shown, random);
    }
}
