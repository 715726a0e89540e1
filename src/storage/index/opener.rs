//! IndexOpener the index: which of its files is used, and what if none can be.
//!
//! ```text
//!   index.redb fits the log? ──▶ used
//!     else index.redb.new?   ──▶ used: a rebuild that was cut off goes on where it was
//!     else one is made       ──▶ used, empty
//!     else one in memory, empty, until a file can be made
//! ```
//!
//! Whatever is wrong with the index, the log is not: so nothing here keeps a server from starting
//! but a log that cannot be read. A file is removed only if what is in it is not what was written.

use std::sync::Arc;
use std::time::Duration;

use redb::Builder;
use redb::backends::InMemoryBackend;

use super::blocks::Damage;
use super::files::{BusyMark, FileRole, IndexFiles, OpenDatabase};
use super::health::why;
use super::{Index, OpenedIndex, TablesLocation, begin};
use crate::storage::error::Error;
use crate::storage::free_space::FreeSpace;
use crate::storage::log::Log;
use crate::storage::redb_file::{guarded, random, storage};

/// What an index is opened with.
#[derive(Clone, Debug)]
pub(super) struct IndexOpener {
    pub(super) files: Arc<dyn IndexFiles>,
    /// It must never take the room that the log is promised for its own writes.
    pub(super) space: Option<Arc<FreeSpace>>,
    pub(super) request_id_retention: Duration,
}

/// Why a file is not used.
#[derive(Debug)]
pub(super) enum Rejection {
    /// Because of itself.
    Index(Error),
    /// What is in the log is not known, so nothing is known of the file.
    Log(Error),
}

impl IndexOpener {
    /// The index of `log`.
    pub(super) fn open(self, log: &dyn Log) -> Result<OpenedIndex, Error> {
        let current = self.look(FileRole::Current, log)?;
        if let Some(opened) = current {
            self.discard_new();
            return Ok(opened);
        }
        if let Some(opened) = self.look(FileRole::New, log)? {
            let complete_until = opened.contents.complete_until;
            tracing::info!(%complete_until, "the rebuilding of the index goes on");
            self.install_if_no_current(&opened.index);
            return Ok(opened);
        }
        match self.make(log, [random(), random()]) {
            Ok(opened) => {
                self.install_if_no_current(&opened.index);
                Ok(opened)
            }
            Err(error) => {
                let file = self.files.name(FileRole::Current).display();
                tracing::warn!(
                    %file, why = why(&error),
                    "there is no index for now; the server goes on without"
                );
                self.make_in_memory(log, [random(), random()])
            }
        }
    }

    /// An empty index of `log` in the new file, under `hash_key`.
    pub(super) fn make(&self, log: &dyn Log, hash_key: [u64; 2]) -> Result<OpenedIndex, Error> {
        if let Some(space) = &self.space {
            space.check()?;
        }
        let _busy = BusyMark::new(&*self.files);
        let file = self.files.name(FileRole::New);
        let database = guarded(file, || {
            let (database, damage) = self.files.make()?;
            begin(&database, log, hash_key).map_err(|error| storage(file, error))?;
            Ok((database, damage))
        })?;
        Index::load(database, self, TablesLocation::New, log).map_err(Rejection::into_error)
    }

    /// The file that is used if it can be opened and fits `log`.
    fn look(&self, which: FileRole, log: &dyn Log) -> Result<Option<OpenedIndex>, Error> {
        let _busy = BusyMark::new(&*self.files);
        let file = self.files.name(which);
        let place =
            if which == FileRole::Current { TablesLocation::Current } else { TablesLocation::New };
        let opened = match guarded(file, || self.files.open(which)) {
            Ok(None) => return Ok(None),
            Ok(Some(database)) => Index::load(database, self, place, log),
            Err(error) => Err(Rejection::Index(error)),
        };
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(Rejection::Log(error)) => Err(error),
            Err(Rejection::Index(error)) => {
                let file = file.display();
                tracing::warn!(
                    %file, why = why(&error),
                    "the index is not used; it is rebuilt from the log while the server serves"
                );
                if matches!(error, Error::Damaged { .. })
                    && let Err(error) = self.files.remove(which)
                {
                    tracing::warn!(%error, "a damaged index is left");
                }
                Ok(None)
            }
        }
    }

    /// As [`IndexOpener::make`], in memory.
    pub(super) fn make_in_memory(
        &self,
        log: &dyn Log,
        hash_key: [u64; 2],
    ) -> Result<OpenedIndex, Error> {
        let file = self.files.name(FileRole::Current);
        let database = guarded(file, || {
            let made = Builder::new().create_with_backend(InMemoryBackend::new());
            let database = made.map_err(|error| storage(file, error))?;
            begin(&database, log, hash_key).map_err(|error| storage(file, error))?;
            Ok(database)
        })?;
        Index::load((database, Damage::default()), self, TablesLocation::Memory, log)
            .map_err(Rejection::into_error)
    }

    /// Puts a new file in its place at once if there is none that it would replace.
    pub(super) fn install_if_no_current(&self, index: &Index) {
        if matches!(self.files.is_there(FileRole::Current), Ok(false)) {
            index.install_new_file();
        }
    }

    /// Removes what was being made, if there is one in use.
    fn discard_new(&self) {
        if let Err(error) = self.files.remove(FileRole::New) {
            tracing::debug!(%error, "a superfluous index is left");
        }
    }
}

impl Rejection {
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Index(error) | Self::Log(error) => error,
        }
    }
}

/// Opens the file in use once more, after its disk failed. What is in it is loaded already.
pub(super) fn open_again(
    files: &dyn IndexFiles,
    which: FileRole,
) -> Result<Option<OpenDatabase>, Error> {
    let _busy = BusyMark::new(files);
    guarded(files.name(which), || files.open(which))
}
