//! Comparing all rows of an index with those that its log gives. Never writes to an index, and never says
//! which of the two is right: the log is.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use redb::{ReadTransaction, ReadableDatabase, ReadableTable};

use super::blocks::Damage;
use super::chains::{CHANGES_OF, END, POSTS_OF, START};
use super::edges::{self, EDGES};
use super::files::{FileRole, IndexFolder, open_blocks};
use super::health::IndexHealth;
use super::opener::IndexOpener;
use super::records::{self, RECORDS};
use super::rows::{IndexRows, StoredKey, StoredRequest};
use super::tables::{self, NEWEST, REQUESTS, RESIDENT, USERS, check};
use super::{FILES, Index, IndexHeader, TimelineKind, loading, opened};
use crate::model::{Chain, LogId, Revision};
use crate::storage::error::Error;
use crate::storage::folder_lock::FolderLock;
use crate::storage::redb_file::{OpenFile, guarded, storage};
use crate::storage::unwritten::UnwrittenFile;

/// Memory for pages of a file that is only read once.
const CACHE_BYTES: usize = 16 << 20;
/// Rows between two questions whether to go on.
const ROWS_AT_ONCE: u64 = 4_096;

/// One consistent state of all tables of an index.
#[derive(Debug)]
pub struct IndexView {
    transaction: ReadTransaction,
    header: IndexHeader,
    users: u32,
    opener: IndexOpener,
    source: ViewSource,
}

/// Where a view is from.
#[derive(Debug)]
enum ViewSource {
    /// An index in use: what a comparison finds is damage of it.
    InUse(Arc<IndexHealth>),
    /// A file that no server uses.
    File { file: PathBuf, damage: Damage, _open: OpenFile, _lock: Option<FolderLock> },
}

/// The rows that a log gives, to compare an [`IndexView`] with.
#[derive(Debug)]
pub struct ExpectedRows {
    /// All rows but those of requests.
    pub rows: IndexRows,
    /// The oldest request that the index has.
    oldest_request: Option<Revision>,
}

/// Whether an index may have a record that its log does not give.
type MayHave<'a> = &'a dyn Fn(StoredKey, u128) -> bool;

/// A comparison under way.
struct Comparison<'a> {
    rows: u64,
    go_on: &'a mut dyn FnMut(u64) -> bool,
    is_cancelled: bool,
}

impl Index {
    /// A consistent state of all tables, of now. While it lives, the file keeps the pages of it.
    ///
    /// # Errors
    /// The index is lost, damaged, or cannot be read.
    pub fn view(&self) -> Result<IndexView, Error> {
        self.health.check()?;
        let read = || {
            let transaction = opened(&self.database())?.begin_read()?;
            let users = tables::user_count(&transaction)?;
            Ok((transaction, users))
        };
        let (transaction, users) = self.health.guarded(read)?;
        let file = self.opener.files.name(FileRole::Current);
        let header = IndexHeader::read(&transaction, file)?;
        let source = ViewSource::InUse(Arc::clone(&self.health));
        Ok(IndexView { transaction, header, users, opener: self.opener.clone(), source })
    }
}

