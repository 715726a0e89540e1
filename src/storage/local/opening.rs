//! Opening a log: what its files say becomes the state of the open log, and what an unclean stop left
//! is put in order. A log that is refused is left as it is.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use super::checkpoint::{Checkpoint, CheckpointContent, DurablePosition};
use super::flushing::Flushing;
use super::folder::Folder;
use super::preparer::{LogOptions, Preparer};
use super::recovery::{self, FIRST_NUMBER, LogEnd, Recovered};
use super::segment::{SegmentFiles, file_name};
use super::segments::{Maintenance, SegmentList};
use super::writer::{Active, FrameBuffer, Writer};
use super::{LocalLog, epochs};
use crate::model::{Epoch, Epochs, LogId, Revision};
use crate::storage::error::Error;
use crate::storage::folder_lock::FolderLock;
use crate::storage::redb_file::random;

/// Where the events of a log are decided.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// Here: what this opening appends has this epoch.
    Here(Epoch),
    /// Elsewhere: the folder has a copy of the log with this id.
    CopyOf(LogId),
}

impl Origin {
    pub(super) fn here() -> Self {
        Self::Here(new_epoch())
    }

    /// The id of the log, if there is none yet.
    fn new_id(self) -> LogId {
        match self {
            Self::Here(_) => LogId::new(random()),
            Self::CopyOf(id) => id,
        }
    }

    /// The epoch of what the log appends by itself. Of what it takes over, each batch has one.
    fn epoch(self) -> Epoch {
        match self {
            Self::Here(epoch) => epoch,
            Self::CopyOf(_) => Epoch::UNRECORDED,
        }
    }

    fn flushing(self) -> Flushing {
        match self {
            Self::Here(_) => Flushing::EachFrame,
            Self::CopyOf(_) => Flushing::WithCheckpoint,
        }
    }
}

/// The epoch of an opening.
pub(in crate::storage) fn new_epoch() -> Epoch {
    // Never zero, which stands for events from before epochs were recorded.
    Epoch::new((random() as u32).max(1))
}

impl LocalLog {
    /// Opens the log in `folder`, which is made there or comes from elsewhere.
    pub(super) fn open_folder(
        folder: Arc<dyn Folder>,
        options: LogOptions,
        origin: Origin,
        lock: Option<FolderLock>,
    ) -> Result<Self, Error> {
        let (checkpoint, CheckpointContent { durable, writer }) =
            Checkpoint::open(Arc::clone(&folder))?;
        let files = Arc::new(SegmentFiles::new(folder));
        let has_segments = recovery::has_segments(&*files.folder);
        if durable.is_some() && !has_segments.map_err(|error| files.folder_failed(error))? {
            // It is written once the first segment is durable.
            let (file, made_from_it) = (files.path(FIRST_NUMBER), checkpoint.path().clone());
            return Err(Error::Missing { file, made_from_it });
        }
        let durable_until = durable.map_or(Revision::ZERO, |durable| durable.revision);
        let found = recovery::list_readable(&files, writer)?;
        let end = LogEnd { durable_until, flushing: origin.flushing() };
        let recovered = recovery::recover(&files, found, origin.new_id(), options, end)?;
        let Recovered { id, segments, active_bytes, prepared, next_number, newest_frame, .. } =
            recovered;
        let count = segments.len();
        let active = active_bytes.zip(segments.last()).map(|(bytes, segment)| {
            Ok(Active { segment: Arc::clone(segment), file: files.of(segment)?, bytes })
        });
        let preparer = Preparer::new(Arc::clone(&files), options, prepared, next_number, count);
        let next = segments.last().map_or(Revision::ZERO, |last| last.last()).next();
        let mut epochs = recovered.epochs;
        if let Origin::Here(epoch) = origin {
            epochs::extend(&mut epochs, next, epoch);
        }
        let (preparer, segments) =
            (Arc::new(preparer), Arc::new(SegmentList::new(Arc::clone(&files), segments)));
        let log = Self {
            id,
            head: AtomicU64::new(segments.last_revision().get()),
            erased_until: AtomicU64::new(recovered.erased_until.get()),
            writer: Mutex::new(Writer {
                // Dropped after a failure below, it leaves the checkpoint as it is.
                closed: true,
                active: active.transpose()?,
                chain: recovered.chain,
                epoch: origin.epoch(),
                frame: FrameBuffer::default(),
                followers: Vec::new(),
            }),
            maintenance: Maintenance::new(Arc::clone(&segments), Arc::clone(&preparer)),
            preparer,
            files,
            segments,
            flushing: origin.flushing(),
            checkpoint,
            epochs: Epochs::new(epochs),
            erasing: Mutex::default(),
            _lock: lock,
        };
        log.check_checkpoint(durable)?;
        // Only now: a log that is damaged is left as it is.
        log.remove_unwritten(&recovered.unwritten)?;
        recovery::make_durable(&log.files, newest_frame, durable_until)?;
        log.seal_rest()?;
        log.writer().closed = false;
        Ok(log)
    }

    /// The log has what the checkpoint says to be durable.
    fn check_checkpoint(&self, durable: Option<DurablePosition>) -> Result<(), Error> {
        let Some(DurablePosition { log, revision, chain }) = durable else { return Ok(()) };
        let damaged =
            |what: String| Err(Error::Damaged { file: self.files.folder.path().to_owned(), what });
        if log != self.id {
            return damaged(format!(
                "its checkpoint belongs to another log ({log}, this is {})",
                self.id
            ));
        }
        let head = self.head_revision();
        if revision > head {
            let file = self.checkpoint.path().clone();
            return Err(Error::EndsEarly { head, durable_until: revision, file });
        }
        if self.chain_at(revision)? != chain {
            return damaged(format!("its checkpoint is of other events up to revision {revision}"));
        }
        Ok(())
    }

    /// Removes files that an unclean stop left without an event.
    fn remove_unwritten(&self, numbers: &[u64]) -> Result<(), Error> {
        let folder = &self.files.folder;
        for &number in numbers {
            let removed = folder.remove(&file_name(number));
            removed.map_err(|error| self.files.failed(number, error))?;
        }
        if numbers.is_empty() {
            return Ok(());
        }
        folder.sync().map_err(|error| self.files.folder_failed(error))
    }

    /// Seals the segments that an unclean stop left without a foot.
    fn seal_rest(&self) -> Result<(), Error> {
        let writer = self.writer();
        for segment in self.segments.all() {
            let is_active =
                writer.active.as_ref().is_some_and(|active| Arc::ptr_eq(&active.segment, &segment));
            if !is_active {
                self.segments.seal(&segment)?;
            }
        }
        Ok(())
    }
}
