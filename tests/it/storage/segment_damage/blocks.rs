//! Blocks of a disk zeroed, and exchanged within a file and between files.

use std::collections::BTreeSet;

use super::verdict::{Case, Totals, Verdict};
use super::written_log::{CHECKPOINT, Files, LARGE, MEDIUM, Size, Stop, WrittenLog};
use crate::storage::segment_layout::{Part, frames, parts, revisions};

/// A block of a file.
type Block = (String, usize);

/// Exchanges of blocks of different files, of all that are possible.
const EXCHANGES_BETWEEN_FILES: usize = 500;

/// Sectors of a closed log.
#[test]
fn misplaced_sectors_of_a_closed_log_are_harmless_or_found() {
    damage_blocks(Stop::Closed, MEDIUM, 512);
}

/// Sectors of a log that was copied while it was open.
#[test]
fn misplaced_sectors_of_an_unclean_log_are_harmless_or_found() {
    damage_blocks(Stop::Unclean, MEDIUM, 512);
}

/// Pages of a closed log. A file of the checkpoint has two, and the first segment has one.
#[test]
fn misplaced_pages_of_a_closed_log_are_harmless_or_found() {
    damage_blocks(Stop::Closed, LARGE, 4096);
}

/// Pages of a log that was copied while it was open.
#[test]
fn misplaced_pages_of_an_unclean_log_are_harmless_or_found() {
    damage_blocks(Stop::Unclean, LARGE, 4096);
}

fn damage_blocks(stop: Stop, size: Size, block_bytes: usize) {
    let log = WrittenLog::new(stop, size, 5);
    let mut random = fastrand::Rng::with_seed(6);
    let blocks: Vec<Block> = log
        .files
        .iter()
        .flat_map(|(name, file)| {
            (0..file.len()).step_by(block_bytes).map(move |at| (name.clone(), at))
        })
        .collect();
    let mut totals = Totals::default();
    let mut judge = |kind: &str, damage: String, damaged: Files| {
        let number = random.usize(..);
        if let Some(verdict) = verdict(&log, number, damage, &damaged) {
            totals.add(kind, verdict);
        }
    };
    for (name, at) in &blocks {
        let mut damaged = log.files.clone();
        let file = damaged.get_mut(name).unwrap();
        let end = file.len().min(at + block_bytes);
        file[*at..end].fill(0);
        judge("zeroed", format!("{name} has zeros from {at} to {end}"), damaged);
    }
    let (within, mut between) = pairs(&blocks);
    fastrand::Rng::with_seed(7).shuffle(&mut between);
    between.truncate(EXCHANGES_BETWEEN_FILES);
    for (kind, pairs) in [("exchanged in a file", within), ("exchanged between files", between)] {
        for (one, other) in pairs {
            let damage = format!("{one:?} and {other:?} exchanged");
            judge(kind, damage, exchanged(&log.files, &one, &other, block_bytes));
        }
    }
    totals.print(&format!("blocks of {block_bytes} bytes, {stop:?}"));
    for kind in ["zeroed", "exchanged in a file", "exchanged between files"] {
        assert!(totals.count(kind, Verdict::Refused) > 0, "{totals:?}");
    }
    assert!(totals.all(Verdict::Right) > 0 && totals.all(Verdict::Unreadable) > 0, "{totals:?}");
}

type Pairs = Vec<(Block, Block)>;

/// All pairs of blocks of one file, and of two files.
fn pairs(blocks: &[Block]) -> (Pairs, Pairs) {
    let mut pairs = Vec::new();
    for (index, one) in blocks.iter().enumerate() {
        pairs.extend(blocks[index + 1..].iter().map(|other| (one.clone(), other.clone())));
    }
    pairs.into_iter().partition(|(one, other)| one.0 == other.0)
}

/// The files with two blocks exchanged, as far as both files go.
fn exchanged(files: &Files, one: &Block, other: &Block, block_bytes: usize) -> Files {
    let mut damaged = files.clone();
    let end = |(name, at): &Block| files[name].len().min(at + block_bytes) - at;
    let bytes = end(one).min(end(other));
    let part = |(name, at): &Block| files[name][*at..at + bytes].to_vec();
    for (to, from) in [(one, other), (other, one)] {
        damaged.get_mut(&to.0).unwrap()[to.1..to.1 + bytes].copy_from_slice(&part(from));
    }
    damaged
}

/// The verdict; `None` if nothing has changed.
fn verdict(log: &WrittenLog, number: usize, damage: String, damaged: &Files) -> Option<Verdict> {
    let changed = changed_parts(&log.files, damaged);
    if changed.is_empty() {
        return None;
    }
    let has = |name: &str| changed.iter().any(|(file, _)| file == name);
    // The slot that knows the last batches, and the last batches.
    let may_cut = has(CHECKPOINT) && has(&log.active());
    let active = frames(&log.files[&log.active()]);
    let cuts = if may_cut { active.iter().map(|it| it.first - 1).collect() } else { Vec::new() };
    // All, or some of those in the damaged files.
    let is_near = |revision: &u64| revision % 4 == number as u64 % 4;
    let near = || changed.iter().flat_map(|(name, _)| revisions(&log.files[name]));
    let near =
        (!number.is_multiple_of(16)).then(|| near().filter(is_near).collect::<BTreeSet<_>>());
    let near = near.map(|near| near.into_iter().collect());
    let case = Case { cuts, near, ..Case::new(&damage) };
    let verdict = if number % 8 < 2 {
        log.verdict_with_index(damaged, &case)
    } else {
        log.verdict(damaged, &case)
    };
    let is_harmless =
        |(_, part): &(_, Part)| matches!(part, Part::Padding | Part::Unwritten | Part::SlotRest);
    if changed.iter().all(is_harmless) {
        assert_eq!(verdict, Verdict::Right, "nothing that was written is damaged: {damage}");
    }
    Some(verdict)
}

/// The files and parts that have changed bytes.
fn changed_parts(files: &Files, damaged: &Files) -> Vec<(String, Part)> {
    let mut changed = Vec::new();
    for (name, file) in files {
        let damaged = &damaged[name];
        if file == damaged {
            continue;
        }
        let places = parts(name, file).into_iter().zip(file.iter().zip(damaged));
        changed.extend(
            places.filter(|(_, (old, new))| old != new).map(|(part, _)| (name.clone(), part)),
        );
    }
    changed.sort_unstable();
    changed.dedup();
    changed
}
