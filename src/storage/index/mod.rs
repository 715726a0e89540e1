//! The index: tables that are built from the log. With them a start reads the follows and the end
//! of the log instead of all of it, and old data is read from the disk instead of kept in memory.
//!
//! ```text
//!   index.busy        exists while a file is opened or written, see probe.rs
//!   index.redb.new    a rebuild that is not complete, see opener.rs
//!   index.redb
//!   ├── users       number ──▶ name                 numbers are given in the order of the log
//!   ├── edges       (follower, least followee) ──▶ followees, each with since
//!   ├── newest      author ──▶ mark
//!   ├── posts_of    (author, mark)  ──▶ check       read where memory ends, see chains.rs
//!   ├── changes_of  (user, mark)  ──▶ check         read where memory ends
//!   ├── facts       (table, subject, position) ──▶ value, check    the records that are read where
//!   │                                               memory ends, see records.rs
//!   ├── resident    (table, subject, position) ──▶ value    the records that memory has all of
//!   ├── requests    revision ──▶ hash, time         for as long as request ids are remembered
//!   └── meta        the header: format, log id, last revision, sums
//! ```
//!
//! The index is never the source of truth. It is written after the log, and one write moves all
//! tables from one revision to another, or changes nothing. An index that is missing, damaged, of
//! another format or of another log is rebuilt, in a second file until it is complete. An index
//! that fails while it is used is repaired by its writer:
//!
//! ```text
//!   in use ── an operation fails ──▶ lost ── reopened, or replaced by a rebuild ──▶ in use
//! ```
//!
//! Every read verifies the block that it reads (blocks.rs). The checks of rows find what a valid
//! block cannot show: that it belongs to an earlier state of the file.

mod blocks;
mod chains;
mod comparing;
mod edges;
mod files;
mod health;
mod loading;
mod opener;
mod probe;
mod records;
mod repair;
mod rows;
mod runs;
mod snapshot;
mod tables;

use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

pub use super::index::comparing::{ExpectedRows, IndexView};
pub use super::index::files::StorageFiles;
use super::index::files::{BusyMark, CustomIndexFiles, FileRole, IndexFolder, OpenDatabase};
use super::index::health::IndexHealth;
pub use super::index::health::IndexLoss;
use super::index::opener::{IndexCandidate, IndexOpener, IndexRejection};
pub use super::index::probe::{Probe, probe_index};
pub use super::index::rows::{
    IndexRows, LoadedRows, Residency, StoredEdge, StoredKey, StoredRequest,
};
pub use super::index::snapshot::Snapshot;
use super::index::tables::key;
use redb::{Database, ReadTransaction, ReadableDatabase};

use super::disk_reads::assert_disk_reads_allowed;
use super::error::Error;
use super::free_space::{DiskReserve, FreeSpace};
use super::log::Log;
use super::redb_file::{OpenFile, guarded, storage};
use crate::formats::{INDEX, OtherFormat};
use crate::model::{Chain, LogTime, Revision};

/// The names of the current file and of a new one. Both are derived from a log.
pub(super) const FILES: [&str; 2] = ["index.redb", "index.redb.new"];

/// The index leaves so many times the reserve of the log free, so that it never takes its space.
const RESERVES: u64 = 2;

/// Options of an [`Index`].
#[derive(Clone, Copy, Debug)]
pub struct IndexOptions {
    /// Memory for pages of the file.
    pub cache_bytes: usize,
    /// Writes are refused while less than twice this is free on the disk.
    pub disk_free_bytes_min: u64,
}

/// An open index. Reads never wait for a write.
#[derive(Debug)]
pub struct Index {
    health: Arc<IndexHealth>,
    opener: IndexOpener,
    hash_key: [u64; 2],
    /// A [`Revision`].
    complete_until: AtomicU64,
    user_count: AtomicU32,
    /// `None` only while the index is lost.
    database: RwLock<Option<OpenFile>>,
    writer: Mutex<IndexWriter>,
}

