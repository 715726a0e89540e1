//! An index with damaged branch pages or altered rows whose blocks pass their checks: the checks of
//! the rows find them. A read is right or refused.

use std::collections::{BTreeMap, BTreeSet};

use whimbrel::config::Limits;
use whimbrel::model::{Change, Event, Mark, MarkKind, Revision, Timestamp, UserId};
use whimbrel::storage::{Error, Index, LocalLog, Log, Residency, Snapshot, TimelineKind};

use crate::harness::blocks::{reseal, written};
use crate::harness::{Disk, INDEX_OPTIONS, LOG_OPTIONS, MemoryFolder, load_index};

const USERS: u32 = 6;
const MARKS: u64 = 6_000;
const RECORDS: u64 = 4_000;
const DAMAGES: u64 = 40;
const PAGE_BYTES: usize = 4_096;
/// The first byte of a branch page in redb's format.
const BRANCH: u8 = 2;

/// The rows that were written to an index.
#[derive(Default)]
struct WrittenRows {
    marks: BTreeMap<u32, BTreeSet<Mark>>,
    records: BTreeMap<u64, u128>,
}

/// One byte of a branch page.
#[test]
fn a_read_through_a_damaged_branch_is_refused() {
    check(|file, random| {
        let branches = |&page: &usize| file[page] == BRANCH;
        spoil(file, written(file).into_iter().filter(branches).collect(), random)
    });
}

/// One byte of any page.
#[test]
fn an_altered_row_is_refused() {
    check(|file, random| spoil(file, written(file), random));
}

/// Any page over any other, an older version of it among them, as after a write that the disk lost: the
/// checks of blocks detect each.
#[test]
fn a_page_in_the_place_of_another_is_refused() {
    check_as_it_is(|file, random| {
        let pages = written(file);
        let mut any = || pages[random.usize(..pages.len())];
        let (from, to) = (any(), any());
        let mut damaged = file.to_vec();
        damaged.copy_within(from..from + PAGE_BYTES, to);
        damaged
    });
}

/// An older version of a page over the newer one, with its checksum. Not of a branch, nor of a page with
/// the end of a list: that is a whole table, or a whole list, of an earlier state. Only the checks of
/// blocks detect all; those of rows, which this is about, detect most.
#[test]
fn an_outdated_page_is_refused() {
    check(|file, random| {
        let end_of_list = [u8::MAX; size_of::<u64>()];
        let has_end = |page: usize| {
            file[page..page + PAGE_BYTES].windows(end_of_list.len()).any(|it| it == end_of_list)
        };
        let pages = written(file).into_iter().filter(|&page| file[page] != BRANCH);
        let (ends, others): (Vec<_>, Vec<_>) = pages.partition(|&page| has_end(page));
        let from = others[random.usize(..others.len())];
        let to = random.usize(..others.len() + ends.len());
        let to = others.get(to).copied().unwrap_or_else(|| ends[to - others.len()]);
        let mut damaged = file.to_vec();
        damaged.copy_within(from..from + PAGE_BYTES, to);
        damaged
    });
}

/// Checks reads of damaged files whose blocks all have right checksums.
fn check(damage: impl Fn(&[u8], &mut fastrand::Rng) -> Vec<u8>) {
    check_as_it_is(|file, random| {
        let mut damaged = damage(file, random);
        reseal(&mut damaged);
        damaged
    });
}

/// Checks that reads of damaged files are right or refused.
fn check_as_it_is(damage: impl Fn(&[u8], &mut fastrand::Rng) -> Vec<u8>) {
    let (log, disk, written_rows) = write();
    let whole = disk.bytes();
    let index = open(&log, &whole);
    let reads = written_rows.reads(&index.snapshot().unwrap());
    assert_eq!(reads, (reads.0, 0), "no read is refused");

    let mut refused = 0;
    for seed in 0..DAMAGES {
        let damaged = damage(&whole, &mut fastrand::Rng::with_seed(seed));
        let index = open(&log, &damaged);
        if index.complete_until() == log.head()
            && let Ok(snapshot) = index.snapshot()
        {
            refused += written_rows.reads(&snapshot).1;
        }
    }
    assert!(refused > 0, "no read met the damage");
}

fn spoil(file: &[u8], pages: Vec<usize>, random: &mut fastrand::Rng) -> Vec<u8> {
    let page = pages[random.usize(..pages.len())];
    let used: Vec<_> = (page..page + PAGE_BYTES).filter(|&at| file[at] != 0).collect();
    let mut damaged = file.to_vec();
    damaged[used[random.usize(..used.len())]] ^= random.u8(1..);
    damaged
}

