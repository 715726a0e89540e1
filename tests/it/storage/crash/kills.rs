//! The process is killed after each operation, another one goes on with what it finds, and then the
//! power is cut. What a process wrote is read by the next one, whether it is durable or not. Never
//! kills a real process: `histories` does.

use whimbrel::storage::{LocalLog, Log};

use super::{found, step, workload};
use crate::storage::fragile_folder::FragileFolder;
use crate::storage::log_history::{Acknowledged, History};

/// The number of workloads, each of which is killed after each of its operations.
const SEEDS: u64 = 2;
/// Power cuts after each kill.
const CUTS: usize = 2;

/// All that the second process shows survives the power cut: it is durable, whichever process wrote
/// it.
#[test]
fn what_a_start_after_a_kill_shows_survives_a_power_cut() {
    let (mut kills, mut shown_unflushed) = (0, 0);
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        for after in 0.. {
            let folder = FragileFolder::default();
            folder.kill_after(after, random.bool());
            let history = workload(&folder, seed);
            let is_complete = folder.failures() == 0;
            folder.heal();
            shown_unflushed += u64::from(restart(&folder, history, &mut random));
            kills += 1;
            if is_complete {
                break;
            }
        }
    }
    assert!(kills > 400, "{kills}");
    assert!(shown_unflushed > 20, "{shown_unflushed}");
}

/// Opens what the killed process left, goes on, and cuts the power at some moments from then on. In
/// some cases more processes are killed before. Returns whether the first one left a batch that was
/// not acknowledged.
fn restart(folder: &FragileFolder, history: Option<History>, random: &mut fastrand::Rng) -> bool {
    let acknowledged = folder.acknowledged_by(folder.ops());
    let (mut log, mut history) = find(folder, history.as_ref(), random);
    let has_more = history.len() > acknowledged;
    for _ in 0..random.usize(..3) {
        folder.kill_after(random.usize(..25), random.bool());
        while step(&mut history, folder, &log, random).is_ok() {}
        drop(log);
        folder.heal();
        (log, history) = find(folder, Some(&history), random);
    }
    let opened = folder.ops();
    log.check().unwrap();
    for _ in 0..3 {
        step(&mut history, folder, &log, random).unwrap();
    }
    drop(log);
    for _ in 0..CUTS {
        let ops = random.usize(opened..=folder.ops());
        found(&folder.cut(ops, random), Some(&history), Acknowledged::by(folder, ops), random);
    }
    has_more
}

/// Opens what a killed process left. All that it shows counts as acknowledged.
fn find(
    folder: &FragileFolder,
    history: Option<&History>,
    random: &mut fastrand::Rng,
) -> (LocalLog, History) {
    let acknowledged = Acknowledged::by(folder, folder.ops());
    let (log, history) = found(folder, history, acknowledged, random);
    Acknowledged::all_of(&log).note(folder);
    (log, history)
}