/// The state of the one writer.
#[derive(Debug)]
struct IndexWriter {
    /// The sum in the header, see [`tables::check`].
    rows_sum: u64,
    location: TablesLocation,
    /// The new file could not be installed. That is not tried again.
    has_install_failed: bool,
}

/// Where the tables are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TablesLocation {
    /// In the current file.
    Current,
    /// In a new file, which replaces the current one when it is complete.
    New,
    /// In memory, up to the last revision of the index that was lost: the state has dropped those
    /// rows. Later rows stay in the state until there is a file again.
    Memory,
}

/// An index that matches its log by its header, and whose rows are not read yet.
#[derive(Debug)]
pub struct OpenedIndex {
    index: Index,
    candidate: IndexCandidate,
}

/// One of a user's two lists of marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimelineKind {
    /// The events that change the feeds of the user's followers, such as posts.
    Posts,
    /// The events that change only the user's own feed, such as follows.
    Changes,
}

impl OpenedIndex {
    /// What the index leaves free on the disk, twice; `None` if free space is not checked.
    #[must_use]
    pub fn disk_reserve(&self) -> Option<DiskReserve> {
        self.index.opener.space.as_ref().map(|space| space.reserve.clone())
    }
}

impl Index {
    /// Opens the index in `dir`, which `log` has locked. Creates an empty one if no file matches
    /// `log`, and empty tables in memory if no file can be created. Request ids stay in the index
    /// for `request_id_retention`.
    ///
    /// # Errors
    /// The log cannot be read, or ends before the index does.
    pub fn open(
        dir: &Path,
        log: &dyn Log,
        options: IndexOptions,
        request_id_retention: Duration,
    ) -> Result<OpenedIndex, Error> {
        Self::open_with_probe(dir, log, options, request_id_retention, None)
    }

