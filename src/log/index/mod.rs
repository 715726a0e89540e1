//! Tables made from the log, so that opening it costs its edges and its tail, and what is old can
//! be read without being in memory.
//!
//! ```text
//!   index.opening     while it is being opened, see tries.rs
//!   index.redb
//!   ├── users       number ──▶ name                 numbers are given in the order of the log
//!   ├── edges       (follower, followee) ──▶ since
//!   ├── newest      author ──▶ mark
//!   ├── posts_of    (author, mark)  ──▶ check       read where memory ends, see chains.rs
//!   ├── changes_of  (user, mark)  ──▶ check         read where memory ends
//!   ├── facts       (table, subject, place) ──▶ value, check   read where memory ends, see facts.rs
//!   ├── resident    (table, subject, place) ──▶ value   what memory has whole
//!   ├── requests    revision ──▶ hash, time         as long as request ids are remembered
//!   └── meta        what log it is made from, and until where
//! ```
//!
//! The index is never the truth. It is written behind the log, and a write brings all tables from
//! one revision to another or does nothing. One that is missing, damaged, of another format, of
//! another log, or ahead of its log is thrown away and made anew.
//!
//! Nothing is read of the file but what was written there (blocks.rs). The checks of the rows are
//! beside that for what a sound block cannot tell: that it is one of an earlier moment.

mod blocks;
mod chains;
mod facts;
mod rows;
mod snapshot;
mod tables;
mod tries;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use blocks::{Blocks, Damage};
use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, StorageBackend};

pub use rows::{Contents, Edge, FactKey, Keep, Request, Rows};
pub use snapshot::Snapshot;
use tables::key;
use tries::Tries;

use super::reading::assert_may_read;
use super::redb_file::{builder, guarded, random, storage};
use super::space::Space;
use super::{Entry, Error, Log, Options, codec};
use crate::model::{LogTime, Revision};

const FORMAT: u64 = 3;
/// The formats before blocks had checks: the file is redb's own.
const FORMAT_WITHOUT_BLOCKS: u64 = 2;

/// The tables.
#[derive(Debug)]
pub struct Index {
    database: Database,
    file: IndexFile,
    hash_key: [u64; 2],
    request_id_kept: Duration,
    space: Option<Space>,
    complete_until: AtomicU64,
    /// How many users are in it.
    user_count: AtomicU32,
    writer: Mutex<Writer>,
}

/// Where the tables are.
#[derive(Debug)]
struct IndexFile {
    name: PathBuf,
    /// Or on storage of the caller's.
    is_in_folder: bool,
    damage: Damage,
}

/// What only one write at a time may touch.
#[derive(Debug)]
struct Writer {
    rows_sum: u64,
}

/// An index, and what a view is loaded from: all that was in it when it was opened.
#[derive(Debug)]
pub struct OpenedIndex {
    /// The index.
    pub index: Index,
    /// What was in it.
    pub contents: Contents,
}

/// Which marks of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum History {
    /// What the user published, and so on: what concerns their followers' feeds.
    Posts,
    /// What the user changed of whom they follow, and so on: what concerns their own feed alone.
    Changes,
}