impl WrittenRows {
    /// Reads from random positions in both directions. Returns the numbers of right and refused
    /// reads.
    fn reads(&self, snapshot: &Snapshot) -> (usize, usize) {
        let mut outcomes = (0, 0);
        for user in 0..USERS {
            let marks: Vec<_> = self.marks[&user].iter().copied().collect();
            for revision in (0..MARKS + 100).step_by(97).map(Revision::new) {
                let (at, next) = (Mark::before(revision), Mark::before(revision).next());
                let older: Vec<_> =
                    marks.iter().rev().copied().filter(|&mark| mark < at).take(3).collect();
                let read = snapshot.newest_before(TimelineKind::Posts, user, at, 3);
                right_or_refused(read, &older, &mut outcomes);
                let newer: Vec<_> =
                    marks.iter().copied().filter(|&mark| mark > next).take(3).collect();
                let read = snapshot.oldest_after(TimelineKind::Posts, user, next, 3);
                right_or_refused(read, &newer, &mut outcomes);
            }
            let all: Vec<_> = marks.iter().rev().copied().collect();
            let read = snapshot.newest_before(TimelineKind::Posts, user, Mark::LAST, usize::MAX);
            right_or_refused(read, &all, &mut outcomes);
        }
        for key in (0..RECORDS).step_by(53) {
            let expected = self.records.get(&key).copied();
            let read = snapshot.record((1, 7, key), Residency::OnDisk);
            right_or_refused(read, &expected, &mut outcomes);
            let older: Vec<_> =
                self.records.range(..key).rev().take(3).map(|(&at, &value)| (at, value)).collect();
            right_or_refused(snapshot.records_before((1, 7), key, 3), &older, &mut outcomes);
            let newer = self.records.range(key + 1..).take(3);
            let newer: Vec<_> = newer.map(|(&at, &value)| (at, value)).collect();
            right_or_refused(snapshot.records_after((1, 7), key, 3), &newer, &mut outcomes);
        }
        outcomes
    }
}

fn right_or_refused<T: PartialEq + std::fmt::Debug>(
    read: Result<T, Error>,
    expected: &T,
    (right, refused): &mut (usize, usize),
) {
    match read {
        Ok(read) => {
            assert_eq!(read, *expected);
            *right += 1;
        }
        Err(Error::Damaged { .. }) => *refused += 1,
        Err(error) => panic!("{error}"),
    }
}

/// An index of many rows, most of them in few pages in use.
fn write() -> (LocalLog, Disk, WrittenRows) {
    let mut random = fastrand::Rng::with_seed(1);
    let log = LocalLog::with_folder(MemoryFolder::default(), LOG_OPTIONS).unwrap();
    let disk = Disk::default();
    let kept = Limits::default().request_id_retention;
    let opened = Index::with_files(&disk, "index", &log, INDEX_OPTIONS, kept).unwrap();
    let index = load_index(opened, &log).0;
    let mut written_rows = WrittenRows::default();
    for part in 0..2 {
        let user = UserId::parse("somebody").unwrap();
        let change = Change::See { user, until: Revision::ZERO };
        log.append(log.head(), vec![Event::new(Timestamp::default(), change)]).unwrap();
        let mut rows = index.new_rows();
        for user in 0..USERS {
            if part == 0 {
                rows.push_user(UserId::parse(&format!("user{user}")).unwrap());
            }
            let half = MARKS / 2;
            for revision in (1 + part * half..=(part + 1) * half).filter(|_| random.bool()) {
                let mark = Mark::new(Revision::new(revision), MarkKind::Conditional);
                rows.push_mark(TimelineKind::Posts, user, mark);
                written_rows.marks.entry(user).or_default().insert(mark);
            }
        }
        for key in 1..RECORDS {
            if random.u8(..3) == 0 {
                let value = random.u128(..);
                rows.put_record((1, 7, key), Some(value), Residency::OnDisk);
                written_rows.records.insert(key, value);
            }
        }
        let chain = log.chain(log.head()).unwrap().unwrap();
        index.write(&rows, log.head(), chain).unwrap();
    }
    drop(index);
    (log, disk, written_rows)
}

fn open(log: &LocalLog, content: &[u8]) -> Index {
    let kept = Limits::default().request_id_retention;
    let disk = Disk::holding(content.to_vec());
    load_index(Index::with_files(&disk, "index", log, INDEX_OPTIONS, kept).unwrap(), log).0
}