    /// As [`Index::open`]. After a process died over a file, `probe` opens that file first.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub fn open_with_probe(
        dir: &Path,
        log: &dyn Log,
        options: IndexOptions,
        request_id_retention: Duration,
        probe: Option<Probe>,
    ) -> Result<OpenedIndex, Error> {
        let reserve = DiskReserve::new(options.disk_free_bytes_min);
        let files = Arc::new(IndexFolder::new(dir, options.cache_bytes, probe));
        let space = Some(FreeSpace { dir: dir.to_owned(), reserve, times: RESERVES });
        IndexOpener { files, space, request_id_retention }.open(log)
    }

    /// As [`Index::open`], in storage that the caller provides; clones of `files` share it. Free
    /// space is not checked.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub fn with_files(
        files: &(impl StorageFiles + Clone),
        name: &str,
        log: &dyn Log,
        options: IndexOptions,
        request_id_retention: Duration,
    ) -> Result<OpenedIndex, Error> {
        let files = Arc::new(CustomIndexFiles::new(files.clone(), name, options.cache_bytes));
        IndexOpener { files, space: None, request_id_retention }.open(log)
    }

    /// The index in `database`, if its header matches `log`.
    fn with_database(
        (database, damage): OpenDatabase,
        opener: &IndexOpener,
        location: TablesLocation,
        log: &dyn Log,
    ) -> Result<Self, IndexRejection> {
        let file = opener.files.name(location.file_role());
        let database = OpenFile::closed_unwritten(database);
        let read = guarded(file, || IndexHeader::read_with_users(&database, file));
        let (header, users) = read.map_err(IndexRejection::Index)?;
        header.check(file, log)?;
        let rows_sum = header.rows_sum;
        Ok(Self {
            health: Arc::new(IndexHealth::new(
                opener.files.name(FileRole::Current).to_owned(),
                damage,
            )),
            opener: opener.clone(),
            hash_key: header.hash_key,
            complete_until: AtomicU64::new(header.complete_until.get()),
            user_count: AtomicU32::new(users),
            database: RwLock::new(Some(database)),
            writer: Mutex::new(IndexWriter { rows_sum, location, has_install_failed: false }),
        })
    }

    /// The last revision in the tables: they have the effect of every event up to it.
    #[must_use]
    pub fn complete_until(&self) -> Revision {
        Revision::new(self.complete_until.load(Ordering::Acquire))
    }

    /// The random key of the hashes of request ids. The index keeps it for its lifetime.
    #[must_use]
    pub fn hash_key(&self) -> [u64; 2] {
        self.hash_key
    }

    /// Empty rows, for the caller to fill from the events after [`Index::complete_until`].
    #[must_use]
    pub fn new_rows(&self) -> IndexRows {
        let is_in_memory = self.writer().location == TablesLocation::Memory;
        let users = self.user_count.load(Ordering::Acquire);
        IndexRows::new(self.opener.clone(), is_in_memory, users)
    }

    /// Makes `rows` durable in one transaction. They come from [`Index::new_rows`] and have the
    /// effect of every event after [`Index::complete_until`] up to `last`.
    ///
    /// # Errors
    /// [`Error::DiskFull`]: nothing was written, and a later write may succeed. After any other
    /// error the index must be repaired before it is used.
    ///
    /// # Panics
    /// `rows` were begun before an earlier write.
    pub fn write(&self, rows: &IndexRows, last: Revision, chain: Chain) -> Result<(), Error> {
        self.write_unless(rows, last, chain, &|| false).map(drop)
    }

    /// As [`Index::write`], unless `is_cancelled` before the end: then nothing is written, and the
    /// result is `false`.
    ///
    /// # Errors
    /// As [`Index::write`].
    ///
    /// # Panics
    /// As [`Index::write`].
    pub fn write_unless(
        &self,
        rows: &IndexRows,
        last: Revision,
        chain: Chain,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<bool, Error> {
        let mut writer = self.writer();
        self.health.check()?;
        let users_from = self.user_count.load(Ordering::Acquire);
        assert_eq!(rows.users_from, users_from, "the rows do not follow those of the index");
        debug_assert!(last > self.complete_until(), "a write moves the index forward");
        if let Some(space) = &self.opener.space {
            space.check()?;
        }
        let _busy = BusyMark::new(&*self.opener.files);
        let database = self.database();
        let mut rows_sum = writer.rows_sum;
        let write = || -> Result<bool, redb::Error> {
            let mut transaction = opened(&database)?.begin_write()?;
            // With it, opening after a crash takes the same time at any size of the file.
            transaction.set_quick_repair(true);
            let retention = self.opener.request_id_retention;
            let is_expired = |time: LogTime, now| time.is_older_than(retention, now);
            let is_first = self.complete_until() == Revision::ZERO;
            tables::add(&transaction, rows, is_first, is_expired, is_cancelled, &mut rows_sum)?;
            if is_cancelled() {
                // Dropped without a commit, the transaction leaves no trace.
                return Ok(false);
            }
            tables::put(&transaction, key::COMPLETE_UNTIL, last.get())?;
            tables::put(&transaction, key::COMPLETE_CHECK, chain.prefix())?;
            tables::put(&transaction, key::ROWS_SUM, rows_sum)?;
            transaction.commit()?;
            Ok(true)
        };
        let is_written = self.health.guarded(write)?;
        if is_written {
            writer.rows_sum = rows_sum;
            self.set_content(rows.next_user(), last);
        }
        Ok(is_written)
    }

    fn set_content(&self, users: u32, complete_until: Revision) {
        self.user_count.store(users, Ordering::Release);
        self.complete_until.store(complete_until.get(), Ordering::Release);
    }

    /// A consistent state of all tables, of now.
    ///
    /// # Errors
    /// The index is lost, damaged, or cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        assert_disk_reads_allowed();
        // Read before the transaction begins: its tables are at least as new.
        let user_count = self.user_count.load(Ordering::Acquire);
        let complete_until = self.complete_until();
        self.health.check()?;
        let transaction = self.health.guarded(|| Ok(opened(&self.database())?.begin_read()?))?;
        Ok(Snapshot::new(Arc::clone(&self.health), transaction, complete_until, user_count))
    }

    fn database(&self) -> RwLockReadGuard<'_, Option<OpenFile>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, IndexWriter> {
        // A panic during a write makes the index lost, so no later write builds on its state.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The open database. Fails while the index is lost.
