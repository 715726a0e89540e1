//! The index's tables: what is in them, loading all that a view needs, and adding to them.
//!
//! Every function works inside one transaction of the caller's.

use std::ops::Range;

use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition,
    WriteTransaction,
};

use super::chains::{self, CHANGES_OF, POSTS_OF};
use super::records::{self, RECORDS};
use super::rows::{IndexContents, IndexRows, StoredEdge, StoredKey, StoredRequest};
use crate::model::{LogTime, Mark, Revision, UserId};

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Number → name.
const USERS: TableDefinition<'_, u32, &str> = TableDefinition::new("users");
/// (follower, followee) → the revision at which it began.
pub(super) const EDGES: TableDefinition<'_, (u32, u32), u64> = TableDefinition::new("edges");
/// Author → newest mark.
const NEWEST: TableDefinition<'_, u32, u64> = TableDefinition::new("newest");
/// Revision → (upper half, lower half of the hash, nanoseconds of the log's own time).
const REQUESTS: TableDefinition<'_, u64, (u64, u64, u64)> = TableDefinition::new("requests");

/// The records that are kept in memory.
pub(super) const RESIDENT: TableDefinition<'_, StoredKey, u128> = TableDefinition::new("resident");

/// Requests that room is made for before they are read. The number of rows is only what the file
/// says.
const REQUESTS_EXPECTED_MAX: u64 = 1 << 20;
/// Edges in a piece of what is loaded, and as many more as its last follower has: a MiB.
const PIECE_EDGES: usize = 64 << 10;

/// The numbers in [`META`].
pub(super) mod key {
    /// The layout of the tables.
    pub(in super::super) const FORMAT: &str = "format";
    /// The log that they are made from.
    pub(in super::super) const LOG_ID: &str = "log_id";
    /// The position that they show.
    pub(in super::super) const COMPLETE_UNTIL: &str = "complete_until";
    /// A check of the event there: a restored log may have another.
    pub(in super::super) const COMPLETE_CHECK: &str = "complete_check";
    /// The two halves of the key that requests are hashed under.
    pub(in super::super) const HASH: [&str; 2] = ["hash_key_upper", "hash_key_lower"];
    /// The sum of the checks of [`HASH`] and of all rows that are loaded: bits do rot.
    pub(in super::super) const ROWS_SUM: &str = "rows_sum";
}

/// IndexHeader that stand by themselves.
pub(super) fn get(database: &Database, key: &str) -> Result<Option<u64>, redb::Error> {
    let meta = database.begin_read()?.open_table(META)?;
    Ok(meta.get(key)?.map(|value| value.value()))
}

/// How many users there are.
pub(super) fn user_count(database: &Database) -> Result<u32, redb::Error> {
    let users = database.begin_read()?.open_table(USERS)?.len()?;
    let too_many = |_| redb::Error::Corrupted(format!("it has {users} users"));
    u32::try_from(users).map_err(too_many)
}

/// Stores a number.
pub(super) fn put(
    transaction: &WriteTransaction,
    key: &str,
    value: u64,
) -> Result<(), redb::Error> {
    transaction.open_table(META)?.insert(key, value)?;
    Ok(())
}

