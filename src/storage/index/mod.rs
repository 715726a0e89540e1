//! Tables made from the log, so that opening it costs its edges and its tail, and what is old can
//! be read without being in memory.
//!
//! ```text
//!   index.busy        while it is opened or written, see probe.rs
//!   index.redb.new    while it is rebuilt, see opener.rs
//!   index.redb
//!   ├── users       number ──▶ name                 numbers are given in the order of the log
//!   ├── edges       (follower, followee) ──▶ since
//!   ├── newest      author ──▶ mark
//!   ├── posts_of    (author, mark)  ──▶ check       read where memory ends, see chains.rs
//!   ├── changes_of  (user, mark)  ──▶ check         read where memory ends
//!   ├── records       (table, subject, place) ──▶ value, check   read where memory ends, see records.rs
//!   ├── resident    (table, subject, place) ──▶ value   what memory has whole
//!   ├── requests    revision ──▶ hash, time         as long as request ids are remembered
//!   └── meta        what log it is made from, and until where
//! ```
//!
//! The index is never the truth. It is written behind the log, and a write brings all tables from
//! one revision to another or does nothing. One that is missing, damaged, of another format, of
//! another log, or ahead of its log is rebuilt, under another name until it is whole. One that is
//! found damaged, or whose disk fails, while it is used is mended by whoever writes it.
//!
//! Nothing is read of the file but what was written there (blocks.rs). The checks of the rows are
//! for what a sound block cannot say: that it is one of an earlier moment.

mod blocks;
mod chains;
mod files;
mod health;
mod opener;
mod probe;
mod records;
mod repair;
mod rows;
mod snapshot;
mod tables;

use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use super::index::files::{BusyMark, CustomIndexFiles, FileRole, IndexFolder, OpenDatabase};
use super::index::health::IndexHealth;
pub use super::index::health::IndexLoss;
use super::index::opener::{IndexOpener, Rejection};
pub use super::index::probe::{Probe, probe_index};
pub use super::index::rows::{
    IndexContents, IndexRows, Residency, StoredEdge, StoredKey, StoredRequest,
};
pub use super::index::snapshot::Snapshot;
use super::index::tables::key;
use redb::{Database, ReadableDatabase};

use super::disk_reads::assert_disk_reads_allowed;
use super::error::Error;
use super::free_space::FreeSpace;
use super::local::StorageFiles;
use super::local::StorageOptions;
use super::log::{Log, LogEntry, codec};
use super::redb_file::{OpenFile, guarded, storage};
use crate::model::{LogTime, Revision};

const FORMAT: u64 = 3;
/// The formats before blocks had checks: the file is redb's own.
const FORMAT_WITHOUT_BLOCKS: u64 = 2;

/// The names of the files in a data folder that only a log can have left there: the one in use, and
/// one that is being made.
pub(super) const FILES: [&str; 2] = ["index.redb", "index.redb.new"];

/// The tables.
#[derive(Debug)]
pub struct Index {
    file: IndexHealth,
    opener: IndexOpener,
    hash_key: [u64; 2],
    complete_until: AtomicU64,
    /// How many users are in it.
    user_count: AtomicU32,
    /// `None` only while it is mended.
    database: RwLock<Option<OpenFile>>,
    writer: Mutex<IndexWriter>,
}

/// What only one write at a time may touch.
#[derive(Debug)]
struct IndexWriter {
    rows_sum: u64,
    place: TablesLocation,
    /// Whether it was not tried in vain.
    may_install: bool,
}

/// Where the tables are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TablesLocation {
    /// In the file in use.
    Current,
    /// In a new one, which is to take its place.
    New,
    /// In memory, where they have what the views that read them have dropped, and no more: all that
    /// comes stays with those until there is a file again.
    Memory,
}

/// An index, and what a view is loaded from: all that was in it when it was opened.
#[derive(Debug)]
pub struct OpenedIndex {
    /// The index.
    pub index: Index,
    /// What was in it.
    pub contents: IndexContents,
}

/// FileRole marks of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimelineKind {
    /// What the user published, and so on: what concerns their followers' feeds.
    Posts,
    /// What the user changed of whom they follow, and so on: what concerns their own feed alone.
    Changes,
}

