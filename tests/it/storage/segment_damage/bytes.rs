//! Single bytes changed, and files truncated: at every byte of every part of a small log.

use std::ops::Range;

use super::verdict::{Case, Totals, Verdict};
use super::written_log::{CHECKPOINT, Files, SMALL, Stop, WrittenLog};
use crate::storage::segment_layout::{Part, frames, is_sealed, parts, revisions};

/// Changes of bytes in each file, at least.
const CHANGES: usize = 2_000;
/// Truncations of each file, at least, if it is so long.
const TRUNCATIONS: usize = 500;

/// What a file is to its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Sealed,
    /// Full, and without a foot.
    Unsealed,
    Active,
    Prepared,
    Checkpoint,
}

/// A byte in any part of a closed log is changed.
#[test]
fn a_changed_byte_of_a_closed_log_is_harmless_or_found() {
    change_bytes(Stop::Closed);
}

/// A byte in any part of a log is changed that was copied while it was open.
#[test]
fn a_changed_byte_of_an_unclean_log_is_harmless_or_found() {
    change_bytes(Stop::Unclean);
}

/// Damage to the last batch, of which the checkpoint does not know, looks like a torn write: exactly
/// that batch is cut off. The index knows better. All other damage is found.
#[test]
fn only_a_last_batch_without_checkpoint_may_be_cut_off() {
    let totals = change_bytes(Stop::BeforeCheckpoint);
    assert!(totals.all(Verdict::Cut) > 100, "{totals:?}");
}

/// Without any checkpoint, too: a damaged frame before a whole one is never taken for a torn write.
#[test]
fn without_a_checkpoint_only_the_last_batch_may_be_cut_off() {
    let totals = change_bytes(Stop::WithoutCheckpoint);
    assert!(totals.all(Verdict::Cut) > 100, "{totals:?}");
}

/// A closed log with a file of any shorter length.
#[test]
fn a_truncated_file_of_a_closed_log_is_harmless_or_found() {
    truncate_files(Stop::Closed);
}

/// A log that was copied while it was open, with a file of any shorter length.
#[test]
fn a_truncated_file_of_an_unclean_log_is_harmless_or_found() {
    truncate_files(Stop::Unclean);
}

fn change_bytes(stop: Stop) -> Totals {
    let log = WrittenLog::new(stop, SMALL, 1);
    let may_lack_events = matches!(stop, Stop::BeforeCheckpoint | Stop::WithoutCheckpoint);
    let mut random = fastrand::Rng::with_seed(2);
    let mut totals = Totals::default();
    for (name, file) in &log.files {
        let (role, parts) = (role(&log, name), parts(name, file));
        if may_lack_events && !matches!(role, Role::Active | Role::Checkpoint) {
            // All else is as in a closed log.
            continue;
        }
        let last_batch = last_batch(&log, name, file);
        let places = places(&parts, &mut random);
        assert!(places.len() >= CHANGES, "{name}");
        for (number, &at) in places.iter().enumerate() {
            // One bit, or any.
            let change =
                if number.is_multiple_of(2) { 1 << random.u8(..8) } else { random.u8(1..) };
            let mut damaged = log.files.clone();
            damaged.get_mut(name).unwrap()[at] ^= change;
            let may_cut = may_lack_events && last_batch.contains(&at);
            let damage = format!("{change:#x} at byte {at} of {name}, {role:?} {:?}", parts[at]);
            let cuts = if may_cut { vec![log.before_last_batch] } else { Vec::new() };
            let case = Case { cuts, ..Case::new(damage) };
            let verdict = verdict(&log, number, name, &damaged, case);
            let expected = if may_cut && harms(parts[at]) {
                &[Verdict::Cut][..]
            } else {
                after_change(role, parts[at])
            };
            let part = parts[at];
            assert!(expected.contains(&verdict), "{verdict:?}: byte {at} of {name}, {part:?}");
            totals.add(format!("{role:?} {part:?}"), verdict);
        }
    }
    totals.print(&format!("bytes, {stop:?}"));
    assert!(totals.all(Verdict::Refused) > 500 && totals.all(Verdict::Right) > 300, "{totals:?}");
    totals
}

