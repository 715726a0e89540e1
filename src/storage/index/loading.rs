//! Reading the rows that a start loads, as a stream of pieces, so that what is in memory besides the
//! state does not grow with the index.
//!
//! ```text
//!   reading thread: blocks ──▶ rows, verified ──▶ pieces ──▶ calling thread: the state
//!                                             at most PIECES_MAX
//! ```
//!
//! Whether all rows are as they were written is known only at the end, by their sum. Until then each
//! row is valid by itself: its users exist. Never changes a file.

use std::panic::resume_unwind;
use std::sync::mpsc::sync_channel;
use std::thread;

use redb::{ReadTransaction, ReadableDatabase, ReadableTable};

use super::edges::{self, EDGES};
use super::files::BusyMark;
use super::rows::{LoadedRows, StoredEdge};
use super::tables::{self, NEWEST, REQUESTS, RESIDENT, USERS, check};
use super::{Index, OpenedIndex, opened};
use crate::model::{Mark, Revision, UserId};
use crate::storage::error::Error;
use crate::storage::log::Log;
use crate::storage::redb_file::{guarded, storage};

/// Rows of a piece: at most 128 KiB. A piece of edges has as many more as its last follower has.
const PIECE_ROWS: usize = 4_096;
/// Pieces that are read and not yet taken: the two threads seldom wait for each other.
const PIECES_MAX: usize = 8;

/// What the rows must agree with.
struct Expected {
    users: u32,
    hash_key: [u64; 2],
    rows_sum: u64,
}

impl OpenedIndex {
    /// The last revision in the tables of the file that is read first.
    #[must_use]
    pub fn complete_until(&self) -> Revision {
        self.index.complete_until()
    }

    /// Reads all rows that a start loads, and passes them to `add` in pieces, with what `begin` made
    /// for the index. A file whose rows are damaged is not used: then the next one is read, into
    /// what `begin` makes for that.
    ///
    /// # Errors
    /// The log cannot be read, or ends before the index does.
    pub fn load<T>(
        mut self,
        log: &dyn Log,
        begin: impl Fn(&Index) -> T,
        add: impl Fn(&mut T, LoadedRows),
    ) -> Result<(Index, T), Error> {
        loop {
            let mut loaded = begin(&self.index);
            match self.index.read_rows(|rows| add(&mut loaded, rows)) {
                Ok(()) => return Ok((self.into_index(), loaded)),
                Err(error) => {
                    drop(loaded);
                    self = self.next(&error, log)?;
                }
            }
        }
    }
}