/// Makes the tables, empty.
pub(super) fn make(transaction: &WriteTransaction) -> Result<(), redb::Error> {
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

/// Reads all that a view is loaded from, and the sum of the checks of what was read and of
/// `hash_key`. The rows must rise: one that does not is where nobody finds it, to change it.
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
        // A number out of turn, or a name that is none, is found by the sum or by the count.
        if number as usize == contents.users.len()
            && let Ok(name) = UserId::parse(name)
        {
            contents.users.push(name);
        } else {
            sum = sum.wrapping_add(1);
        }
    }
    let mut piece: Vec<StoredEdge> = Vec::with_capacity(PIECE_EDGES);
    let mut last = None;
    for row in transaction.open_table(EDGES)?.iter()? {
        let (pair, since) = row?;
        let ((follower, followee), since) = (pair.value(), since.value());
        rising(&mut last, (follower, followee))?;
        sum = sum.wrapping_add(check::edge((follower, followee), since));
        let of_another = piece.last().is_some_and(|edge| edge.follower != follower);
        if piece.len() >= PIECE_EDGES && of_another {
            contents.edges.push(std::mem::replace(&mut piece, Vec::with_capacity(PIECE_EDGES)));
        }
        piece.push(StoredEdge { follower, followee, since: Revision::new(since) });
    }
    if !piece.is_empty() {
        contents.edges.push(piece);
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

/// Notes that `key` comes next, which must be beyond the last.
fn rising<K: Ord>(last: &mut Option<K>, key: K) -> Result<(), redb::Error> {
    if last.as_ref().is_some_and(|last| *last >= key) {
        return Err(redb::Error::Corrupted("its rows are out of order".to_owned()));
    }
    *last = Some(key);
    Ok(())
}

/// Adds `rows`, sorted, and takes out the requests that are older than `forgotten` at the newest
/// one's time. Changes `sum` with what is loaded.
pub(super) fn add(
    transaction: &WriteTransaction,
    rows: &mut IndexRows,
    forgotten: impl Fn(LogTime, LogTime) -> bool,
    sum: &mut u64,
) -> Result<(), redb::Error> {
    let mut users = transaction.open_table(USERS)?;
    for (number, name) in (rows.users_from..).zip(&rows.users) {
        users.insert(number, name.as_str())?;
        *sum = sum.wrapping_add(check::user(number, name.as_str()));
    }

    let mut edges = transaction.open_table(EDGES)?;
    for (&pair, since) in &rows.edges {
        let before = match since {
            Some(since) => edges.insert(pair, since.get())?,
            None => edges.remove(pair)?,
        };
        let before = before.map_or(0, |before| check::edge(pair, before.value()));
        let after = since.map_or(0, |since| check::edge(pair, since.get()));
        *sum = sum.wrapping_sub(before).wrapping_add(after);
    }

    rows.posts.sort_unstable();
    rows.changes.sort_unstable();
    let new_users = rows.users_from..rows.next_user();
    add_to_chains(transaction.open_table(POSTS_OF)?, new_users.clone(), &rows.posts)?;
    add_to_chains(transaction.open_table(CHANGES_OF)?, new_users, &rows.changes)?;
    let mut newest = transaction.open_table(NEWEST)?;
    for of_one in rows.posts.chunk_by(|a, b| a.0 == b.0) {
        let (author, mark) = of_one[of_one.len() - 1];
        let before = newest.insert(author, mark.number())?;
        let before = before.map_or(0, |before| check::newest(author, before.value()));
        *sum = sum.wrapping_sub(before).wrapping_add(check::newest(author, mark.number()));
    }

    let mut stored = transaction.open_table(RECORDS)?;
    for (&key, &value) in &rows.records {
        records::put(&mut stored, key, value)?;
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

    let mut requests = transaction.open_table(REQUESTS)?;
    for request in &rows.requests {
        let (upper, lower) = ((request.hash >> 64) as u64, request.hash as u64);
        let value = (upper, lower, request.time.as_nanos());
        requests.insert(request.revision.get(), value)?;
        *sum = sum.wrapping_add(check::request(request));
    }
    let Some(now) = rows.requests.last().map(|newest| newest.time) else {
        return Ok(());
    };
    loop {
        let oldest = requests
            .first()?
            .map(|(revision, value)| self::request(revision.value(), value.value()));
        match oldest {
            Some(oldest) if forgotten(oldest.time, now) => {
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

/// Appends `sorted` marks, and begins the chains of `new_users`.
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

fn request(revision: u64, (upper, lower, nanos): (u64, u64, u64)) -> StoredRequest {
    StoredRequest {
        revision: Revision::new(revision),
        hash: u128::from(upper) << 64 | u128::from(lower),
        time: LogTime::from_nanos(nanos),
    }
}

/// Checks of rows, which are added up: a sum is the same in any order, and can be changed by what
/// changes.
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

    pub(super) fn record((table, subject, place): StoredKey, value: u128) -> u64 {
        let key = mix(mix(mix(5, u64::from(table)), subject), place);
        mix(mix(key, (value >> 64) as u64), value as u64)
    }

    /// Of a row that comes right after that of `previous`. Not for a sum.
    pub(in super::super) fn chained_record(
        previous: StoredKey,
        key: StoredKey,
        value: u128,
    ) -> u64 {
        mix(record(previous, 6), record(key, value))
    }

    /// Of a mark of a user's that comes right after another. Not for a sum.
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

    /// Two numbers as one in which each bit of both counts.
    fn mix(a: u64, b: u64) -> u64 {
        let product = u128::from(a ^ 0x9e37_79b9_7f4a_7c15)
            .wrapping_mul(u128::from(b ^ 0xd1b5_4a32_d192_ed03));
        (product as u64) ^ ((product >> 64) as u64).rotate_left(29) ^ b.rotate_left(17)
    }
}
