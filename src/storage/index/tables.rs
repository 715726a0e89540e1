//! The index's tables: their definitions, loading the rows of a start, and adding rows.
//!
//! No function commits: a write happens in the transaction of the caller.

use std::ops::Range;

use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition,
    WriteTransaction,
};

use super::chains::{self, CHANGES_OF, POSTS_OF};
use super::edges::{self, EDGES};
use super::records::{self, RECORDS};
use super::rows::{IndexContents, IndexRows, StoredEdge, StoredKey, StoredRequest};
use crate::model::{LogTime, Mark, Revision, UserId};

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Number → name.
const USERS: TableDefinition<'_, u32, &str> = TableDefinition::new("users");
/// Author → newest mark.
const NEWEST: TableDefinition<'_, u32, u64> = TableDefinition::new("newest");
/// Upper half and lower half of the hash, nanoseconds of the log's own time.
type RequestValue = (u64, u64, u64);
/// Revision of the post → its request id.
const REQUESTS: TableDefinition<'_, u64, RequestValue> = TableDefinition::new("requests");

/// The records of [`Residency::InMemory`](super::Residency::InMemory).
pub(super) const RESIDENT: TableDefinition<'_, StoredKey, u128> = TableDefinition::new("resident");

/// Requests for which memory is reserved before they are read. The number of rows is not verified
/// by then, and may be anything.
const REQUESTS_EXPECTED_MAX: u64 = 1 << 20;
/// Edges of one chunk of the loaded edges: a MiB. A chunk has as many more as its last follower
/// has.
const CHUNK_EDGES: usize = 64 << 10;

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
pub(super) fn get(database: &Database, key: &str) -> Result<Option<u64>, redb::Error> {
    let meta = database.begin_read()?.open_table(META)?;
    Ok(meta.get(key)?.map(|value| value.value()))
}

/// The number of rows in [`USERS`].
pub(super) fn user_count(database: &Database) -> Result<u32, redb::Error> {
    let users = database.begin_read()?.open_table(USERS)?.len()?;
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

/// Reads all rows that a start loads. Gives them, and the sum of their checks and of the check of
/// `hash_key`.
///
/// The keys must rise: a later write would not find a row that is out of order.
pub(super) fn load(
    database: &Database,
    hash_key: [u64; 2],
) -> Result<(IndexContents, u64), redb::Error> {
    let transaction = database.begin_read()?;
    let mut contents = IndexContents::default();
    let mut sum = check::hash_key(hash_key);
    for row in transaction.open_table(USERS)?.iter()? {
        let (number, name) = row?;
        let (number, name) = (number.value(), name.value());
        sum = sum.wrapping_add(check::user(number, name));
        // A wrong number or an invalid name makes the sum wrong.
        if number as usize == contents.users.len()
            && let Ok(name) = UserId::parse(name)
        {
            contents.users.push(name);
        } else {
            sum = sum.wrapping_add(1);
        }
    }
    let mut chunk: Vec<StoredEdge> = Vec::with_capacity(CHUNK_EDGES);
    edges::all(&transaction.open_table(EDGES)?, |(follower, followee), since| {
        sum = sum.wrapping_add(check::edge((follower, followee), since));
        let is_of_another = chunk.last().is_some_and(|edge| edge.follower != follower);
        if chunk.len() >= CHUNK_EDGES && is_of_another {
            contents.edges.push(std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_EDGES)));
        }
        chunk.push(StoredEdge { follower, followee, since: Revision::new(since) });
    })?;
    if !chunk.is_empty() {
        contents.edges.push(chunk);
    }
    let mut last = None;
    for row in transaction.open_table(NEWEST)?.iter()? {
        let (author, mark) = row?;
        let (author, mark) = (author.value(), mark.value());
        rising(&mut last, author)?;
        sum = sum.wrapping_add(check::newest(author, mark));
        contents.newest.push((author, Mark::from_number(mark)));
    }
    let requests = transaction.open_table(REQUESTS)?;
    contents.requests.reserve_exact(requests.len()?.min(REQUESTS_EXPECTED_MAX) as usize);
    let mut last = None;
    for row in requests.iter()? {
        let (revision, request) = row?;
        rising(&mut last, revision.value())?;
        let request = self::request(revision.value(), request.value());
        sum = sum.wrapping_add(check::request(&request));
        contents.requests.push(request);
    }
    let mut last = None;
    for row in transaction.open_table(RESIDENT)?.iter()? {
        let (key, value) = row?;
        let (key, value) = (key.value(), value.value());
        rising(&mut last, key)?;
        sum = sum.wrapping_add(check::record(key, value));
        contents.records.push((key, value));
    }
    Ok((contents, sum))
}

