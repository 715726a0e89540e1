//! The table of the records that are not kept in memory. Records are set and removed at any
//! position; each list of them is sorted by position.
//!
//! ```text
//!   (1, 7, 3) ──▶ value, check ◀┐ the check of a row covers the key of the row before it,
//!   (1, 7, 9) ──▶ value, check ─┘ its own key, and its value
//!   …
//!   END       ──▶ 0, check        always exists
//! ```
//!
//! A changed row fails its check when it is read. A missing row makes the check of the next row
//! fail: each read verifies that row too, also before it answers that there is no record. Each read
//! also verifies that the rows it found are on the two sides of its position. It never detects that
//! the whole table is of an earlier state.

use std::io;
use std::ops::Bound::{self, Excluded, Unbounded};

use redb::{ReadableTable, Table, TableDefinition};

use super::rows::StoredKey;
use super::tables::check;

/// Key → value and check. Its name in the file is older than the word record.
pub(super) const RECORDS: TableDefinition<'_, StoredKey, CheckedValue> =
    TableDefinition::new("facts");

/// The value, and the check of its row.
pub(super) type CheckedValue = (u128, u64);

/// The key before the first: no row has it.
const START: StoredKey = (0, 0, 0);
/// The key of the last row.
const END: StoredKey = (u8::MAX, u64::MAX, u64::MAX);

/// The key of a list of records: its table and its subject.
pub(super) type ListKey = (u8, u64);

#[derive(Clone, Copy, Debug)]
struct ChainedRow {
    key: StoredKey,
    value: u128,
    check: u64,
}

/// Inserts the row at [`END`].
pub(super) fn begin(table: &mut Table<'_, StoredKey, CheckedValue>) -> Result<(), redb::Error> {
    insert(table, START, END, 0)
}

/// Sets the records of a table that has none; `sorted` by key, without those that have no value.
pub(super) fn fill(
    table: &mut Table<'_, StoredKey, CheckedValue>,
    sorted: impl Iterator<Item = io::Result<(StoredKey, Option<u128>)>>,
) -> Result<(), redb::Error> {
    table.remove(END)?;
    let mut end = table.upper_bound_mut(Bound::<StoredKey>::Unbounded)?;
    let mut previous = START;
    for row in sorted {
        if let (key, Some(value)) = row? {
            end.insert_before(key, (value, check::chained_record(previous, key, value)))?;
            previous = key;
        }
    }
    end.insert_before(END, (0, check::chained_record(previous, END, 0)))?;
    end.close()?;
    Ok(())
}

/// Sets the record at `key`, or removes it. The rows before and after it are verified.
pub(super) fn put(
    table: &mut Table<'_, StoredKey, CheckedValue>,
    key: StoredKey,
    value: Option<u128>,
) -> Result<(), redb::Error> {
    let previous = last_below(table, key)?;
    let row = first_from(table, previous, key)?;
    match value {
        Some(value) if row.key == key => insert(table, previous, key, value),
        Some(value) => {
            insert(table, previous, key, value)?;
            insert(table, key, row.key, row.value)
        }
        None if row.key == key => {
            let next = table.range((Excluded(key), Unbounded))?.next();
            let next = next.transpose()?.map(|row| read(&row)).ok_or_else(|| broken(key))?;
            verify(key, &next)?;
            table.remove(key)?;
            insert(table, previous, next.key, next.value)
        }
        None => Ok(()),
    }
}

/// The value of the record at `key`; `None` if there is none.
pub(super) fn get(
    table: &impl ReadableTable<StoredKey, CheckedValue>,
    key: StoredKey,
) -> Result<Option<u128>, redb::Error> {
    let row = first_from(table, last_below(table, key)?, key)?;
    Ok((row.key == key).then_some(row.value))
}

/// The records of `list` at positions below `before`, highest first, at most `max`.
pub(super) fn list_before(
    table: &impl ReadableTable<StoredKey, CheckedValue>,
    list: ListKey,
    before: u64,
    max: usize,
) -> Result<Vec<(u64, u128)>, redb::Error> {
    let before = (list.0, list.1, before);
    let mut older = table.range(..before)?.rev();
    let newer = table.range(before..)?.next();
    let mut newer = newer.transpose()?.map(|row| read(&row)).ok_or_else(|| broken(before))?;
    if newer.key < before {
        return Err(broken(before));
    }
    let mut found = Vec::new();
    loop {
        let row = older.next().transpose()?.map(|row| read(&row));
        if row.is_some_and(|row| row.key >= before) {
            return Err(broken(before));
        }
        verify(row.map_or(START, |row| row.key), &newer)?;
        if newer.key < before {
            found.push((newer.key.2, newer.value));
        }
        match row {
            Some(row) if row.is_in(list) && found.len() < max => newer = row,
            _ => return Ok(found),
        }
    }
}