impl Index {
    /// Opens the index in `dir`, which `log` holds; makes an empty one if there is none that fits
    /// `log`. If none can be made either, it is one of nothing, until it is mended. Requests are
    /// kept for `request_id_retention`.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn open(
        dir: &Path,
        log: &dyn Log,
        options: StorageOptions,
        request_id_retention: Duration,
    ) -> Result<OpenedIndex, Error> {
        Self::open_with_probe(dir, log, options, request_id_retention, None)
    }

    /// As [`Index::open`]. A file over which a process has died is first looked into by `probe`, if
    /// there is one.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn open_with_probe(
        dir: &Path,
        log: &dyn Log,
        options: StorageOptions,
        request_id_retention: Duration,
        probe: Option<Probe>,
    ) -> Result<OpenedIndex, Error> {
        let bytes_min = options.disk_free_bytes_min.saturating_mul(2);
        let files = Arc::new(IndexFolder::new(dir, options.cache_bytes, probe));
        let space = Some(Arc::new(FreeSpace::new(dir.to_owned(), bytes_min)));
        IndexOpener { files, space, request_id_retention }.open(log)
    }

    /// As [`Index::open`], on storage of the caller's, whose clones are the same storage. There is
    /// no look at free space.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn with_files(
        files: &(impl StorageFiles + Clone),
        name: &str,
        log: &dyn Log,
        options: StorageOptions,
        request_id_retention: Duration,
    ) -> Result<OpenedIndex, Error> {
        let files = Arc::new(CustomIndexFiles::new(files.clone(), name, options.cache_bytes));
        IndexOpener { files, space: None, request_id_retention }.open(log)
    }

    fn load(
        (database, damage): OpenDatabase,
        opener: &IndexOpener,
        place: TablesLocation,
        log: &dyn Log,
    ) -> Result<OpenedIndex, Rejection> {
        let which = if place == TablesLocation::New { FileRole::New } else { FileRole::Current };
        let file = opener.files.name(which);
        let database = OpenFile::closed_unwritten(database);
        let numbers = guarded(file, || IndexHeader::read(&database, file));
        let numbers = numbers.map_err(Rejection::Index)?;
        numbers.check(file, log)?;
        let loaded = guarded(file, || {
            let loaded = tables::load(&database, numbers.hash_key);
            loaded.map_err(|error| storage(file, error))
        });
        let (mut contents, rows_sum) = loaded.map_err(Rejection::Index)?;
        if rows_sum != numbers.rows_sum {
            let what = "its rows are not those that were written".to_owned();
            return Err(Rejection::Index(Error::Damaged { file: file.to_owned(), what }));
        }
        contents.complete_until = numbers.complete_until;
        let users = contents.users.len();
        let user_count = u32::try_from(users).map_err(|_| {
            let what = format!("it has {users} users");
            Rejection::Index(Error::Damaged { file: file.to_owned(), what })
        })?;
        let index = Self {
            file: IndexHealth::new(opener.files.name(FileRole::Current).to_owned(), damage),
            opener: opener.clone(),
            hash_key: numbers.hash_key,
            complete_until: AtomicU64::new(numbers.complete_until.get()),
            user_count: AtomicU32::new(user_count),
            database: RwLock::new(Some(database)),
            writer: Mutex::new(IndexWriter { rows_sum, place, may_install: true }),
        };
        Ok(OpenedIndex { index, contents })
    }

    /// All that the log says up to here is in the tables.
    #[must_use]
    pub fn complete_until(&self) -> Revision {
        Revision::new(self.complete_until.load(Ordering::Acquire))
    }

    /// The key under which requests are hashed: drawn with the index, and kept with it.
    #[must_use]
    pub fn hash_key(&self) -> [u64; 2] {
        self.hash_key
    }

    /// No rows yet, to be filled from the events after [`Index::complete_until`].
    #[must_use]
    pub fn new_rows(&self) -> IndexRows {
        IndexRows::new(self.user_count.load(Ordering::Acquire))
    }

    /// Makes `rows` durable. They are made from [`Index::new_rows`] and all events since, of which
    /// `last` is the last.
    ///
    /// # Errors
    /// [`Error::DiskFull`]: nothing was written, and a later write may succeed. Any other error:
    /// the index is not used further before it is mended.
    ///
    /// # Panics
    /// The rows do not follow on those that are there.
    pub fn write(&self, rows: &mut IndexRows, last: &LogEntry) -> Result<(), Error> {
        let mut writer = self.writer();
        self.file.check()?;
        let users_from = self.user_count.load(Ordering::Acquire);
        assert_eq!(rows.users_from, users_from, "rows that follow on others than it has");
        if let Some(space) = &self.opener.space {
            space.check()?;
        }
        let _busy = BusyMark::new(&*self.opener.files);
        let database = self.database();
        let mut rows_sum = writer.rows_sum;
        let write = || -> Result<(), redb::Error> {
            let mut transaction = opened(&database)?.begin_write()?;
            // IndexOpener after a crash then takes the same time at any size of the file.
            transaction.set_quick_repair(true);
            let kept = self.opener.request_id_retention;
            let forgotten = |time: LogTime, now| time.is_older_than(kept, now);
            tables::add(&transaction, rows, forgotten, &mut rows_sum)?;
            let check = codec::check_of(last.revision, &last.event);
            tables::put(&transaction, key::COMPLETE_UNTIL, last.revision.get())?;
            tables::put(&transaction, key::COMPLETE_CHECK, check)?;
            tables::put(&transaction, key::ROWS_SUM, rows_sum)?;
            Ok(transaction.commit()?)
        };
        self.file.guarded(write)?;
        writer.rows_sum = rows_sum;
        self.now_has(rows.next_user(), last.revision);
        Ok(())
    }

    fn now_has(&self, users: u32, complete_until: Revision) {
        self.user_count.store(users, Ordering::Release);
        self.complete_until.store(complete_until.get(), Ordering::Release);
    }

    /// The tables as they are now.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot<'_>, Error> {
        assert_disk_reads_allowed();
        // Read first: what is seen is then at least as new.
        let user_count = self.user_count.load(Ordering::Acquire);
        let complete_until = self.complete_until();
        self.file.check()?;
        let transaction = self.file.guarded(|| Ok(opened(&self.database())?.begin_read()?))?;
        Ok(Snapshot::new(&self.file, transaction, complete_until, user_count))
    }

    fn database(&self) -> RwLockReadGuard<'_, Option<OpenFile>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, IndexWriter> {
        // What a panic while writing leaves is lost, and so is not written on.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The open file, if there is one.