/// Fails unless `key` is greater than `last`, which it replaces.
fn rising<K: Ord>(last: &mut Option<K>, key: K) -> Result<(), redb::Error> {
    if last.as_ref().is_some_and(|last| *last >= key) {
        return Err(redb::Error::Corrupted("its rows are out of order".to_owned()));
    }
    *last = Some(key);
    Ok(())
}

/// Adds `rows`, which it sorts, and removes the requests that `is_expired(time, now)` at the time
/// of the newest one. Updates `sum` by the rows that a start loads.
pub(super) fn add(
    transaction: &WriteTransaction,
    rows: &mut IndexRows,
    is_expired: impl Fn(LogTime, LogTime) -> bool,
    sum: &mut u64,
) -> Result<(), redb::Error> {
    rows.posts.sort_unstable();
    rows.changes.sort_unstable();
    let new_users = rows.users_from..rows.next_user();
    add_users(transaction, rows, sum)?;
    add_edges(transaction, rows, sum)?;
    add_to_chains(transaction.open_table(POSTS_OF)?, new_users.clone(), &rows.posts)?;
    add_to_chains(transaction.open_table(CHANGES_OF)?, new_users, &rows.changes)?;
    add_newest(transaction, rows, sum)?;
    add_records(transaction, rows, sum)?;
    let mut requests = transaction.open_table(REQUESTS)?;
    add_requests(&mut requests, rows, sum)?;
    match rows.requests.last() {
        Some(newest) => remove_requests(&mut requests, |time| is_expired(time, newest.time), sum),
        None => Ok(()),
    }
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
    sum: &mut u64,
) -> Result<(), redb::Error> {
    let changes = rows.edges.iter().map(|(&pair, since)| (pair, since.map(Revision::get)));
    edges::put(&mut transaction.open_table(EDGES)?, changes, |pair, before, after| {
        let check = |since: Option<u64>| since.map_or(0, |since| check::edge(pair, since));
        *sum = sum.wrapping_sub(check(before)).wrapping_add(check(after));
    })
}

fn add_newest(
    transaction: &WriteTransaction,
    rows: &IndexRows,
    sum: &mut u64,
) -> Result<(), redb::Error> {
    let mut newest = transaction.open_table(NEWEST)?;
    for of_one in rows.posts.chunk_by(|a, b| a.0 == b.0) {
        let (author, mark) = of_one[of_one.len() - 1];
        let before = newest.insert(author, mark.number())?;
        let before = before.map_or(0, |before| check::newest(author, before.value()));
        *sum = sum.wrapping_sub(before).wrapping_add(check::newest(author, mark.number()));
    }
    Ok(())
}

fn add_records(
    transaction: &WriteTransaction,
    rows: &IndexRows,
    sum: &mut u64,
) -> Result<(), redb::Error> {
    let mut on_disk = transaction.open_table(RECORDS)?;
    for (&key, &value) in &rows.records {
        records::put(&mut on_disk, key, value)?;
    }
    let mut resident = transaction.open_table(RESIDENT)?;
    for (&key, &value) in &rows.resident {
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

/// Begins the chains of `new_users`, and appends `sorted` marks.
fn add_to_chains(
    mut table: Table<'_, (u32, u64), u64>,
    new_users: Range<u32>,
    sorted: &[(u32, Mark)],
) -> Result<(), redb::Error> {
    for user in new_users {
        chains::begin(&mut table, user)?;
    }
    for of_one in sorted.chunk_by(|a, b| a.0 == b.0) {
        chains::append(&mut table, of_one[0].0, of_one.iter().map(|&(_, mark)| mark))?;
    }
    Ok(())
}

fn request(revision: u64, (upper, lower, nanos): RequestValue) -> StoredRequest {
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

    pub(super) fn user(number: u32, name: &str) -> u64 {
        mix(mix(1, u64::from(number)), u64::from(crc32fast::hash(name.as_bytes())))
    }

    pub(super) fn edge((follower, followee): (u32, u32), since: u64) -> u64 {
        mix(mix(2, u64::from(follower) << 32 | u64::from(followee)), since)
    }

    pub(super) fn newest(author: u32, mark: u64) -> u64 {
        mix(mix(3, u64::from(author)), mark)
    }

    pub(super) fn record((table, subject, position): StoredKey, value: u128) -> u64 {
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

    pub(super) fn request(request: &StoredRequest) -> u64 {
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
