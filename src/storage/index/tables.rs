//! The index's tables: their definitions, and adding rows. What a start loads is in loading.rs.
//!
//! No function commits: a write happens in the transaction of the caller.

use std::io;

use redb::{
    ReadTransaction, ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction,
};

use super::chains::{self, CHANGES_OF, POSTS_OF};
use super::edges::{self, EDGES};
use super::records::{self, RECORDS};
use super::rows::{IndexRows, StoredKey, StoredRequest};
use crate::model::{LogTime, Revision};

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Number → name.
pub(super) const USERS: TableDefinition<'_, u32, &str> = TableDefinition::new("users");
/// Author → newest mark.
pub(super) const NEWEST: TableDefinition<'_, u32, u64> = TableDefinition::new("newest");
/// Upper half and lower half of the hash, nanoseconds of the log's own time.
pub(super) type RequestValue = (u64, u64, u64);
/// Revision of the post → its request id.
pub(super) const REQUESTS: TableDefinition<'_, u64, RequestValue> =
    TableDefinition::new("requests");

/// The records of [`Residency::InMemory`](super::Residency::InMemory).
pub(super) const RESIDENT: TableDefinition<'_, StoredKey, u128> = TableDefinition::new("resident");

/// The keys of [`META`].
pub(super) mod key {
    /// The layout of the tables.
    pub(in super::super) const FORMAT: &str = "format";
    /// The id of the log that the index is built from.
    pub(in super::super) const LOG_ID: &str = "log_id";
    /// The last revision in the tables.
    pub(in super::super) const COMPLETE_UNTIL: &str = "complete_until";
    /// A check of the event at that revision: a restored log may have another event there.
    pub(in super::super) const COMPLETE_CHECK: &str = "complete_check";
    /// The two halves of the hash key of request ids.
    pub(in super::super) const HASH: [&str; 2] = ["hash_key_upper", "hash_key_lower"];
    /// The sum of the checks of [`HASH`] and of all rows that a start loads, see [`super::check`].
    pub(in super::super) const ROWS_SUM: &str = "rows_sum";
}

/// A number in [`META`]; `None` if it is missing.
pub(super) fn get(transaction: &ReadTransaction, key: &str) -> Result<Option<u64>, redb::Error> {
    let meta = transaction.open_table(META)?;
    Ok(meta.get(key)?.map(|value| value.value()))
}

/// The number of rows in [`USERS`].
pub(super) fn user_count(transaction: &ReadTransaction) -> Result<u32, redb::Error> {
    let users = transaction.open_table(USERS)?.len()?;
    let too_many = |_| redb::Error::Corrupted(format!("it has {users} users"));
    u32::try_from(users).map_err(too_many)
}

/// Sets a number in [`META`].
pub(super) fn put(
    transaction: &WriteTransaction,
    key: &str,
    value: u64,
) -> Result<(), redb::Error> {
    transaction.open_table(META)?.insert(key, value)?;
    Ok(())
}

/// Creates the empty tables.
pub(super) fn create(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(USERS)?;
    transaction.open_table(EDGES)?;
    transaction.open_table(NEWEST)?;
    transaction.open_table(POSTS_OF)?;
    transaction.open_table(CHANGES_OF)?;
    transaction.open_table(REQUESTS)?;
    records::begin(&mut transaction.open_table(RECORDS)?)?;
    transaction.open_table(RESIDENT)?;
    Ok(())
}