impl IndexView {
    /// The index in the data folder `dir`, which is locked until the view is dropped; `None` if there is
    /// none. Changes nothing.
    ///
    /// # Errors
    /// The folder is in use, or the index is damaged, of another format, or cannot be read.
    pub fn open(dir: &Path) -> Result<Option<Self>, Error> {
        let file = dir.join(FILES[0]);
        let failed = |error: io::Error| Error::Storage { file: file.clone(), source: error.into() };
        if !file.try_exists().map_err(failed)? {
            return Ok(None);
        }
        // Where nothing can be written, no server writes.
        let mount = rustix::fs::statvfs(dir).map_err(|error| failed(error.into()))?;
        let is_read_only = mount.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY);
        let lock = if is_read_only { None } else { Some(FolderLock::acquire(dir)?) };
        let backend = File::open(&file).and_then(UnwrittenFile::new).map_err(failed)?;
        let files = Arc::new(IndexFolder::new(dir, CACHE_BYTES, None));
        // Whatever the server forgets: see [`ExpectedRows::push_request`].
        let request_id_retention = Duration::MAX;
        let opener = IndexOpener { files, space: None, request_id_retention };
        guarded(&file, || {
            let (database, damage) = open_blocks(backend, &file, CACHE_BYTES)?;
            let open = OpenFile::closed_unwritten(database);
            let transaction = open.begin_read().map_err(|error| storage(&file, error))?;
            // First: a table of another version may be missing, or be another one.
            let header = IndexHeader::read(&transaction, &file)?;
            let users = tables::user_count(&transaction).map_err(|error| storage(&file, error))?;
            let source = ViewSource::File { file: file.clone(), damage, _open: open, _lock: lock };
            Ok(Some(Self { transaction, header, users, opener, source }))
        })
    }

    /// The last revision in the tables.
    #[must_use]
    pub fn complete_until(&self) -> Revision {
        self.header.complete_until
    }

    /// Whether the index was made from the log with this id, which has this chain at
    /// [`IndexView::complete_until`]; `None` if it ends before.
    #[must_use]
    pub fn is_of(&self, log: LogId, chain: Option<Chain>) -> bool {
        let is_empty = self.header.complete_until == Revision::ZERO;
        let is_same = chain.is_some_and(|chain| chain.prefix() == self.header.complete_check);
        self.header.log_id == log.get() && (is_empty || is_same)
    }

    /// The random key of the hashes of request ids.
    #[must_use]
    pub fn hash_key(&self) -> [u64; 2] {
        self.header.hash_key
    }

    /// Empty rows, for the caller to fill from the log up to [`IndexView::complete_until`].
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn expected_rows(&self) -> Result<ExpectedRows, Error> {
        let oldest = self.guarded(&mut || {
            let requests = self.transaction.open_table(REQUESTS)?;
            Ok(requests.first()?.map(|(revision, _)| Revision::new(revision.value())))
        })?;
        let opener = IndexOpener { request_id_retention: Duration::MAX, ..self.opener.clone() };
        Ok(ExpectedRows { rows: IndexRows::new(opener, false, 0), oldest_request: oldest })
    }

    /// Compares all rows, and returns their number; `None` if `go_on`, which gets the number so far,
    /// stopped it. `may_have` says which records an index may have although its log does not give them
    /// any more.
    ///
    /// # Errors
    /// [`Error::Damaged`] with the first row that differs; or the index, or what of `expected` is on the
    /// disk, cannot be read.
    pub fn compare(
        &self,
        expected: &ExpectedRows,
        may_have: MayHave<'_>,
        go_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<u64>, Error> {
        self.guarded(&mut || {
            let mut comparison = Comparison { rows: 0, go_on: &mut *go_on, is_cancelled: false };
            comparison.users(self, &expected.rows)?;
            comparison.edges(self, &expected.rows)?;
            comparison.marks(self, TimelineKind::Posts, &expected.rows)?;
            comparison.marks(self, TimelineKind::Changes, &expected.rows)?;
            comparison.newest(self, &expected.rows)?;
            comparison.records(self, &expected.rows, may_have)?;
            comparison.requests(self, &expected.rows)?;
            if comparison.is_cancelled {
                return Ok(None);
            }
            let (users, hash_key) = (self.users, self.header.hash_key);
            loading::check_sum(&self.transaction, users, hash_key, self.header.rows_sum)?;
            Ok(Some(comparison.rows))
        })
    }

    fn guarded<T>(&self, read: &mut dyn FnMut() -> Result<T, redb::Error>) -> Result<T, Error> {
        match &self.source {
            ViewSource::InUse(health) => health.guarded(read),
            ViewSource::File { file, damage, .. } => {
                let read = guarded(file, || read().map_err(|error| storage(file, error)));
                read.map_err(|error| match damage.found() {
                    // The first damage: redb does not repeat it in later errors.
                    Some(what) => Error::Damaged { file: file.clone(), what: what.to_owned() },
                    None => error,
                })
            }
        }
    }
}