/// The records of `list` at positions above `after`, lowest first, at most `max`.
pub(super) fn list_after(
    table: &impl ReadableTable<StoredKey, CheckedValue>,
    list: ListKey,
    after: u64,
    max: usize,
) -> Result<Vec<(u64, u128)>, redb::Error> {
    let after = (list.0, list.1, after);
    let previous = table.range(..=after)?.next_back().transpose()?;
    let mut previous = previous.map_or(START, |row| read(&row).key);
    if previous > after {
        return Err(broken(after));
    }
    let mut found = Vec::new();
    for row in table.range((Excluded(after), Unbounded))? {
        let row = read(&row?);
        if row.key <= after {
            return Err(broken(after));
        }
        verify(previous, &row)?;
        if !row.is_in(list) || found.len() >= max {
            return Ok(found);
        }
        found.push((row.key.2, row.value));
        previous = row.key;
    }
    // The row at END was not found.
    Err(broken(after))
}

/// All records, by rising keys.
pub(super) fn all(
    table: &impl ReadableTable<StoredKey, CheckedValue>,
) -> Result<impl Iterator<Item = Result<(StoredKey, u128), redb::Error>>, redb::Error> {
    let mut rows = table.iter()?;
    let mut previous = Some(START);
    Ok(std::iter::from_fn(move || {
        let before = previous?;
        let mut next = || {
            let row = rows.next().transpose()?.map(|row| read(&row));
            let row = row.ok_or_else(|| broken(END))?;
            verify(before, &row)?;
            Ok(row)
        };
        match next() {
            Ok(row) if row.key == END => {
                previous = None;
                None
            }
            Ok(row) => {
                previous = Some(row.key);
                Some(Ok((row.key, row.value)))
            }
            Err(error) => Some(Err(error)),
        }
    }))
}

impl ChainedRow {
    fn is_in(&self, list: ListKey) -> bool {
        (self.key.0, self.key.1) == list
    }
}

/// The last key below `key`.
fn last_below(
    table: &impl ReadableTable<StoredKey, CheckedValue>,
    key: StoredKey,
) -> Result<StoredKey, redb::Error> {
    let row = table.range(..key)?.next_back().transpose()?;
    let below = row.map_or(START, |row| read(&row).key);
    if below < key { Ok(below) } else { Err(broken(key)) }
}

/// The first row from `key` on, verified to follow `previous`.
fn first_from(
    table: &impl ReadableTable<StoredKey, CheckedValue>,
    previous: StoredKey,
    key: StoredKey,
) -> Result<ChainedRow, redb::Error> {
    let row = table.range(key..)?.next().transpose()?;
    let row = row.map(|row| read(&row)).filter(|row| row.key >= key);
    let row = row.ok_or_else(|| broken(key))?;
    verify(previous, &row)?;
    Ok(row)
}

fn read(
    (key, stored): &(redb::AccessGuard<'_, StoredKey>, redb::AccessGuard<'_, CheckedValue>),
) -> ChainedRow {
    let (key, (value, check)) = (key.value(), stored.value());
    ChainedRow { key, value, check }
}

/// Fails if the check of `row` does not cover `previous` as the key before it.
fn verify(previous: StoredKey, row: &ChainedRow) -> Result<(), redb::Error> {
    let is_whole = check::chained_record(previous, row.key, row.value) == row.check;
    if is_whole { Ok(()) } else { Err(broken(row.key)) }
}

fn insert(
    table: &mut Table<'_, StoredKey, CheckedValue>,
    previous: StoredKey,
    key: StoredKey,
    value: u128,
) -> Result<(), redb::Error> {
    table.insert(key, (value, check::chained_record(previous, key, value)))?;
    Ok(())
}

fn broken((table, subject, position): StoredKey) -> redb::Error {
    redb::Error::Corrupted(format!(
        "records of table {table} and subject {subject} at {position} are missing"
    ))
}