impl Index {
    /// Opens the index in `dir`, which `log` holds; makes an empty one if there is none that fits
    /// `log`. Requests are kept for `request_id_kept`.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub fn open(
        dir: &Path,
        log: &dyn Log,
        options: Options,
        request_id_kept: Duration,
    ) -> Result<OpenedIndex, Error> {
        let file = dir.join("index.redb");
        let is_there = file.try_exists().map_err(|error| storage(&file, error))?;
        let open = || {
            let opened =
                fs::File::options().read(true).write(true).create(true).truncate(false).open(&file);
            let opened = opened.map_err(|error| storage(&file, error))?;
            let opened = FileBackend::new(opened).map_err(|error| storage(&file, error))?;
            open_blocks(opened, &file, options)
        };
        let make = || {
            if is_there {
                fs::remove_file(&file).map_err(|error| storage(&file, error))?;
            }
            open()
        };
        let tries = Tries::of(dir);
        let may_open = is_there && tries.begin()?;
        if is_there && !may_open {
            tracing::warn!("index thrown away: starts have died opening it");
        }
        let mut opened =
            Self::fitting(&file, log, may_open.then_some(open), make, request_id_kept)?;
        tries.over()?;
        // It must never take the room that the log is promised for its own writes.
        let bytes_min = options.disk_free_bytes_min.saturating_mul(2);
        opened.index.file.is_in_folder = true;
        opened.index.space = Some(Space::new(dir.to_owned(), bytes_min));
        Ok(opened)
    }

    /// As [`Index::open`], on storage of the caller's, whose clones are the same storage. There is
    /// no look at free space.
    ///
    /// # Errors
    /// The storage cannot be used.
    pub fn on_storage(
        storage_backend: &(impl StorageBackend + Clone),
        name: &str,
        log: &dyn Log,
        options: Options,
        request_id_kept: Duration,
    ) -> Result<OpenedIndex, Error> {
        let file = PathBuf::from(name);
        let bytes = storage_backend.len().map_err(|error| storage(&file, error))?;
        let open = || open_blocks(storage_backend.clone(), &file, options);
        let make = || {
            storage_backend.set_len(0).map_err(|error| storage(&file, error))?;
            open()
        };
        Self::fitting(&file, log, (bytes > 0).then_some(open), make, request_id_kept)
    }

    /// The index that `open` gives, if it fits `log`; else the one that `make` makes.
    fn fitting(
        file: &Path,
        log: &dyn Log,
        open: Option<impl Fn() -> Result<(Database, Damage), Error>>,
        make: impl Fn() -> Result<(Database, Damage), Error>,
        request_id_kept: Duration,
    ) -> Result<OpenedIndex, Error> {
        if let Some(open) = open {
            match guarded(file, || Self::load(open()?, file, log, request_id_kept)) {
                Ok(opened) => return Ok(opened),
                Err(reason) => {
                    tracing::warn!(%reason, "index thrown away; it is made anew from the log");
                }
            }
        }
        guarded(file, || {
            let (database, damage) = make()?;
            begin(&database, log).map_err(|error| storage(file, error))?;
            Self::load((database, damage), file, log, request_id_kept)
        })
    }

    fn load(
        (database, damage): (Database, Damage),
        file: &Path,
        log: &dyn Log,
        request_id_kept: Duration,
    ) -> Result<OpenedIndex, Error> {
        let unfit = |what: String| Error::Damaged { file: file.to_owned(), what };
        let number = |key: &str| -> Result<u64, Error> {
            let number = tables::get(&database, key).map_err(|error| storage(file, error))?;
            number.ok_or_else(|| unfit(format!("it does not say its {key}")))
        };
        let found = number(key::FORMAT)?;
        if found != FORMAT {
            return Err(Error::OtherFormat { file: file.to_owned(), found, supported: FORMAT });
        }
        if number(key::LOG_ID)? != log.id().get() {
            return Err(unfit("it was made from another log".to_owned()));
        }
        let complete_until = Revision::new(number(key::COMPLETE_UNTIL)?);
        if complete_until > log.head() {
            let head = log.head();
            return Err(unfit(format!("it is at revision {complete_until}, its log at {head}")));
        }
        let event = log.get(complete_until)?;
        let check = event.map_or(0, |event| codec::check_of(complete_until, &event));
        if check != number(key::COMPLETE_CHECK)? {
            return Err(unfit(format!("its log has another event at revision {complete_until}")));
        }
        let hash_key = [number(key::HASH[0])?, number(key::HASH[1])?];

        let (mut contents, rows_sum) =
            tables::load(&database, hash_key).map_err(|error| storage(file, error))?;
        if rows_sum != number(key::ROWS_SUM)? {
            return Err(unfit("its rows are not those that were written".to_owned()));
        }
        contents.complete_until = complete_until;
        let users = contents.users.len();
        let user_count =
            u32::try_from(users).map_err(|_| unfit(format!("it has {users} users")))?;
        let index = Self {
            database,
            file: IndexFile { name: file.to_owned(), is_in_folder: false, damage },
            hash_key,
            request_id_kept,
            space: None,
            complete_until: AtomicU64::new(complete_until.get()),
            user_count: AtomicU32::new(user_count),
            writer: Mutex::new(Writer { rows_sum }),
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
    pub fn new_rows(&self) -> Rows {
        Rows::new(self.user_count.load(Ordering::Acquire))
    }

    /// Makes `rows` durable. They are made from [`Index::new_rows`] and all events since, of which
    /// `last` is the last.
    ///
    /// # Errors
    /// [`Error::DiskFull`]: nothing was written, and a later write may succeed. Any other error:
    /// the index must not be used further.
    ///
    /// # Panics
    /// The rows do not follow on those that are there.
    pub fn write(&self, rows: &mut Rows, last: &Entry) -> Result<(), Error> {
        let mut writer = self.writer();
        let users_from = self.user_count.load(Ordering::Acquire);
        assert_eq!(rows.users_from, users_from, "rows that follow on others than it has");
        if let Some(space) = &self.space {
            space.check()?;
        }
        let mut rows_sum = writer.rows_sum;
        let write = || -> Result<(), redb::Error> {
            let mut transaction = self.database.begin_write()?;
            // Opening after a crash then takes the same time at any size of the file.
            transaction.set_quick_repair(true);
            let kept = self.request_id_kept;
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
        self.user_count.store(rows.next_user(), Ordering::Release);
        self.complete_until.store(last.revision.get(), Ordering::Release);
        Ok(())
    }

    /// The tables as they are now.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot<'_>, Error> {
        assert_may_read();
        // Read first: what is seen is then at least as new.
        let user_count = self.user_count.load(Ordering::Acquire);
        let complete_until = self.complete_until();
        let transaction = self.file.guarded(|| Ok(self.database.begin_read()?))?;
        Ok(Snapshot::new(&self.file, transaction, complete_until, user_count))
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // A panic while writing ends the process.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IndexFile {
    /// Uses the file. If it is damaged it goes, so that the next start makes it anew: most of its
    /// pages are never looked at by an opening.
    fn guarded<T>(&self, mut use_file: impl FnMut() -> Result<T, redb::Error>) -> Result<T, Error> {
        let used = guarded(&self.name, || use_file().map_err(|error| storage(&self.name, error)));
        let used = used.map_err(|error| match self.damage.found() {
            Some(what) => Error::Damaged { file: self.name.clone(), what: what.to_owned() },
            None => error,
        });
        if let Err(Error::Damaged { .. }) = &used
            && self.is_in_folder
        {
            let removed = fs::remove_file(&self.name);
            tracing::error!(?removed, "the index is damaged; the next start makes it anew");
        }
        used
    }
}

/// Opens what is in `backend`, or begins it.
fn open_blocks(
    backend: impl StorageBackend,
    file: &Path,
    options: Options,
) -> Result<(Database, Damage), Error> {
    let mut magic = blocks::MAGIC;
    if backend.len().map_err(|error| storage(file, error))? >= magic.len() as u64 {
        backend.read(0, &mut magic).map_err(|error| storage(file, error))?;
    }
    if magic.starts_with(b"redb") {
        let (file, found) = (file.to_owned(), FORMAT_WITHOUT_BLOCKS);
        return Err(Error::OtherFormat { file, found, supported: FORMAT });
    }
    let damage = Damage::default();
    let backend = Blocks::new(backend, damage.clone());
    let opened = builder(options.cache_bytes).create_with_backend(backend);
    Ok((opened.map_err(|error| storage(file, error))?, damage))
}

/// Makes the tables of an index of `log` that has nothing in it.
fn begin(database: &Database, log: &dyn Log) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    tables::make(&transaction)?;
    tables::put(&transaction, key::FORMAT, FORMAT)?;
    tables::put(&transaction, key::LOG_ID, log.id().get())?;
    tables::put(&transaction, key::COMPLETE_UNTIL, 0)?;
    tables::put(&transaction, key::COMPLETE_CHECK, 0)?;
    let hash_key = [random(), random()];
    for (half, number) in key::HASH.into_iter().zip(hash_key) {
        tables::put(&transaction, half, number)?;
    }
    tables::put(&transaction, key::ROWS_SUM, tables::check::hash_key(hash_key))?;
    transaction.commit()?;
    Ok(())
}