/// Adds `rows`, and removes the requests that `is_expired(time, now)` at the time of the newest one.
/// Updates `sum` by the rows that a start loads. `is_first` if the tables are empty: then they are
/// filled in order, which writes each page once. Leaves out the rest of the rows once it
/// `is_cancelled`; then the transaction must not be committed.
pub(super) fn add(
    transaction: &WriteTransaction,
    rows: &IndexRows,
    is_first: bool,
    is_expired: impl Fn(LogTime, LogTime) -> bool,
    is_cancelled: &dyn Fn() -> bool,
    sum: &mut u64,
) -> Result<(), redb::Error> {
    let new_users = rows.users_from..rows.next_user();
    debug_assert!(!is_first || new_users.start == 0, "empty tables have no user");
    add_users(transaction, rows, sum)?;
    add_edges(transaction, rows, is_first, is_cancelled, sum)?;
    let add_to_chains = if is_first { chains::fill } else { chains::extend };
    let mut newest = transaction.open_table(NEWEST)?;
    let mut posts = transaction.open_table(POSTS_OF)?;
    let marks = &mut until(rows.posts.iter(), is_cancelled);
    add_to_chains(&mut posts, new_users.clone(), marks, &mut |author, mark| {
        let before = newest.insert(author, mark)?;
        let before = before.map_or(0, |before| check::newest(author, before.value()));
        *sum = sum.wrapping_sub(before).wrapping_add(check::newest(author, mark));
        Ok(())
    })?;
    let mut changes = transaction.open_table(CHANGES_OF)?;
    let marks = &mut until(rows.changes.iter(), is_cancelled);
    add_to_chains(&mut changes, new_users, marks, &mut |_, _| Ok(()))?;
    add_records(transaction, rows, is_first, is_cancelled, sum)?;
    let mut requests = transaction.open_table(REQUESTS)?;
    add_requests(&mut requests, rows, sum)?;
    match rows.requests.last() {
        Some(newest) => remove_requests(&mut requests, |time| is_expired(time, newest.time), sum),
        None => Ok(()),
    }
}

/// `rows` until it `is_cancelled`.
fn until<T>(
    rows: impl Iterator<Item = io::Result<T>>,
    is_cancelled: &dyn Fn() -> bool,
) -> impl Iterator<Item = io::Result<T>> {
    rows.take_while(|_| !is_cancelled())
}

fn add_users(
    transaction: &WriteTransaction,
    rows: &IndexRows,
    sum: &mut u64,
) -> Result<(), redb::Error> {
    let mut users = transaction.open_table(USERS)?;
    for (number, name) in (rows.users_from..).zip(&rows.users) {
        users.insert(number, name.as_str())?;
        *sum = sum.wrapping_add(check::user(number, name.as_str()));
    }
    Ok(())
}

fn add_edges(
    transaction: &WriteTransaction,
    rows: &IndexRows,
    is_first: bool,
    is_cancelled: &dyn Fn() -> bool,
    sum: &mut u64,
) -> Result<(), redb::Error> {
    let changes = until(rows.edges.iter(), is_cancelled);
    let check = |pair, since: Option<u64>| since.map_or(0, |since| check::edge(pair, since));
    let mut edges = transaction.open_table(EDGES)?;
    if is_first {
        return edges::fill(&mut edges, changes, |pair, since| {
            *sum = sum.wrapping_add(check(pair, Some(since)));
        });
    }
    edges::put(&mut edges, changes, |pair, before, after| {
        *sum = sum.wrapping_sub(check(pair, before)).wrapping_add(check(pair, after));
    })
}

fn add_records(
    transaction: &WriteTransaction,
    rows: &IndexRows,
    is_first: bool,
    is_cancelled: &dyn Fn() -> bool,
    sum: &mut u64,
) -> Result<(), redb::Error> {
    let mut on_disk = transaction.open_table(RECORDS)?;
    let records = until(rows.records.iter(), is_cancelled);
    match is_first {
        true => records::fill(&mut on_disk, records)?,
        false => {
            for row in records {
                let (key, value) = row?;
                records::put(&mut on_disk, key, value)?;
            }
        }
    }
    let mut resident = transaction.open_table(RESIDENT)?;
    for row in rows.resident.iter() {
        let (key, value) = row?;
        let before = match value {
            Some(value) => resident.insert(key, value)?,
            None => resident.remove(key)?,
        };
        let before = before.map_or(0, |before| check::record(key, before.value()));
        let after = value.map_or(0, |value| check::record(key, value));
        *sum = sum.wrapping_sub(before).wrapping_add(after);
    }
    Ok(())
}