fn opened(database: &Option<OpenFile>) -> Result<&Database, redb::Error> {
    database.as_deref().ok_or(redb::Error::DatabaseClosed)
}

impl TablesLocation {
    /// The file that holds the tables; the current one stands for memory in errors.
    fn file_role(self) -> FileRole {
        match self {
            Self::New => FileRole::New,
            Self::Current | Self::Memory => FileRole::Current,
        }
    }
}

impl FileRole {
    fn location(self) -> TablesLocation {
        match self {
            Self::Current => TablesLocation::Current,
            Self::New => TablesLocation::New,
        }
    }
}

/// The numbers in the table `meta`, see [`tables::key`].
#[derive(Debug)]
struct IndexHeader {
    log_id: u64,
    complete_until: Revision,
    complete_check: u64,
    hash_key: [u64; 2],
    rows_sum: u64,
}

impl IndexHeader {
    /// The header, and the number of users.
    fn read_with_users(database: &Database, file: &Path) -> Result<(Self, u32), Error> {
        let begun = database.begin_read().map_err(|error| storage(file, error))?;
        // First: a table of another version may be missing, or be another one.
        let header = Self::read(&begun, file)?;
        let users = tables::user_count(&begun).map_err(|error| storage(file, error))?;
        Ok((header, users))
    }

    fn read(transaction: &ReadTransaction, file: &Path) -> Result<Self, Error> {
        let number = |key: &str| -> Result<u64, Error> {
            let number = tables::get(transaction, key).map_err(|error| storage(file, error))?;
            let what = || format!("its header has no {key}");
            number.ok_or_else(|| Error::Damaged { file: file.to_owned(), what: what() })
        };
        let found = number(key::FORMAT)?;
        if !INDEX.reads(found) {
            let other = OtherFormat::new(&INDEX, found);
            return Err(Error::OtherFormat { file: file.to_owned(), other });
        }
        Ok(Self {
            log_id: number(key::LOG_ID)?,
            complete_until: Revision::new(number(key::COMPLETE_UNTIL)?),
            complete_check: number(key::COMPLETE_CHECK)?,
            hash_key: [number(key::HASH[0])?, number(key::HASH[1])?],
            rows_sum: number(key::ROWS_SUM)?,
        })
    }

    /// Whether the index was built from `log` in its present state.
    fn check(&self, file: &Path, log: &dyn Log) -> Result<(), IndexRejection> {
        let mismatch = |what: String| {
            IndexRejection::Index(Error::OfAnotherLog { file: file.to_owned(), what })
        };
        if self.log_id != log.id().get() {
            return Err(mismatch("it was built from another log".to_owned()));
        }
        let (until, head) = (self.complete_until, log.head());
        // Every event was durable in the log before it was in the index.
        if until > head {
            let (durable_until, file) = (until, file.to_owned());
            return Err(IndexRejection::Log(Error::EndsEarly { head, durable_until, file }));
        }
        let chain = log.chain(until).map_err(IndexRejection::Log)?;
        let is_empty = until == Revision::ZERO;
        if !is_empty && chain.map(Chain::prefix) != Some(self.complete_check) {
            return Err(mismatch(format!("its log has other events up to revision {until}")));
        }
        Ok(())
    }
}

/// Creates the empty tables of an index of `log`.
fn begin(database: &Database, log: &dyn Log, hash_key: [u64; 2]) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    tables::create(&transaction)?;
    tables::put(&transaction, key::FORMAT, INDEX.version.into())?;
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
