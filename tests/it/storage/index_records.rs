//! Records that are read from the index on demand: in a damaged file they are refused, never read
//! as missing.

use std::collections::BTreeMap;

use whimbrel::config::Limits;
use whimbrel::model::{Change, Event, Revision, Timestamp, UserId};
use whimbrel::storage::{Error, Index, LocalLog, Log, Residency, Snapshot, StoredKey};

use crate::harness::blocks::reseal;
use crate::harness::{Disk, INDEX_OPTIONS, LOG_OPTIONS, MemoryFolder, load_index};

const TABLES: u8 = 2;
const SUBJECTS: u64 = 5;
const ROWS: u64 = 2_000;
/// The number of transactions that add and remove rows.
const WRITES: u64 = 40;

/// One byte of the key or the value of a row is damaged, in every page that has the row. Reads that
/// meet the row are refused, and all others are right.
#[test]
fn a_damaged_row_is_refused() {
    let mut random = fastrand::Rng::with_seed(1);
    let (log, disk, rows) = written(&mut random);
    let whole = disk.bytes();
    check(&open(&log, &whole).snapshot().unwrap(), &rows, None);

    let keys: Vec<_> = rows.keys().copied().collect();
    for attempt in 0..60 {
        let key = keys[random.usize(..keys.len())];
        let (table, subject, row_key) = key;
        let bytes = match attempt % 2 {
            0 => [&[table][..], &subject.to_le_bytes(), &row_key.to_le_bytes()].concat(),
            _ => rows[&key].to_le_bytes().to_vec(),
        };
        let at = match attempt % 2 {
            // A byte of the key that nearly keeps the order of the rows.
            0 => 9,
            _ => random.usize(..bytes.len()),
        };
        let mut damaged = whole.clone();
        let found: Vec<_> = (0..whole.len() - bytes.len())
            .filter(|&from| whole[from..].starts_with(&bytes))
            .collect();
        assert!(!found.is_empty(), "the file has the row");
        found.iter().for_each(|from| damaged[from + at] ^= 1);
        // Otherwise no row of these pages could be read.
        reseal(&mut damaged);
        let index = open(&log, &damaged);
        assert_eq!(index.complete_until(), log.head(), "opening it finds no damage");
        check(&index.snapshot().unwrap(), &rows, Some(key));
    }
}

/// Reads all rows in all ways. Reads that meet `damaged` are refused, and all others are right.
fn check(snapshot: &Snapshot, rows: &BTreeMap<StoredKey, u128>, damaged: Option<StoredKey>) {
    for table in 1..=TABLES {
        for subject in 1..=SUBJECTS {
            let expected: Vec<_> = rows
                .range((table, subject, 0)..=(table, subject, u64::MAX))
                .map(|(&(_, _, row_key), &value)| (row_key, value))
                .collect();
            let newest_first: Vec<_> = expected.iter().rev().copied().collect();
            let is_damaged = damaged.is_some_and(|(t, s, _)| (t, s) == (table, subject));
            let about = (table, subject);
            let all = usize::MAX;
            same(snapshot.records_after(about, 0, all), &expected, is_damaged);
            same(snapshot.records_before(about, u64::MAX, all), &newest_first, is_damaged);

            // By pages, and one by one: reads that do not meet the row succeed.
            let middle = ROWS / 2;
            let from = expected.partition_point(|&(row_key, _)| row_key <= middle);
            let page = &expected[from..expected.len().min(from + 7)];
            may_be_refused(snapshot.records_after(about, middle, 7), page, is_damaged);
            let until = expected.partition_point(|&(row_key, _)| row_key < middle);
            let page: Vec<_> =
                expected[until.saturating_sub(7)..until].iter().rev().copied().collect();
            may_be_refused(snapshot.records_before(about, middle, 7), &page, is_damaged);
            for row_key in (1..=ROWS).step_by(37) {
                let key = (table, subject, row_key);
                let record = snapshot.record(key, Residency::OnDisk);
                may_be_refused(record, &rows.get(&key).copied(), is_damaged);
            }
        }
    }
    if let Some(key) = damaged {
        assert_refused(snapshot.record(key, Residency::OnDisk));
    }
}

/// The read equals `expected`; or it is refused, exactly if `is_damaged`.
fn same(read: Result<Vec<(u64, u128)>, Error>, expected: &[(u64, u128)], is_damaged: bool) {
    if is_damaged {
        assert_refused(read);
    } else {
        may_be_refused(read, expected, true);
    }
}

/// The read equals `expected`; or it may be refused, if there is a reason.
fn may_be_refused<T, E>(read: Result<T, Error>, expected: &E, is_damaged: bool)
where
    T: std::borrow::Borrow<E>,
    E: PartialEq + std::fmt::Debug + ?Sized,
{
    match read {
        Ok(read) => assert_eq!(read.borrow(), expected),
        // The row after a list is read, too.
        Err(Error::Damaged { .. }) => assert!(is_damaged),
        Err(error) => panic!("{error}"),
    }
}

fn assert_refused<T: std::fmt::Debug>(read: Result<T, Error>) {
    assert!(matches!(read, Err(Error::Damaged { .. })), "{read:?}");
}

/// An index of many rows in many random transactions, and its rows.
fn written(random: &mut fastrand::Rng) -> (LocalLog, Disk, BTreeMap<StoredKey, u128>) {
    let log = LocalLog::with_folder(MemoryFolder::default(), LOG_OPTIONS).unwrap();
    let disk = Disk::default();
    let kept = Limits::default().request_id_retention;
    let opened = Index::with_files(&disk, "index", &log, INDEX_OPTIONS, kept).unwrap();
    let index = load_index(opened, &log).0;
    let mut all = BTreeMap::new();
    for number in 0..WRITES {
        let user = UserId::parse(&format!("user{number}")).unwrap();
        let change = Change::See { user, until: Revision::ZERO };
        let event = Event::new(Timestamp::from_nanos(number), change);
        log.append(log.head(), vec![event]).unwrap();
        let mut rows = index.new_rows();
        for _ in 0..200 {
            let (table, subject) = (random.u8(1..=TABLES), random.u64(1..=SUBJECTS));
            // Even numbers, so that a changed bit never makes one row of another.
            let key = (table, subject, 2 * random.u64(1..ROWS / 2));
            let value = (random.u8(..3) > 0).then(|| random.u128(..));
            rows.put_record(key, value, Residency::OnDisk);
            match value {
                Some(value) => all.insert(key, value),
                None => all.remove(&key),
            };
        }
        let chain = log.chain(log.head()).unwrap().unwrap();
        index.write(&rows, log.head(), chain).unwrap();
    }
    drop(index);
    (log, disk, all)
}

fn open(log: &LocalLog, content: &[u8]) -> Index {
    let kept = Limits::default().request_id_retention;
    let disk = Disk::holding(content.to_vec());
    load_index(Index::with_files(&disk, "index", log, INDEX_OPTIONS, kept).unwrap(), log).0
}