impl Index {
    /// Reads all rows on a thread of its own, and passes them to `add` on this one.
    fn read_rows(&self, mut add: impl FnMut(LoadedRows)) -> Result<(), Error> {
        let file = self.opener.files.name(self.writer().location.file_role());
        let expected = Expected {
            users: self.new_rows().next_user(),
            hash_key: self.hash_key,
            rows_sum: self.writer().rows_sum,
        };
        let _busy = BusyMark::new(&*self.opener.files);
        let (pieces, received) = sync_channel(PIECES_MAX);
        thread::scope(|scope| {
            let reader = scope.spawn(move || {
                guarded(file, || {
                    // A receiver that is gone has panicked, which the scope passes on.
                    let send = |rows| drop(pieces.send(rows));
                    let database = self.database();
                    let read = opened(&database)
                        .and_then(|file| read_all(&file.begin_read()?, &expected, send));
                    read.map_err(|error| storage(file, error))
                })
            });
            received.into_iter().for_each(&mut add);
            reader.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }
}

/// Checks the rows that a start loads, as it does.
pub(super) fn check_sum(
    transaction: &ReadTransaction,
    users: u32,
    hash_key: [u64; 2],
    rows_sum: u64,
) -> Result<(), redb::Error> {
    read_all(transaction, &Expected { users, hash_key, rows_sum }, drop)
}

/// Passes all rows to `each`, once they are known to agree with `expected`; the records of
/// [`Residency::InMemory`](super::Residency::InMemory) only after all others do, too.
///
/// The keys must rise: a later write would not find a row that is out of order.
fn read_all(
    transaction: &ReadTransaction,
    expected: &Expected,
    mut each: impl FnMut(LoadedRows),
) -> Result<(), redb::Error> {
    let mut sum = check::hash_key(expected.hash_key);
    read_users(transaction, expected, &mut sum, &mut each)?;
    read_edges(transaction, expected, &mut sum, &mut each)?;
    read_newest(transaction, expected, &mut sum, &mut each)?;
    read_requests(transaction, &mut sum, &mut each)?;
    // Twice, because nothing limits the numbers in a record that is not verified.
    read_records(transaction, &mut sum, |_| ())?;
    if sum != expected.rows_sum {
        return Err(redb::Error::Corrupted("its rows fail their check".to_owned()));
    }
    read_records(transaction, &mut sum, each)
}

fn read_users(
    transaction: &ReadTransaction,
    expected: &Expected,
    sum: &mut u64,
    each: impl FnMut(LoadedRows),
) -> Result<(), redb::Error> {
    let users = transaction.open_table(USERS)?;
    let mut count = 0;
    let rows = (0..).zip(users.iter()?).map(|(next, row)| {
        let (number, name) = row?;
        let (number, name) = (number.value(), name.value());
        *sum = sum.wrapping_add(check::user(number, name));
        count += 1;
        let valid = UserId::parse(name).ok().filter(|_| number == next);
        valid.ok_or_else(|| redb::Error::Corrupted(format!("user {next} is not in its place")))
    });
    in_pieces(rows, LoadedRows::Users, each)?;
    // Later rows may be of all of them.
    if count == expected.users { Ok(()) } else { Err(no_such_user()) }
}

fn read_edges(
    transaction: &ReadTransaction,
    expected: &Expected,
    sum: &mut u64,
    mut each: impl FnMut(LoadedRows),
) -> Result<(), redb::Error> {
    let table = transaction.open_table(EDGES)?;
    let mut piece: Vec<StoredEdge> = Vec::with_capacity(PIECE_ROWS);
    edges::all(&table, |(follower, followee), since| {
        *sum = sum.wrapping_add(check::edge((follower, followee), since));
        if follower.max(followee) >= expected.users {
            return Err(no_such_user());
        }
        let is_of_another = piece.last().is_some_and(|edge| edge.follower != follower);
        if piece.len() >= PIECE_ROWS && is_of_another {
            let next = Vec::with_capacity(PIECE_ROWS);
            each(LoadedRows::Edges(std::mem::replace(&mut piece, next)));
        }
        piece.push(StoredEdge { follower, followee, since: Revision::new(since) });
        Ok(())
    })?;
    if !piece.is_empty() {
        each(LoadedRows::Edges(piece));
    }
    Ok(())
}

fn read_newest(
    transaction: &ReadTransaction,
    expected: &Expected,
    sum: &mut u64,
    each: impl FnMut(LoadedRows),
) -> Result<(), redb::Error> {
    let newest = transaction.open_table(NEWEST)?;
    let mut last = None;
    let rows = newest.iter()?.map(|row| {
        let (author, mark) = row?;
        let (author, mark) = (author.value(), mark.value());
        rising(&mut last, author)?;
        *sum = sum.wrapping_add(check::newest(author, mark));
        if author >= expected.users {
            return Err(no_such_user());
        }
        Ok((author, Mark::from_number(mark)))
    });
    in_pieces(rows, LoadedRows::Newest, each)
}

fn read_requests(
    transaction: &ReadTransaction,
    sum: &mut u64,
    each: impl FnMut(LoadedRows),
) -> Result<(), redb::Error> {
    let requests = transaction.open_table(REQUESTS)?;
    let mut last = None;
    let rows = requests.iter()?.map(|row| {
        let (revision, request) = row?;
        rising(&mut last, revision.value())?;
        let request = tables::request(revision.value(), request.value());
        *sum = sum.wrapping_add(check::request(&request));
        Ok(request)
    });
    in_pieces(rows, LoadedRows::Requests, each)
}

fn read_records(
    transaction: &ReadTransaction,
    sum: &mut u64,
    each: impl FnMut(LoadedRows),
) -> Result<(), redb::Error> {
    let records = transaction.open_table(RESIDENT)?;
    let mut last = None;
    let rows = records.iter()?.map(|row| {
        let (key, value) = row?;
        let (key, value) = (key.value(), value.value());
        rising(&mut last, key)?;
        *sum = sum.wrapping_add(check::record(key, value));
        Ok((key, value))
    });
    in_pieces(rows, LoadedRows::Records, each)
}

/// Passes `rows` to `each`, [`PIECE_ROWS`] at once.
fn in_pieces<T>(
    rows: impl Iterator<Item = Result<T, redb::Error>>,
    of: fn(Vec<T>) -> LoadedRows,
    mut each: impl FnMut(LoadedRows),
) -> Result<(), redb::Error> {
    let mut piece = Vec::new();
    for row in rows {
        piece.push(row?);
        if piece.len() == PIECE_ROWS {
            each(of(std::mem::replace(&mut piece, Vec::with_capacity(PIECE_ROWS))));
        }
    }
    if !piece.is_empty() {
        each(of(piece));
    }
    Ok(())
}

/// Fails unless `key` is greater than `last`, which it replaces.
fn rising<K: Ord>(last: &mut Option<K>, key: K) -> Result<(), redb::Error> {
    if last.as_ref().is_some_and(|last| *last >= key) {
        return Err(redb::Error::Corrupted("its rows are out of order".to_owned()));
    }
    *last = Some(key);
    Ok(())
}

fn no_such_user() -> redb::Error {
    redb::Error::Corrupted("a row is of a user that it does not have".to_owned())
}
