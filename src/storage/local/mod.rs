//! The log in a file of this machine.
//!
//! ```text
//!   data folder
//!   ├── lock           locked by the process that uses the folder; names that process
//!   ├── log.redb.new, log.redb.compacted    renamed to log.redb when they are complete
//!   ├── log.redb
//!   │   ├── log    revision ──▶ record (see codec.rs), keys 1, 2, 3 … without a gap
//!   │   └── meta   "format" ──▶ 2,  "log_id" ──▶ random,  "erased_until" ──▶ revision
//!   └── index.redb     derived from the log, see index/
//! ```
//!
//! A batch is one transaction with one flush to the disk. A failed write or flush is never retried:
//! only opening the file again shows what is on the disk.

mod compaction;
mod files;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

pub use super::local::files::StorageFiles;
use super::local::files::{CustomLogFiles, LogFiles, LogFolder};

use super::disk_reads::assert_disk_reads_allowed;
use super::error::Error;
use super::log::{Batch, EraseOutcome, Erasure, Log, LogEntry, codec};
use super::redb_file::{OpenFile, guarded, random, storage};
use crate::model::{Event, LogId, Revision};

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const FORMAT_KEY: &str = "format";
const LOG_ID_KEY: &str = "log_id";
const ERASED_UNTIL_KEY: &str = "erased_until";
/// The records name the users that a mention notifies.
const FORMAT: u64 = 2;
/// The records do not name those users: `old_mentions.rs` finds them in the texts. Such records
/// stay as they are after the upgrade.
const FORMAT_BEFORE: u64 = 1;

/// Options of a [`LocalLog`] and of an [`Index`](crate::storage::Index).
#[derive(Clone, Copy, Debug)]
pub struct StorageOptions {
    /// Memory for pages of the file.
    pub cache_bytes: usize,
    /// Free disk space below which appends are refused. The index keeps twice as much free.
    pub disk_free_bytes_min: u64,
}

/// A log in a folder of this machine.
#[derive(Debug)]
pub struct LocalLog {
    /// The current file. After a compaction some reads may still share the file before it.
    database: RwLock<Arc<OpenFile>>,
    files: Box<dyn LogFiles>,
    /// The path of the current file, for errors.
    file: PathBuf,
    id: LogId,
    head: AtomicU64,
    erased_until: AtomicU64,
    writer: Mutex<LogWriter>,
    /// Held during a compaction.
    compacting: Mutex<()>,
}

/// The state of the one writer.
#[derive(Debug, Default)]
struct LogWriter {
    closed: bool,
    /// The buffer for a record.
    record: Vec<u8>,
    followers: Vec<SyncSender<Arc<Batch>>>,
}

/// The content of a file without damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExpectedContent {
    /// A log: the file got its name only after the log was created in it.
    Log,
    /// A log or nothing: a power cut may have come before the log was created.
    LogOrNothing,
}

impl LogWriter {
    fn close(&mut self) {
        self.closed = true;
        self.followers.clear();
    }
}

