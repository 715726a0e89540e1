//! The index against its log: any row that is not the one that the log gives is found, and named by its table.

use std::sync::Arc;

use whimbrel::config::Limits;
use whimbrel::model::{LogTime, Mark, MarkKind, Revision, UserId};
use whimbrel::state::{IndexCheck, State};
use whimbrel::storage::{Error, Index, IndexRows, Log, Residency, StoredRequest, TimelineKind};

use crate::harness::{Disk, INDEX_OPTIONS};
use crate::storage::index_late::{kept, log_of};

/// A way to make rows wrong, and the table that has them.
type Alteration = (&'static str, fn(&mut IndexRows));

const ALTERATIONS: [Alteration; 9] = [
    ("users", |rows| rows.push_user(UserId::parse("nobody").unwrap())),
    ("edges", |rows| rows.set_edge(1, 2, Some(Revision::new(7_777)))),
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

#[test]
fn a_wrong_row_of_any_table_is_found() {
    let log = log_of(400);
    let rows = checked(&log, |_| {}).unwrap();
    assert!(rows.is_some_and(|rows| rows > 400), "{rows:?}");
    for (table, alter) in ALTERATIONS {
        let error = checked(&log, alter).unwrap_err();
        let Error::Damaged { what, .. } = &error else { panic!("{table}: {error}") };
        assert!(what.starts_with(&format!("its table {table} differs")), "{table}: {what}");
    }
}

/// A check of an index of `log` with altered rows.
fn checked(log: &Arc<dyn Log>, alter: fn(&mut IndexRows)) -> Result<Option<u64>, Error> {
    let disk = Disk::default();
    let opened = Index::with_files(&disk, "index", &**log, INDEX_OPTIONS, kept()).unwrap();
    let state = State::load(Arc::clone(log), opened, &Limits::default()).unwrap();
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
    let mut check = IndexCheck::new(&view).unwrap();
    entries.iter().for_each(|entry| check.apply(entry.revision, &entry.event).unwrap());
    check.compare(&view, &mut |_| true)
}
