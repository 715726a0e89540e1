//! The table of records that are read when they are asked for. IndexRows come and go, anywhere.
//!
//! ```text
//!   (1, 7, 3) ──▶ value, check ◀┐ the check of a row is over the key before it,
//!   (1, 7, 9) ──▶ value, check ─┘ its own key, and its value
//!   …
//!   END       ──▶ 0, check        always there
//! ```
//!
//! So a row that is not what was written is found when it is read, and one that is gone is found by
//! the row after it: whoever reads looks at that too, also to say that there is nothing. And each
//! read sees for itself that the rows it came to are on the two sides of the place it asked for.
//! What a check cannot tell is a table that is, as a whole, one of an earlier moment.

use std::ops::Bound::{Excluded, Unbounded};

use redb::{ReadableTable, Table, TableDefinition};

use super::rows::StoredKey;
use super::tables::check;

/// Key → value and check.
pub(super) const RECORDS: TableDefinition<'_, StoredKey, CheckedValue> =
    TableDefinition::new("facts");

pub(super) type CheckedValue = (u128, u64);

/// Stands for the key before the first.
const START: StoredKey = (0, 0, 0);
/// After all keys.
const END: StoredKey = (u8::MAX, u64::MAX, u64::MAX);

/// What the records of a list are about: their table, and their subject.
pub(super) type ListKey = (u8, u64);

#[derive(Clone, Copy, Debug)]
struct ChainedRow {
    key: StoredKey,
    value: u128,
    check: u64,
}

/// Puts in what every table of records has.
pub(super) fn begin(table: &mut Table<'_, StoredKey, CheckedValue>) -> Result<(), redb::Error> {
    insert(table, START, END, 0)
}

/// Makes something a record, or none.
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

/// A record, if it is one.
pub(super) fn get(
    table: &impl ReadableTable<StoredKey, CheckedValue>,
    key: StoredKey,
) -> Result<Option<u128>, redb::Error> {
    let row = first_from(table, last_below(table, key)?, key)?;
    Ok((row.key == key).then_some(row.value))
}

/// The records at places below `before`, highest first, at most `max`.
pub(super) fn list_before(
    table: &impl ReadableTable<StoredKey, CheckedValue>,
    about: ListKey,
    before: u64,
    max: usize,
) -> Result<Vec<(u64, u128)>, redb::Error> {
    let before = (about.0, about.1, before);
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
            Some(row) if row.is_about(about) && found.len() < max => newer = row,
            _ => return Ok(found),
        }
    }
}

/// The records at places above `after`, lowest first, at most `max`.
pub(super) fn list_after(
    table: &impl ReadableTable<StoredKey, CheckedValue>,
    about: ListKey,
    after: u64,
    max: usize,
) -> Result<Vec<(u64, u128)>, redb::Error> {
    let after = (about.0, about.1, after);
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
        if !row.is_about(about) || found.len() >= max {
            return Ok(found);
        }
        found.push((row.key.2, row.value));
        previous = row.key;
    }
    // There is always an end.
    Err(broken(after))
}

impl ChainedRow {
    fn is_about(&self, about: ListKey) -> bool {
        (self.key.0, self.key.1) == about
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

/// The first row from `key` on, which comes right after `previous`.
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

fn broken((table, subject, place): StoredKey) -> redb::Error {
    redb::Error::Corrupted(format!(
        "records of table {table} about {subject} at {place} are missing"
    ))
}
