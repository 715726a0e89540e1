//! A copy of a log that is kept elsewhere, in a data folder: it takes over what is appended there, byte for byte. It
//! is opened as a copy only, and a log that was decided here never as one: else its history would fork. What a power cut
//! takes from it is fetched again, so that it is not flushed with each batch (flushing.rs).

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::flushing::Flushing;
use super::{FOLDER, LocalLog, LogOptions, Origin};
use crate::model::{Chain, EpochStart, LogId, Revision};
use crate::storage::error::Error;
use crate::storage::folder_lock::FolderLock;
use crate::storage::log::encoded_batch::EncodedBatch;
use crate::storage::log::record::CHECK_BYTES;
use crate::storage::log::{Batch, Log};

/// The file that says so. It has a sentence for people.
pub(super) const MARKER: &str = "copy";
const SENTENCE: &str = "The folder log is a copy of a log that is kept elsewhere. It may be removed, and is fetched \
                        again: whimbrel serve --store\n";

/// Fails if the data folder `dir` has a copy.
pub(super) fn check_is_no_copy(dir: &Path) -> Result<(), Error> {
    match is_copy(dir)? {
        true => Err(Error::IsACopy { dir: dir.to_owned() }),
        false => Ok(()),
    }
}

/// Whether the data folder `dir` has a copy of a log that is kept elsewhere.
///
/// # Errors
/// It cannot be read.
pub fn is_copy(dir: &Path) -> Result<bool, Error> {
    let failed = |source: io::Error| Error::Storage { file: dir.to_owned(), source: source.into() };
    dir.join(MARKER).try_exists().map_err(failed)
}

/// Whether the data folder `dir` has a log, or a copy of one.
#[must_use]
pub fn has_log(dir: &Path) -> bool {
    dir.join(FOLDER).is_dir()
}

/// How the log in the data folder `dir` is flushed.
pub(super) fn flushing_of(dir: &Path) -> Result<Flushing, Error> {
    is_copy(dir).map(|is_copy| if is_copy { Flushing::WithCheckpoint } else { Flushing::EachFrame })
}

/// Writes the marker, so that it is there after a power cut.
pub(super) fn mark(dir: &Path) -> io::Result<()> {
    let marker = dir.join(MARKER);
    fs::write(&marker, SENTENCE)?;
    fs::File::open(&marker)?.sync_all()?;
    fs::File::open(dir)?.sync_all()
}

impl LocalLog {
    /// Opens the copy of the log `id` in `dir`, or begins one if the folder has no log. A log that was decided here, and
    /// that `is_there` whole where it is kept now, is a copy from now on.
    ///
    /// # Errors
    /// The folder has another log of its own, or the copy of another one; else as [`LocalLog::open`].
    pub(in crate::storage) fn open_copy(
        dir: &Path,
        options: LogOptions,
        id: LogId,
        is_there: impl FnOnce(Revision, Chain) -> Result<bool, Error>,
    ) -> Result<Self, Error> {
        let failed =
            |source: io::Error| Error::Storage { file: dir.to_owned(), source: source.into() };
        let lock = FolderLock::acquire(dir)?;
        let is_copy = is_copy(dir)?;
        let has_log = dir.join(FOLDER).try_exists().map_err(failed)?;
        if !is_copy && !has_log {
            // Before the log, so that no server ever takes what is copied for a log of its own.
            mark(dir).map_err(failed)?;
        }
        let log = Self::open_locked(dir, options, Origin::CopyOf(id), lock)?;
        match log.id() == id {
            true if is_copy || !has_log => Ok(log),
            true => {
                let (head, chain) = log.end();
                if !is_there(head, chain)? {
                    return Err(Error::IsNoCopy { dir: dir.to_owned() });
                }
                mark(dir).map_err(failed)?;
                Ok(log)
            }
            false if is_copy => {
                Err(Error::OfAnotherStore { dir: dir.to_owned(), own: log.id(), store: id })
            }
            false => Err(Error::IsNoCopy { dir: dir.to_owned() }),
        }
    }

    /// Makes the copy in `dir`, which nobody uses and which is whole and durable, a log of its own.
    ///
    /// # Errors
    /// The folder is in use, or cannot be written.
    pub(in crate::storage) fn make_own(dir: &Path) -> Result<(), Error> {
        let failed =
            |source: io::Error| Error::Storage { file: dir.to_owned(), source: source.into() };
        let _lock = FolderLock::acquire(dir)?;
        fs::remove_file(dir.join(MARKER)).map_err(failed)?;
        fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
    }

    /// The records after `after`, of one epoch, at least one and at most `events_max`: as they are, for another log.
    ///
    /// # Errors
    /// `after` is the head, or the log cannot be read.
    pub(in crate::storage) fn batch_after(
        &self,
        after: Revision,
        events_max: usize,
    ) -> Result<EncodedBatch, Error> {
        let (first, epochs) = (after.next(), self.epochs());
        let epoch = epochs.at(first);
        let records = self.records(first, self.head_revision())?;
        let mut copied = Vec::new();
        for (revision, record) in (first.get()..).map(Revision::new).zip(records.iter()) {
            if epochs.at(revision) != epoch || copied.len() == events_max {
                break;
            }
            let mut bytes = Vec::new();
            record?.1.copy(false, &mut bytes);
            copied.push(bytes.split_off(CHECK_BYTES));
        }
        let records = copied.iter().map(Vec::as_slice);
        EncodedBatch::of_records(first, epoch, self.chain_at(after)?, records)
            .map_err(|what| Error::Damaged { file: self.files.folder.path().to_owned(), what })
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