impl ExpectedRows {
    /// Adds the request id of a post, unless the index has only later ones: it forgets old ones, by a
    /// setting that nothing here knows. The newest is never forgotten.
    pub fn push_request(&mut self, request: StoredRequest) {
        match self.oldest_request {
            Some(oldest) if request.revision < oldest => {}
            Some(_) => self.rows.push_request(request),
            None => self.rows.requests = vec![request],
        }
    }
}

impl Comparison<'_> {
    fn users(&mut self, view: &IndexView, expected: &IndexRows) -> Result<(), redb::Error> {
        let table = view.transaction.open_table(USERS)?;
        let found = table.iter()?.map(|row| {
            let (number, name) = row?;
            Ok((number.value(), name.value().to_owned()))
        });
        let names = expected.users.iter().map(|name| name.as_str().to_owned());
        self.compare("users", (0..).zip(names).map(Ok), found)
    }

    fn edges(&mut self, view: &IndexView, expected: &IndexRows) -> Result<(), redb::Error> {
        let table = view.transaction.open_table(EDGES)?;
        let mut expected = with_value(expected.edges.iter()).peekable();
        edges::all(&table, |pair, since| {
            if !self.goes_on() {
                return Ok(());
            }
            same("edges", expected.next().transpose()?, Some((pair, since)))
        })?;
        if self.is_cancelled { Ok(()) } else { same("edges", expected.next().transpose()?, None) }
    }

    /// Compares lists of marks. Each has a last row, and the check of each row covers the one before.
    fn marks(
        &mut self,
        view: &IndexView,
        kind: TimelineKind,
        expected: &IndexRows,
    ) -> Result<(), redb::Error> {
        let (name, chain, marks) = match kind {
            TimelineKind::Posts => ("posts_of", POSTS_OF, &expected.posts),
            TimelineKind::Changes => ("changes_of", CHANGES_OF, &expected.changes),
        };
        let (mut marks, users) = (marks.iter().peekable(), expected.next_user());
        let (mut user, mut last) = (0, START);
        let expected = std::iter::from_fn(|| {
            if user == users {
                return None;
            }
            let row = next_of(&mut marks, user).unwrap_or(Ok(END)).map(|mark| {
                let row = ((user, mark), check::chained_mark(user, last, mark));
                (user, last) = if mark == END { (user + 1, START) } else { (user, mark) };
                row
            });
            Some(row)
        });
        let table = view.transaction.open_table(chain)?;
        let found = table.iter()?.map(|row| {
            let (key, check) = row?;
            Ok((key.value(), check.value()))
        });
        self.compare(name, expected, found)
    }

    fn newest(&mut self, view: &IndexView, expected: &IndexRows) -> Result<(), redb::Error> {
        let mut marks = expected.posts.iter().peekable();
        let expected = std::iter::from_fn(|| {
            let mut last = match marks.next()? {
                Ok((last, ())) => last,
                Err(error) => return Some(Err(redb::Error::Io(error))),
            };
            while let Some(row) = next_of(&mut marks, last.0) {
                match row {
                    Ok(mark) => last.1 = mark,
                    Err(error) => return Some(Err(error)),
                }
            }
            Some(Ok(last))
        });
        let table = view.transaction.open_table(NEWEST)?;
        let found = table.iter()?.map(|row| {
            let (author, mark) = row?;
            Ok((author.value(), mark.value()))
        });
        self.compare("newest", expected, found)
    }

    fn records(
        &mut self,
        view: &IndexView,
        expected: &IndexRows,
        may_have: MayHave<'_>,
    ) -> Result<(), redb::Error> {
        let table = view.transaction.open_table(RECORDS)?;
        let found = records::all(&table)?;
        self.compare_records("facts", with_value(expected.records.iter()), found, may_have)?;
        let table = view.transaction.open_table(RESIDENT)?;
        let found = table.iter()?.map(|row| {
            let (key, value) = row?;
            Ok((key.value(), value.value()))
        });
        self.compare_records("resident", with_value(expected.resident.iter()), found, may_have)
    }

    fn compare_records(
        &mut self,
        table: &str,
        expected: impl Iterator<Item = Result<(StoredKey, u128), redb::Error>>,
        mut found: impl Iterator<Item = Result<(StoredKey, u128), redb::Error>>,
        may_have: MayHave<'_>,
    ) -> Result<(), redb::Error> {
        let mut expected = expected.peekable();
        while self.goes_on() {
            let found = found.next().transpose()?;
            let next = match expected.peek() {
                Some(Ok((key, _))) => Some(*key),
                _ => None,
            };
            if let Some((key, value)) = found
                && next != Some(key)
                && may_have(key, value)
            {
                continue;
            }
            let expected = expected.next().transpose()?;
            if expected.is_none() && found.is_none() {
                return Ok(());
            }
            same(table, expected, found)?;
        }
        Ok(())
    }

    fn requests(&mut self, view: &IndexView, expected: &IndexRows) -> Result<(), redb::Error> {
        let table = view.transaction.open_table(REQUESTS)?;
        let found = table.iter()?.map(|row| {
            let (revision, value) = row?;
            Ok(tables::request(revision.value(), value.value()))
        });
        self.compare("requests", expected.requests.iter().copied().map(Ok), found)
    }

    /// Compares the rows of a table.
    fn compare<T: PartialEq + Debug>(
        &mut self,
        table: &str,
        mut expected: impl Iterator<Item = Result<T, redb::Error>>,
        mut found: impl Iterator<Item = Result<T, redb::Error>>,
    ) -> Result<(), redb::Error> {
        while self.goes_on() {
            let (expected, found) = (expected.next().transpose()?, found.next().transpose()?);
            if expected.is_none() && found.is_none() {
                return Ok(());
            }
            same(table, expected, found)?;
        }
        Ok(())
    }

    /// Counts a row. Whether to look at it.
    fn goes_on(&mut self) -> bool {
        self.rows += 1;
        if self.rows.is_multiple_of(ROWS_AT_ONCE) && !(self.go_on)(self.rows) {
            self.is_cancelled = true;
        }
        !self.is_cancelled
    }
}

