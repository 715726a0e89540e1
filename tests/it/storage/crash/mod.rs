//! Power cuts, killed processes and failing disks: what was acknowledged is found, once and in
//! order, whatever happened to unflushed writes. Never damages what is durable.
//!
//! With those of the erasures and of the index the power is cut at more than 8,000 points.

mod engines;
mod faults;
mod full_disk;
mod kills;
mod power_cuts;
mod programs;
mod starts;
mod torn_batches;

use whimbrel::storage::{EraseOutcome, Error, LocalLog, Log};

use super::fragile_folder::FragileFolder;
use super::log_history::{Acknowledged, History, batch_events, open, try_open};

/// The number of batches of [`workload`].
const BATCHES: usize = 24;

/// Writes a new log, with all that is done to one, until it is killed or at its end. `None` if it was not
/// opened.
fn workload(folder: &FragileFolder, seed: u64) -> Option<History> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut log = try_open(folder).ok()?;
    let mut history = History::of_new(&log, seed);
    for batch in 0..BATCHES {
        if step(&mut history, folder, &log, &mut random).is_err() {
            return Some(history);
        }
        if batch % 8 == 7 {
            drop(log);
            let Ok(opened) = try_open(folder) else { return Some(history) };
            log = opened;
        }
    }
    Some(history)
}

/// Appends a batch, and does something else in some cases.
fn step(
    history: &mut History,
    folder: &FragileFolder,
    log: &LocalLog,
    random: &mut fastrand::Rng,
) -> Result<(), Error> {
    history.append(log, batch_events(random))?;
    folder.acknowledged(history.len());
    if random.u8(..4) == 0 {
        log.check()?;
    }
    if random.u8(..6) == 0 {
        let (after, until) = (folder.erased_by(folder.ops()), history.len());
        if let EraseOutcome::Done = history.erase(log, after, until)? {
            folder.erased(until);
        }
    }
    Ok(())
}

/// Opens the log in `folder` and checks it. Without a history nobody has seen an event.
fn found(
    folder: &FragileFolder,
    history: Option<&History>,
    acknowledged: Acknowledged,
    random: &mut fastrand::Rng,
) -> (LocalLog, History) {
    let log = open(folder);
    let history = match history {
        Some(history) => history.found(&log, acknowledged, random),
        None => History::of_new(&log, 0),
    };
    (log, history)
}
