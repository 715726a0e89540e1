//! The index against its log: any row that is not the one that the log gives is found, and named by its table.

use std::sync::Arc;

use whimbrel::config::Limits;
use whimbrel::model::{LogTime, Mark, MarkKind, Revision, UserId};
use whimbrel::state::{IndexCheck, State};
use whimbrel::storage::{
    Error, Index, IndexRows, IndexView, Log, LogEntry, Residency, StoredRequest, TimelineKind,
};

use crate::harness::{CountedDisk, INDEX_OPTIONS};
use crate::storage::index_bulk::log_of_any_changes;
use crate::storage::index_late::{kept, log_of};

/// So little memory for rows that a table with more than some hundred of them is in several runs.
const FEW_BYTES: usize = 4 << 10;

/// A way to make rows wrong, and the table that has them.
type Alteration = (&'static str, fn(&mut IndexRows));

const ALTERATIONS: [Alteration; 11] = [
    ("users", |rows| rows.push_user(UserId::parse("nobody").unwrap())),
    ("edges", |rows| rows.set_edge(1, 2, Some(Revision::new(7_777)))),
    ("edges", |rows| {
        let (follower, followee, _) = follow(rows);
        rows.set_edge(follower, followee, None);
    }),
    ("edges", |rows| {
        let (follower, followee, since) = follow(rows);
        rows.set_edge(follower, followee, Some(since.next()));
    }),
    ("posts_of", |rows| rows.push_mark(TimelineKind::Posts, 1, mark())),
    ("changes_of", |rows| rows.push_mark(TimelineKind::Changes, 1, mark())),
    ("facts", |rows| rows.put_record((1, 7, 7), Some(1), Residency::OnDisk)),
    ("facts", |rows| {
        let key = rows.record_keys().nth(5).unwrap().unwrap();
        rows.put_record(key, None, Residency::OnDisk);
    }),
    ("facts", |rows| {
        let key = rows.record_keys().nth(5).unwrap().unwrap();
        rows.put_record(key, Some(0), Residency::OnDisk);
    }),
    ("resident", |rows| rows.put_record((4, 7, 7), Some(1), Residency::InMemory)),
    ("requests", |rows| {
        let (hash, time) = (1, LogTime::from_nanos(1));
        rows.push_request(StoredRequest { revision: Revision::new(5), hash, time });
    }),
];

fn mark() -> Mark {
    Mark::new(Revision::new(7_777), MarkKind::Post)
}

/// A follow in the middle of all.
fn follow(rows: &IndexRows) -> (u32, u32, Revision) {
    let users = rows.next_user();
    let pairs = (0..users).flat_map(|one| (0..users).map(move |other| (one, other)));
    let found = pairs.filter_map(|(one, other)| {
        rows.edge(one, other).unwrap().flatten().map(|since| (one, other, since))
    });
    let all: Vec<_> = found.collect();
    all[all.len() / 2]
}

#[test]
fn a_wrong_row_of_any_table_is_found() {
    let index = WrittenIndex::new(log_of(400), |_| {});
    let rows = index.check(usize::MAX).unwrap();
    assert!(rows.is_some_and(|rows| rows > 400), "{rows:?}");
    for (table, alter) in ALTERATIONS {
        let error = WrittenIndex::new(log_of(400), alter).check(usize::MAX).unwrap_err();
        let Error::Damaged { what, .. } = &error else { panic!("{table}: {error}") };
        assert!(what.starts_with(&format!("its table {table} differs")), "{table}: {what}");
    }
}

/// A check that moves its rows to the disk, time and again, finds what one does that has them in memory: the same
/// number of right rows, and the same wrong one.
#[test]
fn a_check_that_spills_finds_the_same() {
    let nothing: Alteration = ("none", |_| {});
    // Many follows, and records of all kinds.
    for log in [log_of(3_000), log_of_any_changes()] {
        for (table, alter) in [nothing].into_iter().chain(ALTERATIONS) {
            let index = WrittenIndex::new(Arc::clone(&log), alter);
            let in_memory = found(index.check(usize::MAX));
            assert_eq!(index.disk.spills().len(), 0);
            let is_wrong = in_memory.contains(&format!("its table {table} differs"));
            assert_eq!(is_wrong, table != nothing.0, "{table}: {in_memory}");
            assert_eq!(found(index.check(FEW_BYTES)), in_memory, "{table}");
            let runs = index.disk.spills().len();
            assert!(runs > 8, "{table}: {runs} runs");
        }
    }
}

/// What a check found, as text.
fn found(checked: Result<Option<u64>, Error>) -> String {
    checked.map_or_else(|error| error.to_string(), |rows| format!("{} rows", rows.unwrap()))
}

/// An index, and the log that it was made from.
struct WrittenIndex {
    disk: CountedDisk,
    entries: Vec<LogEntry>,
    view: IndexView,
    /// The file is open as long as it lives.
    _state: State,
}

impl WrittenIndex {
    /// An index of `log` with altered rows.
    fn new(log: Arc<dyn Log>, alter: fn(&mut IndexRows)) -> Self {
        let disk = CountedDisk::default();
        let opened = Index::with_files(&disk, "index", &*log, INDEX_OPTIONS, kept()).unwrap();
        let state = State::load(Arc::clone(&log), opened, &Limits::default()).unwrap();
        let index = state.index().unwrap();
        let entries = log.read(Revision::ZERO, usize::MAX).unwrap();
        for entry in &entries {
            state.apply(entry.revision, &entry.event).unwrap();
        }
        let mut writing = state.write_to(index).unwrap();
        entries.iter().for_each(|entry| writing.apply(entry.revision, &entry.event).unwrap());
        let mut rows = writing.into_rows();
        alter(&mut rows);
        let chain = log.chain(log.head()).unwrap().unwrap();
        index.write(&rows, log.head(), chain).unwrap();
        let view = index.view().unwrap();
        Self { disk, entries, view, _state: state }
    }

    /// A check with so much memory for rows.
    fn check(&self, rows_bytes_max: usize) -> Result<Option<u64>, Error> {
        let mut check = IndexCheck::new(&self.view, rows_bytes_max).unwrap();
        self.entries.iter().for_each(|it| check.apply(it.revision, &it.event).unwrap());
        check.compare(&self.view, &mut |_| true)
    }
}