/// The next mark of `user`, unless all of them are taken.
fn next_of(
    marks: &mut Peekable<impl Iterator<Item = io::Result<((u32, u64), ())>>>,
    user: u32,
) -> Option<Result<u64, redb::Error>> {
    let is_of_user =
        |row: &io::Result<((u32, u64), ())>| row.as_ref().map_or(true, |((of, _), ())| *of == user);
    let row = marks.next_if(is_of_user)?;
    Some(row.map(|((_, mark), ())| mark).map_err(redb::Error::Io))
}

/// The rows that were not removed again.
fn with_value<K, V>(
    rows: impl Iterator<Item = io::Result<(K, Option<V>)>>,
) -> impl Iterator<Item = Result<(K, V), redb::Error>> {
    rows.filter_map(|row| match row {
        Ok((key, value)) => value.map(|value| Ok((key, value))),
        Err(error) => Some(Err(redb::Error::Io(error))),
    })
}

/// Fails if two rows of a table differ.
fn same<T: PartialEq + Debug>(
    table: &str,
    expected: Option<T>,
    found: Option<T>,
) -> Result<(), redb::Error> {
    if expected == found {
        return Ok(());
    }
    let row =
        |row: Option<T>| row.map_or_else(|| "no further row".to_owned(), |row| format!("{row:?}"));
    Err(redb::Error::Corrupted(format!(
        "its table {table} differs from the log: it has {}, and the log gives {}",
        row(found),
        row(expected)
    )))
}