fn opened(database: &Option<OpenFile>) -> Result<&Database, redb::Error> {
    database.as_deref().ok_or(redb::Error::DatabaseClosed)
}

/// What an index says of itself.
#[derive(Debug)]
struct IndexHeader {
    log_id: u64,
    complete_until: Revision,
    complete_check: u64,
    hash_key: [u64; 2],
    rows_sum: u64,
}

impl IndexHeader {
    fn read(database: &Database, file: &Path) -> Result<Self, Error> {
        let number = |key: &str| -> Result<u64, Error> {
            let number = tables::get(database, key).map_err(|error| storage(file, error))?;
            let what = || format!("it does not say its {key}");
            number.ok_or_else(|| Error::Damaged { file: file.to_owned(), what: what() })
        };
        let found = number(key::FORMAT)?;
        if found != FORMAT {
            return Err(Error::OtherFormat { file: file.to_owned(), found, supported: FORMAT });
        }
        Ok(Self {
            log_id: number(key::LOG_ID)?,
            complete_until: Revision::new(number(key::COMPLETE_UNTIL)?),
            complete_check: number(key::COMPLETE_CHECK)?,
            hash_key: [number(key::HASH[0])?, number(key::HASH[1])?],
            rows_sum: number(key::ROWS_SUM)?,
        })
    }

    /// Whether it is an index of `log`, as that is now.
    fn check(&self, file: &Path, log: &dyn Log) -> Result<(), Rejection> {
        let unfit =
            |what: String| Rejection::Index(Error::OfAnotherLog { file: file.to_owned(), what });
        if self.log_id != log.id().get() {
            return Err(unfit("it was made from another log".to_owned()));
        }
        let (until, head) = (self.complete_until, log.head());
        // What is in the index was durable in the log before.
        if until > head {
            let (indexed_until, index) = (until, file.to_owned());
            return Err(Rejection::Log(Error::EndsEarly { head, indexed_until, index }));
        }
        let event = log.get(until).map_err(Rejection::Log)?;
        if event.map_or(0, |event| codec::check_of(until, &event)) != self.complete_check {
            return Err(unfit(format!("its log has another event at revision {until}")));
        }
        Ok(())
    }
}

/// Makes the tables of an index of `log` that has nothing in it, under `hash_key`.
fn begin(database: &Database, log: &dyn Log, hash_key: [u64; 2]) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    tables::make(&transaction)?;
    tables::put(&transaction, key::FORMAT, FORMAT)?;
    tables::put(&transaction, key::LOG_ID, log.id().get())?;
    tables::put(&transaction, key::COMPLETE_UNTIL, 0)?;
    tables::put(&transaction, key::COMPLETE_CHECK, 0)?;
    tables::put(&transaction, key::ROWS_SUM, tables::check::hash_key(hash_key))?;
    for (name, half) in key::HASH.into_iter().zip(hash_key) {
        tables::put(&transaction, name, half)?;
    }
    transaction.commit()?;
    Ok(())
}