fn truncate_files(stop: Stop) {
    let log = WrittenLog::new(stop, SMALL, 3);
    let mut random = fastrand::Rng::with_seed(4);
    let mut totals = Totals::default();
    for (name, file) in &log.files {
        let (role, parts) = (role(&log, name), parts(name, file));
        let lengths: Vec<_> = if file.len() < 3 * TRUNCATIONS {
            (0..file.len()).collect()
        } else {
            (0..TRUNCATIONS).map(|_| random.usize(..file.len())).collect()
        };
        assert!(lengths.len() >= TRUNCATIONS, "{name}");
        for (number, &length) in lengths.iter().enumerate() {
            let mut damaged = log.files.clone();
            damaged.get_mut(name).unwrap().truncate(length);
            let part = parts[length];
            let case = Case::new(format!("{name}, {role:?}, ends at {length} in {part:?}"));
            let verdict = verdict(&log, number, name, &damaged, case);
            let expected = after_truncation(role, &parts, length);
            assert_eq!(verdict, expected, "{name}, {role:?}, ends at {length} in {part:?}");
            totals.add(format!("{role:?} {part:?}"), verdict);
        }
    }
    totals.print(&format!("truncations, {stop:?}"));
    assert!(totals.all(Verdict::Refused) > 500 && totals.all(Verdict::Right) > 300, "{totals:?}");
}

/// The verdict on a log with a damaged file: with all reads, an append and an index for some of the
/// cases, with the reads that need the file for the others.
fn verdict(log: &WrittenLog, number: usize, name: &str, damaged: &Files, case: Case) -> Verdict {
    if number.is_multiple_of(64) {
        log.verdict_with_index(damaged, &case)
    } else if number.is_multiple_of(8) {
        log.verdict(damaged, &case)
    } else {
        let near = revisions(&log.files[name]).collect();
        log.verdict(damaged, &Case { near: Some(near), ..case })
    }
}

/// Every byte of every part that is written, several times, and some of the others.
fn places(parts: &[Part], random: &mut fastrand::Rng) -> Vec<usize> {
    let is_field = |&at: &usize| !matches!(parts[at], Part::Unwritten | Part::SlotRest);
    let fields: Vec<_> = (0..parts.len()).filter(is_field).collect();
    let mut places: Vec<_> = [&fields[..], &fields[..]].concat();
    let others = CHANGES.saturating_sub(places.len()).max(200);
    places.extend((0..others).map(|_| random.usize(..parts.len())));
    places
}

/// The bytes of the last frame of the segment that is written to.
fn last_batch(log: &WrittenLog, name: &str, file: &[u8]) -> Range<usize> {
    let last = frames(file).pop().filter(|_| name == log.active());
    last.map_or(0..0, |frame| frame.bytes)
}

fn role(log: &WrittenLog, name: &str) -> Role {
    match name {
        CHECKPOINT => Role::Checkpoint,
        name if name == log.prepared() => Role::Prepared,
        name if name == log.active() => Role::Active,
        name if is_sealed(&log.files[name]) => Role::Sealed,
        _ => Role::Unsealed,
    }
}

/// Whether a change of such a byte damages a segment without a foot.
fn harms(part: Part) -> bool {
    !matches!(part, Part::Padding | Part::Unwritten)
}

/// What may become of a log after the change of such a byte.
fn after_change(role: Role, part: Part) -> &'static [Verdict] {
    match (role, part) {
        (Role::Checkpoint | Role::Prepared, _) => &[Verdict::Right],
        (Role::Unsealed | Role::Active, part) if harms(part) => &[Verdict::Refused],
        (Role::Unsealed | Role::Active, _) => &[Verdict::Right],
        // The foot is written again: the frames have all that it says.
        (Role::Sealed, Part::Padding | Part::Foot) => &[Verdict::Right],
        (Role::Sealed, Part::Head | Part::EpochTable) => &[Verdict::Refused],
        // A search in the table may pass by the damage.
        (Role::Sealed, Part::FrameTable) => &[Verdict::Right, Verdict::Unreadable],
        (Role::Sealed, _) => &[Verdict::Unreadable],
    }
}

/// What becomes of a log whose file ends at `length`.
fn after_truncation(role: Role, parts: &[Part], length: usize) -> Verdict {
    let is_harmless = |part: &Part| match role {
        Role::Checkpoint | Role::Prepared => true,
        Role::Unsealed => !harms(*part),
        // The last record is read with the zeros after it.
        Role::Active => *part == Part::Unwritten,
        Role::Sealed => matches!(
            part,
            Part::Padding | Part::RecordTable | Part::FrameTable | Part::EpochTable | Part::Foot
        ),
    };
    if parts[length..].iter().all(is_harmless) { Verdict::Right } else { Verdict::Refused }
}