impl LocalLog {
    /// Opens the log in `dir`. Creates the folder and the log if they do not exist.
    ///
    /// # Errors
    /// The folder is in use, or the log is missing, damaged, of another format, or cannot be read
    /// or written.
    ///
    /// # Examples
    /// ```
    /// use whimbrel::model::{Change, Event, Revision, Timestamp, UserId};
    /// use whimbrel::storage::{Error, LocalLog, Log, StorageOptions};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let options = StorageOptions { cache_bytes: 1 << 20, disk_free_bytes_min: 0 };
    /// let log = LocalLog::open(folder.path(), options)?;
    ///
    /// let change = Change::Follow {
    ///     follower: UserId::parse("alice")?,
    ///     followee: UserId::parse("bob")?,
    /// };
    /// let event = Event::new(Timestamp::from_nanos(1), change);
    /// // An append names the head on which its decision was based.
    /// log.append(Revision::ZERO, vec![event.clone()])?;
    /// assert!(matches!(
    ///     log.append(Revision::ZERO, vec![event.clone()]),
    ///     Err(Error::HeadMoved { .. })
    /// ));
    ///
    /// // Only one process uses a folder at a time.
    /// assert!(matches!(LocalLog::open(folder.path(), options), Err(Error::InUse { .. })));
    /// drop(log);
    /// let log = LocalLog::open(folder.path(), options)?;
    /// assert_eq!(log.head(), Revision::new(1));
    /// assert_eq!(log.read(Revision::ZERO, 10)?[0].event, event);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(dir: &Path, options: StorageOptions) -> Result<Self, Error> {
        let folder = LogFolder::open(dir, options)?;
        let file = folder.file().to_owned();
        guarded(&file, || {
            let begin = |new: &Database, name: &Path| {
                begin(new).map(drop).map_err(|error| storage(name, error))
            };
            let database = folder.open_file(begin)?;
            Self::prepare(database, &file, Box::new(folder), ExpectedContent::Log)
        })
    }

    /// Opens a log in storage that the caller provides; errors call it `name`. Nothing is locked,
    /// and free space is not checked.
    ///
    /// # Errors
    /// As [`LocalLog::open`].
    pub fn with_files(
        files: impl StorageFiles,
        name: &str,
        options: StorageOptions,
    ) -> Result<Self, Error> {
        let files = CustomLogFiles::new(files, name, options);
        let file = files.file().to_owned();
        guarded(&file, || {
            Self::prepare(files.open_file()?, &file, Box::new(files), ExpectedContent::LogOrNothing)
        })
    }

    fn prepare(
        database: Database,
        file: &Path,
        files: Box<dyn LogFiles>,
        content: ExpectedContent,
    ) -> Result<Self, Error> {
        let database = OpenFile::new(database);
        let read = || Ok((identity(&database, file, content)?, continuous_head(&database, file)?));
        let ((id, erased_until), head) = read().inspect_err(|_| database.found_damaged())?;
        Ok(Self {
            database: RwLock::new(Arc::new(database)),
            files,
            file: file.to_owned(),
            id,
            head: AtomicU64::new(head),
            erased_until: AtomicU64::new(erased_until),
            writer: Mutex::default(),
            compacting: Mutex::default(),
        })
    }

    fn commit(&self, first: u64, events: &[Event], record: &mut Vec<u8>) -> Result<(), Error> {
        let database = self.database();
        let mut transaction = database.begin_write().map_err(|error| storage(&self.file, error))?;
        // With it, opening after a crash takes the same time at any size of the file.
        transaction.set_quick_repair(true);
        {
            let mut log =
                transaction.open_table(LOG).map_err(|error| storage(&self.file, error))?;
            for (revision, event) in (first..).zip(events) {
                codec::encode(Revision::new(revision), event, record);
                log.insert(revision, record.as_slice())
                    .map_err(|error| storage(&self.file, error))?;
            }
        }
        transaction.commit().map_err(|error| storage(&self.file, error))
    }

    fn decode(&self, revision: u64, record: &[u8]) -> Result<Event, Error> {
        codec::decode(Revision::new(revision), record)
            .map_err(|what| Error::Damaged { file: self.file.clone(), what })
    }

    fn with_table<T>(
        &self,
        read: impl FnOnce(redb::ReadOnlyTable<u64, &'static [u8]>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        assert_disk_reads_allowed();
        let database = self.database();
        let read = guarded(&self.file, || {
            let transaction = database.begin_read().map_err(|error| storage(&self.file, error))?;
            let table = transaction.open_table(LOG).map_err(|error| storage(&self.file, error))?;
            read(table)
        });
        if let Err(Error::Damaged { .. }) = &read {
            database.found_damaged();
        }
        read
    }

    /// The current file.
    fn database(&self) -> Arc<OpenFile> {
        Arc::clone(&self.database.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn writer(&self) -> MutexGuard<'_, LogWriter> {
        // A panic during an append ends the process: a poisoned lock is taken only while it stops.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for LocalLog {
    fn id(&self) -> LogId {
        self.id
    }

    fn head(&self) -> Revision {
        Revision::new(self.head.load(Ordering::Acquire))
    }

    fn oldest(&self) -> Revision {
        // Nothing is ever removed from this log.
        Revision::ZERO
    }

    fn append(&self, after: Revision, events: Vec<Event>) -> Result<(), Error> {
        debug_assert!(!events.is_empty(), "a batch has an event");
        let mut writer = self.writer();
        let head = self.head();
        if writer.closed {
            return Err(Error::Closed);
        }
        if head != after {
            return Err(Error::HeadMoved { head });
        }
        self.files.check_room()?;
        let first = head.next();
        self.commit(first.get(), &events, &mut writer.record)?;
        // Before anything is acknowledged or delivered: events in a removed file are lost.
        self.files.check()?;
        self.head.store(head.get() + events.len() as u64, Ordering::Release);

        let batch = Arc::new(Batch { first, events });
        writer.followers.retain(|follower| follower.send(Arc::clone(&batch)).is_ok());
        Ok(())
    }

    fn get(&self, revision: Revision) -> Result<Option<Event>, Error> {
        Ok(self.get_many(&[revision])?.pop().flatten())
    }

    fn get_many(&self, revisions: &[Revision]) -> Result<Vec<Option<Event>>, Error> {
        // Read before the table is opened: the table has every event up to it.
        let head = self.head();
        self.with_table(|table| {
            let event = |&revision: &Revision| {
                let number = revision.get();
                let record = table.get(number).map_err(|error| storage(&self.file, error))?;
                match record {
                    Some(record) => self.decode(number, record.value()).map(Some),
                    None if Revision::ZERO < revision && revision <= head => {
                        Err(gap(&self.file, number))
                    }
                    None => Ok(None),
                }
            };
            revisions.iter().map(event).collect()
        })
    }

    fn read(&self, after: Revision, events_max: usize) -> Result<Vec<LogEntry>, Error> {
        let Some(first) = after.get().checked_add(1) else {
            return Ok(Vec::new());
        };
        // Read before the table is opened: the table has every event up to it.
        let head = self.head().get();
        self.with_table(|table| {
            let range = table.range(first..).map_err(|error| storage(&self.file, error))?;
            let mut entries = Vec::new();
            for (expected, row) in (first..).zip(range).take(events_max) {
                let (revision, record) = row.map_err(|error| storage(&self.file, error))?;
                if revision.value() != expected {
                    return Err(gap(&self.file, expected));
                }
                let event = self.decode(expected, record.value())?;
                entries.push(LogEntry { revision: Revision::new(expected), event });
            }
            let next = first.saturating_add(entries.len() as u64);
            // A range that ends before the head is damage.
            if entries.len() < events_max && next <= head {
                return Err(gap(&self.file, next));
            }
            Ok(entries)
        })
    }

    fn follow(&self, batches_max: usize) -> (Revision, Receiver<Arc<Batch>>) {
        let (sender, receiver) = sync_channel(batches_max);
        // The writer's lock: no append is between the head and the followers.
        let mut writer = self.writer();
        if !writer.closed {
            writer.followers.push(sender);
        }
        (self.head(), receiver)
    }

    fn erase(&self, erasure: &Erasure, go_on: &dyn Fn() -> bool) -> Result<EraseOutcome, Error> {
        self.compact(erasure, go_on)
    }

    fn erased_until(&self) -> Revision {
        Revision::new(self.erased_until.load(Ordering::Acquire))
    }

    fn check(&self) -> Result<(), Error> {
        self.files.check()
    }

    fn close(&self) {
        self.writer().close();
    }
}

/// Reads the log's id and `erased_until`; creates the log in an empty file. Writes only for a new
/// log or an upgrade, so that a log on a full disk can be read.
fn identity(
    database: &Database,
    file: &Path,
    content: ExpectedContent,
) -> Result<(LogId, u64), Error> {
    let read = || -> Result<Option<[Option<u64>; 3]>, redb::Error> {
        let transaction = database.begin_read()?;
        if transaction.list_tables()?.next().is_none() {
            return Ok(None);
        }
        let meta = transaction.open_table(META)?;
        let stored = |key: &str| meta.get(key).map(|found| found.map(|value| value.value()));
        Ok(Some([stored(FORMAT_KEY)?, stored(LOG_ID_KEY)?, stored(ERASED_UNTIL_KEY)?]))
    };
    match read().map_err(|error| storage(file, error))? {
        None if content == ExpectedContent::LogOrNothing => {
            begin(database).map_err(|error| storage(file, error))
        }
        None => {
            let what = "it has no table of a log".to_owned();
            Err(Error::Damaged { file: file.to_owned(), what })
        }
        Some([Some(FORMAT_BEFORE), Some(id), erased_until]) => {
            upgrade(database).map_err(|error| storage(file, error))?;
            Ok((LogId::new(id), erased_until.unwrap_or_default()))
        }
        // A file of another version is never changed.
        Some([Some(found), ..]) if found != FORMAT => {
            Err(Error::OtherFormat { file: file.to_owned(), found, supported: FORMAT })
        }
        Some([Some(_), Some(id), erased_until]) => {
            Ok((LogId::new(id), erased_until.unwrap_or_default()))
        }
        Some(_) => {
            let what = "it has no log id".to_owned();
            Err(Error::Damaged { file: file.to_owned(), what })
        }
    }
}

/// Sets the format to [`FORMAT`]: the version before cannot read the next appends.
fn upgrade(database: &Database) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    transaction.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
    Ok(transaction.commit()?)
}

/// Creates an empty log. Gives its id and `erased_until`.
fn begin(database: &Database) -> Result<(LogId, u64), redb::Error> {
    let id = random();
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(FORMAT_KEY, FORMAT)?;
        meta.insert(LOG_ID_KEY, id)?;
        meta.insert(ERASED_UNTIL_KEY, 0)?;
    }
    transaction.open_table(LOG)?;
    transaction.commit()?;
    Ok((LogId::new(id), 0))
}

/// The newest revision. Fails if a revision below it is missing.
fn continuous_head(database: &Database, file: &Path) -> Result<u64, Error> {
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
    Ok(head)
}

fn gap(file: &Path, missing: u64) -> Error {
    Error::Damaged { file: file.to_owned(), what: format!("revision {missing} is missing") }
}
