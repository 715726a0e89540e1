//! Opening the index: which of its files is used.
//!
//! ```text
//!   index.redb matches the log?     ──▶ used
//!   else index.redb.new matches it? ──▶ used: the interrupted rebuild continues
//!   else a new file can be made?    ──▶ used, empty
//!   else                            ──▶ empty tables in memory, until a file can be made
//! ```
//!
//! A file matches if its header does, and then all its rows, which are read by the caller. No failure
//! of the index keeps a server from starting; only a log that cannot be read does. A file is never
//! removed unless it is damaged.

use std::sync::Arc;
use std::time::Duration;

use redb::Builder;
use redb::backends::InMemoryBackend;

use super::blocks::Damage;
use super::files::{BusyMark, FileRole, IndexFiles, OpenDatabase};
use super::health::reason;
use super::{Index, OpenedIndex, TablesLocation, begin};
use crate::storage::error::Error;
use crate::storage::free_space::FreeSpace;
use crate::storage::log::Log;
use crate::storage::redb_file::{guarded, random, storage};

/// Opens and creates the files of one index.
#[derive(Clone, Debug)]
pub(super) struct IndexOpener {
    pub(super) files: Arc<dyn IndexFiles>,
    /// Its reserve is larger than the log's, so that the index never takes the log's space. `None`:
    /// not checked.
    pub(super) space: Option<FreeSpace>,
    pub(super) request_id_retention: Duration,
}

/// What an index can be opened from, in the order in which that is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum IndexCandidate {
    Current,
    New,
    /// A file that is made now, without rows.
    Empty,
    /// Tables in memory, without rows.
    InMemory,
}

/// Why a file is not used.
#[derive(Debug)]
pub(super) enum IndexRejection {
    /// The file cannot be opened, or does not match the log.
    Index(Error),
    /// The log cannot be read, so the file cannot be compared with it.
    Log(Error),
}

impl IndexOpener {
    /// Opens the index of `log`.
    pub(super) fn open(self, log: &dyn Log) -> Result<OpenedIndex, Error> {
        self.open_from(IndexCandidate::Current, log)
    }

    /// As [`IndexOpener::open`], without the candidates before `first`.
    fn open_from(&self, first: IndexCandidate, log: &dyn Log) -> Result<OpenedIndex, Error> {
        let files =
            [(IndexCandidate::Current, FileRole::Current), (IndexCandidate::New, FileRole::New)];
        for (candidate, role) in files {
            if first <= candidate
                && let Some(index) = self.open_file(role, log)?
            {
                return Ok(OpenedIndex { index, candidate });
            }
        }
        if first <= IndexCandidate::Empty {
            match self.create(log, [random(), random()]) {
                Ok(index) => return Ok(OpenedIndex { index, candidate: IndexCandidate::Empty }),
                Err(error) => {
                    let file = self.files.name(FileRole::Current).display();
                    tracing::warn!(
                        %file, why = reason(&error),
                        "there is no index for now; the server goes on without"
                    );
                }
            }
        }
        let index = self.create_in_memory(log, [random(), random()])?;
        Ok(OpenedIndex { index, candidate: IndexCandidate::InMemory })
    }

    /// Creates an empty index of `log` in the new file, under `hash_key`.
    pub(super) fn create(&self, log: &dyn Log, hash_key: [u64; 2]) -> Result<Index, Error> {
        if let Some(space) = &self.space {
            space.check()?;
        }
        let _busy = BusyMark::new(&*self.files);
        let file = self.files.name(FileRole::New);
        let database = guarded(file, || {
            let (database, damage) = self.files.create_new()?;
            begin(&database, log, hash_key).map_err(|error| storage(file, error))?;
            Ok((database, damage))
        })?;
        Index::with_database(database, self, TablesLocation::New, log)
            .map_err(IndexRejection::into_error)
    }

