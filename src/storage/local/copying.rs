//! A copy of a log that is kept elsewhere, in a data folder: it takes over what is appended there, byte for byte. It
//! is opened as a copy only, and a log that was decided here never as one: else its history would fork.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{FOLDER, LocalLog, LogOptions, Origin};
use crate::model::{Chain, EpochStart, LogId, Revision};
use crate::storage::error::Error;
use crate::storage::folder_lock::FolderLock;
use crate::storage::log::encoded_batch::EncodedBatch;
use crate::storage::log::{Batch, Log};

/// The file that says so. It has a sentence for people.
const MARKER: &str = "copy";
const SENTENCE: &str = "The folder log is a copy of a log that is kept elsewhere. It may be removed, and is fetched \
                        again: whimbrel serve --store\n";

/// Fails if the data folder `dir` has a copy.
pub(super) fn check_is_no_copy(dir: &Path) -> Result<(), Error> {
    let failed = |source: io::Error| Error::Storage { file: dir.to_owned(), source: source.into() };
    match dir.join(MARKER).try_exists().map_err(failed)? {
        true => Err(Error::IsACopy { dir: dir.to_owned() }),
        false => Ok(()),
    }
}

impl LocalLog {
    /// Opens the copy of the log `id` in `dir`, or begins one if the folder has no log.
    ///
    /// # Errors
    /// The folder has a log of its own, or the copy of another one; else as [`LocalLog::open`].
    pub(in crate::storage) fn open_copy(
        dir: &Path,
        options: LogOptions,
        id: LogId,
    ) -> Result<Self, Error> {
        let failed =
            |source: io::Error| Error::Storage { file: dir.to_owned(), source: source.into() };
        let lock = FolderLock::acquire(dir)?;
        let marker = dir.join(MARKER);
        if !marker.try_exists().map_err(failed)? {
            if dir.join(FOLDER).try_exists().map_err(failed)? {
                return Err(Error::IsNoCopy { dir: dir.to_owned() });
            }
            // Before the log, so that no server ever takes what is copied for a log of its own.
            fs::write(&marker, SENTENCE).map_err(failed)?;
            fs::File::open(&marker).and_then(|file| file.sync_all()).map_err(failed)?;
            fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
        }
        let log = Self::open_locked(dir, options, Origin::CopyOf(id), lock)?;
        match log.id() == id {
            true => Ok(log),
            false => Err(Error::OfAnotherStore { dir: dir.to_owned(), own: log.id(), store: id }),
        }
    }

    /// The head, and the chain up to there.
    pub(in crate::storage) fn end(&self) -> (Revision, Chain) {
        let writer = self.writer();
        (self.head_revision(), writer.chain)
    }

    /// Fails if there is no room for what is to be taken over.
    pub(in crate::storage) fn check_room(&self) -> Result<(), Error> {
        self.maintenance.check()?;
        self.preparer.check_room()
    }

    /// Appends a batch that was appended elsewhere. Does nothing if it is there already: who appended it and who
    /// reads what others append may both bring it.
    ///
    /// # Errors
    /// [`Error::Forked`]: it follows on another history. Else as [`Log::append`].
    pub(in crate::storage) fn take_over(&self, batch: EncodedBatch) -> Result<(), Error> {
        let mut writer = self.writer();
        if writer.closed {
            return Err(Error::Closed);
        }
        let (head, last) = (self.head_revision(), batch.last());
        let forked = || Error::Forked { after: batch.first.previous(), head };
        if last <= head {
            let own = if last == head { writer.chain } else { self.chain_at(last)? };
            return if own == batch.chains[1] { Ok(()) } else { Err(forked()) };
        }
        if batch.first != head.next() || batch.chains[0] != writer.chain {
            return Err(forked());
        }
        let written = self.check_room().and_then(|()| self.write_batch(&mut writer, &batch));
        written.inspect_err(|error| writer.close_after(error))?;
        self.epochs.begin(EpochStart { first: batch.first, epoch: batch.epoch });
        self.head.store(last.get(), Ordering::Release);
        let batch = Arc::new(Batch { first: batch.first, events: batch.events });
        writer.followers.retain(|follower| follower.send(Arc::clone(&batch)).is_ok());
        Ok(())
    }
}