fn add_requests(
    requests: &mut Table<'_, u64, RequestValue>,
    rows: &IndexRows,
    sum: &mut u64,
) -> Result<(), redb::Error> {
    for request in &rows.requests {
        let (upper, lower) = ((request.hash >> 64) as u64, request.hash as u64);
        let value = (upper, lower, request.time.as_nanos());
        requests.insert(request.revision.get(), value)?;
        *sum = sum.wrapping_add(check::request(request));
    }
    Ok(())
}

/// Removes the oldest requests up to the first that is not expired.
fn remove_requests(
    requests: &mut Table<'_, u64, RequestValue>,
    is_expired: impl Fn(LogTime) -> bool,
    sum: &mut u64,
) -> Result<(), redb::Error> {
    loop {
        let oldest = requests
            .first()?
            .map(|(revision, value)| self::request(revision.value(), value.value()));
        match oldest {
            Some(oldest) if is_expired(oldest.time) => {
                if requests.remove(oldest.revision.get())?.is_none() {
                    let what = format!("request {} is not found again", oldest.revision);
                    return Err(redb::Error::Corrupted(what));
                }
                *sum = sum.wrapping_sub(check::request(&oldest));
            }
            _ => return Ok(()),
        }
    }
}

pub(super) fn request(revision: u64, (upper, lower, nanos): RequestValue) -> StoredRequest {
    StoredRequest {
        revision: Revision::new(revision),
        hash: u128::from(upper) << 64 | u128::from(lower),
        time: LogTime::from_nanos(nanos),
    }
}

/// Checks of rows, to be added up. A sum does not depend on the order of the rows, and is updated
/// by the rows that change. It finds rotten bits, and never says in which row.
pub(super) mod check {
    use super::{StoredKey, StoredRequest};

    pub(in super::super) fn user(number: u32, name: &str) -> u64 {
        mix(mix(1, u64::from(number)), u64::from(crc32fast::hash(name.as_bytes())))
    }

    pub(in super::super) fn edge((follower, followee): (u32, u32), since: u64) -> u64 {
        mix(mix(2, u64::from(follower) << 32 | u64::from(followee)), since)
    }

    pub(in super::super) fn newest(author: u32, mark: u64) -> u64 {
        mix(mix(3, u64::from(author)), mark)
    }

    pub(in super::super) fn record((table, subject, position): StoredKey, value: u128) -> u64 {
        let key = mix(mix(mix(5, u64::from(table)), subject), position);
        mix(mix(key, (value >> 64) as u64), value as u64)
    }

    /// The check of a record that follows the row of `previous`. Never part of a sum.
    pub(in super::super) fn chained_record(
        previous: StoredKey,
        key: StoredKey,
        value: u128,
    ) -> u64 {
        mix(record(previous, 6), record(key, value))
    }

    /// The check of a user's mark that follows another. Never part of a sum.
    pub(in super::super) fn chained_mark(user: u32, previous: u64, mark: u64) -> u64 {
        mix(mix(mix(7, u64::from(user)), previous), mark)
    }

    pub(in super::super) fn hash_key([upper, lower]: [u64; 2]) -> u64 {
        mix(mix(8, upper), lower)
    }

    pub(in super::super) fn request(request: &StoredRequest) -> u64 {
        let hash = mix((request.hash >> 64) as u64, request.hash as u64);
        mix(mix(mix(4, request.revision.get()), hash), request.time.as_nanos())
    }

    /// Mixes two numbers into one that depends on every bit of both.
    fn mix(a: u64, b: u64) -> u64 {
        let product = u128::from(a ^ 0x9e37_79b9_7f4a_7c15)
            .wrapping_mul(u128::from(b ^ 0xd1b5_4a32_d192_ed03));
        (product as u64) ^ ((product >> 64) as u64).rotate_left(29) ^ b.rotate_left(17)
    }
}
