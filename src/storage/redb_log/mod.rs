//! The log of earlier versions, in one file of redb: `log.redb`, in the data folder. It is only read,
//! to be taken over by the log in segments, and never written to.
//!
//! ```text
//!   log    revision ──▶ record, keys 1, 2, 3 … without a gap
//!   meta   "format" ──▶ 1 or 2,  "log_id" ──▶ random,  "erased_until" ──▶ revision
//! ```

mod record;

use std::fs::File;
use std::path::{Path, PathBuf};

use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use super::error::Error;
use super::redb_file::{OpenFile, builder, guarded, storage};
use super::unwritten::UnwrittenFile;
use crate::formats::{LOG_FILE, OtherFormat};
use crate::model::{Event, LogId, Revision};

/// The name of the file.
pub(super) const FILE: &str = "log.redb";
/// The names of files that an interrupted creation or compaction left.
pub(super) const UNFINISHED_FILES: [&str; 2] = ["log.redb.new", "log.redb.compacted"];

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Memory for pages of the file: it is read once, from the beginning to the end.
const CACHE_BYTES: usize = 16 << 20;

/// The open file.
#[derive(Debug)]
pub(super) struct RedbLog {
    database: OpenFile,
    file: PathBuf,
    pub(super) id: LogId,
    pub(super) head: Revision,
    pub(super) erased_until: Revision,
}

impl RedbLog {
    /// Opens the file.
    ///
    /// # Errors
    /// It is damaged, of another format, or cannot be read.
    pub(super) fn open(file: &Path) -> Result<Self, Error> {
        guarded(file, || {
            // redb notes in a file that it is open, and repairs one that was not closed: a version that
            // is refused stays as it is.
            let backend = File::open(file).and_then(UnwrittenFile::new);
            let backend = backend.map_err(|error| storage(file, error))?;
            let database = builder(CACHE_BYTES).create_with_backend(backend);
            let database = OpenFile::closed_unwritten(database.map_err(|it| storage(file, it))?);
            let (id, erased_until) = identity(&database, file)?;
            let head = continuous_head(&database, file)?;
            Ok(Self { database, file: file.to_owned(), id, head, erased_until })
        })
    }

    /// The events after `after`, in order, at most `events_max`. Fewer only at the end.
    ///
    /// # Errors
    /// The file is damaged or cannot be read.
    pub(super) fn read(&self, after: Revision, events_max: usize) -> Result<Vec<Event>, Error> {
        let failed = |error: redb::Error| storage(&self.file, error);
        guarded(&self.file, || {
            let transaction = self.database.begin_read().map_err(|error| failed(error.into()))?;
            let table = transaction.open_table(LOG).map_err(|error| failed(error.into()))?;
            let first = after.next().get();
            let rows = table.range(first..).map_err(|error| failed(error.into()))?;
            let event = |(expected, row): (u64, Result<_, redb::StorageError>)| {
                let (revision, record): (redb::AccessGuard<'_, u64>, redb::AccessGuard<'_, &[u8]>) =
                    row.map_err(|error| failed(error.into()))?;
                if revision.value() != expected {
                    return Err(gap(&self.file, expected));
                }
                let decoded = record::decode(Revision::new(expected), record.value());
                decoded.map_err(|what| Error::Damaged { file: self.file.clone(), what })
            };
            (first..).zip(rows).take(events_max).map(event).collect()
        })
    }
}

/// The log's id, and up to where posts are erased.
fn identity(database: &OpenFile, file: &Path) -> Result<(LogId, Revision), Error> {
    let read = || -> Result<Option<[Option<u64>; 3]>, redb::Error> {
        let transaction = database.begin_read()?;
        if transaction.list_tables()?.next().is_none() {
            return Ok(None);
        }
        let meta = transaction.open_table(META)?;
        let stored = |key: &str| meta.get(key).map(|found| found.map(|value| value.value()));
        Ok(Some([stored("format")?, stored("log_id")?, stored("erased_until")?]))
    };
    let damaged = |what: &str| Err(Error::Damaged { file: file.to_owned(), what: what.to_owned() });
    match read().map_err(|error| storage(file, error))? {
        None => damaged("it has no table of a log"),
        Some([Some(found), ..]) if !LOG_FILE.reads(found) => {
            let other = OtherFormat::new(&LOG_FILE, found);
            Err(Error::OtherFormat { file: file.to_owned(), other })
        }
        Some([Some(_), Some(id), erased_until]) => {
            Ok((LogId::new(id), Revision::new(erased_until.unwrap_or_default())))
        }
        Some([Some(_), None, _] | [None, ..]) => damaged("it has no format or no log id"),
    }
}

/// The newest revision. Fails if a revision below it is missing.
fn continuous_head(database: &OpenFile, file: &Path) -> Result<Revision, Error> {
    let read = || -> Result<(u64, u64, u64), redb::Error> {
        let table = database.begin_read()?.open_table(LOG)?;
        let first = table.first()?.map_or(1, |(revision, _)| revision.value());
        let head = table.last()?.map_or(0, |(revision, _)| revision.value());
        Ok((first, head, table.len()?))
    };
    let (first, head, events) = read().map_err(|error| storage(file, error))?;
    if first != 1 {
        return Err(gap(file, 1));
    }
    if events != head {
        let what = format!("it ends at revision {head} but has {events} events");
        return Err(Error::Damaged { file: file.to_owned(), what });
    }
    Ok(Revision::new(head))
}

fn gap(file: &Path, missing: u64) -> Error {
    Error::Damaged { file: file.to_owned(), what: format!("revision {missing} is missing") }
}