    /// Opens a file; `None` if it does not exist, cannot be opened, or does not match `log`.
    fn open_file(&self, role: FileRole, log: &dyn Log) -> Result<Option<Index>, Error> {
        let _busy = BusyMark::new(&*self.files);
        let file = self.files.name(role);
        let opened = match guarded(file, || self.files.open(role)) {
            Ok(None) => return Ok(None),
            Ok(Some(database)) => Index::with_database(database, self, role.location(), log),
            Err(error) => Err(IndexRejection::Index(error)),
        };
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(IndexRejection::Log(error)) => Err(error),
            Err(IndexRejection::Index(error)) => {
                self.reject(role, &error);
                Ok(None)
            }
        }
    }

    /// Reports that a file is not used, and removes it if it is damaged.
    fn reject(&self, role: FileRole, error: &Error) {
        let file = self.files.name(role).display();
        tracing::warn!(
            %file, why = reason(error),
            "the index is not used; it is rebuilt from the log while the server serves"
        );
        if matches!(error, Error::Damaged { .. })
            && let Err(error) = self.files.remove(role)
        {
            tracing::warn!(%error, "a damaged index cannot be removed");
        }
    }

    /// As [`IndexOpener::create`], in memory.
    pub(super) fn create_in_memory(
        &self,
        log: &dyn Log,
        hash_key: [u64; 2],
    ) -> Result<Index, Error> {
        let file = self.files.name(FileRole::Current);
        let database = guarded(file, || {
            let made = Builder::new().create_with_backend(InMemoryBackend::new());
            let database = made.map_err(|error| storage(file, error))?;
            begin(&database, log, hash_key).map_err(|error| storage(file, error))?;
            Ok(database)
        })?;
        let database = (database, Damage::default());
        Index::with_database(database, self, TablesLocation::Memory, log)
            .map_err(IndexRejection::into_error)
    }

    /// Makes a new file the current one at once if there is no current file to replace.
    pub(super) fn install_if_no_current(&self, index: &Index) {
        if matches!(self.files.exists(FileRole::Current), Ok(false)) {
            index.install_new_file();
        }
    }

    /// Removes an unfinished new file, which the current file makes superfluous.
    fn discard_new(&self) {
        if let Err(error) = self.files.remove(FileRole::New) {
            tracing::debug!(%error, "a superfluous index cannot be removed");
        }
    }
}

impl OpenedIndex {
    /// The index of the next candidate, because the rows of this one cannot be used.
    pub(super) fn next(self, error: &Error, log: &dyn Log) -> Result<Self, Error> {
        let opener = self.index.opener.clone();
        let (next, role) = match self.candidate {
            IndexCandidate::Current => (IndexCandidate::New, FileRole::Current),
            IndexCandidate::New => (IndexCandidate::Empty, FileRole::New),
            IndexCandidate::Empty => (IndexCandidate::InMemory, FileRole::New),
            IndexCandidate::InMemory => unreachable!("tables in memory are not damaged: {error}"),
        };
        // The file is locked while it is open.
        drop(self);
        opener.reject(role, error);
        opener.open_from(next, log)
    }

    /// The index, whose rows are all read. Only now its file makes others superfluous.
    pub(super) fn into_index(self) -> Index {
        let Self { index, candidate } = self;
        match candidate {
            IndexCandidate::Current => index.opener.discard_new(),
            IndexCandidate::New => {
                let complete_until = index.complete_until();
                tracing::info!(%complete_until, "the rebuild of the index continues");
                index.opener.install_if_no_current(&index);
            }
            IndexCandidate::Empty => index.opener.install_if_no_current(&index),
            IndexCandidate::InMemory => {}
        }
        index
    }
}

impl IndexRejection {
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Index(error) | Self::Log(error) => error,
        }
    }
}

/// Opens a file again after its disk failed. Its rows are in memory already.
pub(super) fn open_again(
    files: &dyn IndexFiles,
    role: FileRole,
) -> Result<Option<OpenDatabase>, Error> {
    let _busy = BusyMark::new(files);
    guarded(files.name(role), || files.open(role))
}
