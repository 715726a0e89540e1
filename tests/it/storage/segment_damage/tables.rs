//! Entries of the tables of a sealed segment that lead to other records and frames than their own.

use std::ops::Range;

use super::verdict::{Case, Totals, Verdict};
use super::written_log::{MEDIUM, SMALL, Size, Stop, WrittenLog};
use crate::storage::segment_layout::{Part, is_sealed, parts};

/// Bytes of an offset.
const OFFSET_BYTES: usize = 4;

/// Each entry of the table of records has the offset of any other record. No event is read in the
/// place of another.
#[test]
fn an_entry_of_another_record_is_found() {
    let totals = misdirect(SMALL, Part::RecordTable, Part::RecordTable);
    assert_eq!(totals.all(Verdict::Right) + totals.all(Verdict::Refused), 0, "{totals:?}");
    assert!(totals.all(Verdict::Unreadable) > 20, "{totals:?}");
}

/// Each entry of the table of frames has the offset of any other frame. A chain is computed from the
/// wrong frame only if that is before the event, and then it is the same.
#[test]
fn an_entry_of_another_frame_is_harmless_or_found() {
    let totals = misdirect(MEDIUM, Part::FrameTable, Part::FrameTable);
    assert!(totals.all(Verdict::Right) + totals.all(Verdict::Unreadable) > 50, "{totals:?}");
    assert_eq!(totals.all(Verdict::Refused), 0, "{totals:?}");
}

/// Each entry of one table has any offset of the other.
#[test]
fn an_entry_of_the_other_table_is_harmless_or_found() {
    for (table, other) in
        [(Part::RecordTable, Part::FrameTable), (Part::FrameTable, Part::RecordTable)]
    {
        let totals = misdirect(SMALL, table, other);
        assert!(totals.all(Verdict::Unreadable) > 10, "{totals:?}");
    }
}

/// Puts each other entry of `source` in the place of each entry of `table`.
fn misdirect(size: Size, table: Part, source: Part) -> Totals {
    let log = WrittenLog::new(Stop::Closed, size, 40);
    let mut totals = Totals::default();
    for (name, file) in log.files.iter().filter(|(_, file)| is_sealed(file)) {
        for entry in entries(name, file, table) {
            for other in entries(name, file, source) {
                if file[entry.clone()] == file[other.clone()] {
                    continue;
                }
                let mut damaged = log.files.clone();
                let offset = file[other.clone()].to_vec();
                damaged.get_mut(name).unwrap()[entry.clone()].copy_from_slice(&offset);
                let damage = format!("{table:?} of {name}: {entry:?} is the entry at {other:?}");
                totals.add(name, log.verdict(&damaged, &Case::new(damage)));
            }
        }
    }
    totals.print(&format!("entries of {table:?} from {source:?}"));
    totals
}

/// The bytes of each entry of a table.
fn entries(name: &str, file: &[u8], table: Part) -> Vec<Range<usize>> {
    let parts = parts(name, file);
    let bytes: Vec<_> = (0..file.len()).filter(|&at| parts[at] == table).collect();
    bytes.iter().step_by(OFFSET_BYTES).map(|&at| at..at + OFFSET_BYTES).collect()
}
