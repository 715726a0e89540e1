//! A new log out of events that come from elsewhere, in a data folder without one. Never leaves a folder that
//! a server would open before all of them are there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::folder::Folder;
use super::restoring::{self, OPTIONS, RestoredLog};
use super::{LocalLog, Origin};
use crate::model::{Event, Revision};
use crate::storage::error::Error;
use crate::storage::folder_lock::FolderLock;
use crate::storage::log::Log;

/// A load under way. Dropped before its end, it removes what it wrote.
#[derive(Debug)]
pub struct LogLoad {
    dir: PathBuf,
    folder: Arc<dyn Folder>,
    /// `None` once it is finished.
    log: Option<LocalLog>,
    /// Held until the end.
    _lock: FolderLock,
}

impl LogLoad {
    /// Begins a log in `dir`, which has nothing, or an interrupted restore, or does not exist.
    ///
    /// # Errors
    /// The folder has something else, is in use, or cannot be written.
    pub fn begin(dir: &Path) -> Result<Self, Error> {
        let (lock, folder) = restoring::begin_in(dir, &restoring::ALLOWED)?;
        let log = LocalLog::open_folder(Arc::clone(&folder), OPTIONS, Origin::here(), None)?;
        Ok(Self { dir: dir.to_owned(), folder, log: Some(log), _lock: lock })
    }

    /// Appends the next events.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn append(&mut self, events: Vec<Event>) -> Result<(), Error> {
        let log = self.log.as_ref().ok_or(Error::Closed)?;
        log.append(log.head(), events).map(drop)
    }

    /// Ends the load: the folder has a log from now on.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn finish(mut self) -> Result<RestoredLog, Error> {
        let log = self.log.as_ref().ok_or(Error::Closed)?;
        let (id, head, segments) = (log.id(), log.head(), log.segments());
        let chain = log.chain_at(head)?;
        // Its files are closed before they move.
        self.log = None;
        restoring::finish_in(&self.dir, &*self.folder)?;
        let bytes = segments.iter().map(|segment| segment.bytes).sum();
        let (segments, deleted) = (segments.len() as u64, 0);
        debug_assert!(head == Revision::ZERO || segments > 0, "events are in segments");
        Ok(RestoredLog { id, head, chain, segments, bytes, deleted })
    }
}

impl Drop for LogLoad {
    fn drop(&mut self) {
        if self.log.take().is_some()
            && let Err(error) = fs::remove_dir_all(self.folder.path())
        {
            tracing::debug!(%error, "what was loaded so far stays, and no server opens it");
        }
    }
}
