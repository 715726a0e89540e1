//! The log in files of this machine: segments, each with a range of revisions.
//!
//! ```text
//!   data folder
//!   ├── lock           locked by the process that uses the folder; names that process
//!   ├── log/
//!   │   ├── checkpoint              up to where all is durable, see checkpoint.rs
//!   │   ├── 0000000000000001.seg    sealed: never written again, only replaced
//!   │   ├── 0000000000000002.seg    active: one write and one flush a batch
//!   │   ├── 0000000000000003.seg    prepared: zeros, written and flushed
//!   │   └── 0000000000000001.seg.new    a rewrite under way; removed at a start
//!   ├── copy           says that the log is a copy, see copying.rs
//!   └── index.redb     derived from the log, see index/
//! ```
//!
//! The bytes are drawn in format.rs and log/record.rs. In memory are the tables of the active segment
//! (4 bytes an event), and some hundred bytes for each sealed one. Reads never wait for a write.

mod checking;
mod checkpoint;
mod copying;
mod cut;
mod disk_folder;
mod epochs;
mod erasing;
mod flushing;
mod folder;
mod format;
mod loading;
mod opening;
mod preparer;
mod reading;
mod recovery;
mod restoring;
mod scan;
mod sealing;
mod segment;
mod segment_check;
mod segment_copy;
mod segments;
mod takeover;
mod window;
mod writer;

use std::collections::HashSet;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use checking::{CheckedLog, NotErased, check_events, check_log, read_chain};
pub use copying::{has_log, is_copy};
pub use folder::{Folder, StorageFile};
pub use loading::LogLoad;
use opening::Origin;
pub(in crate::storage) use opening::new_epoch;
pub use preparer::LogOptions;
pub use restoring::{CheckedCopy, LogRestore, RestoredLog};

use super::disk_reads::assert_disk_reads_allowed;
use super::error::Error;
use super::folder_lock::FolderLock;
use super::free_space::{DiskReserve, bytes_free};
use super::index::FILES;
use super::log::record::chain_start;
use super::log::{Batch, EraseOutcome, Erasure, Log, LogEntry, LogSize, SegmentInfo, SegmentRead};
use crate::model::{Chain, Epochs, Event, LogId, Revision};
use checkpoint::{Checkpoint, DurablePosition};
use disk_folder::DiskFolder;
use flushing::Flushing;
use preparer::Preparer;
use restoring::UNFINISHED_RESTORE;
use segment::{RawRecords, Segment, SegmentFiles, file_name};
use segments::{Maintenance, SegmentList};
use writer::Writer;

/// The folder of the log in the data folder.
const FOLDER: &str = "log";

/// A log in a folder of this machine.
#[derive(Debug)]
pub struct LocalLog {
    id: LogId,
    files: Arc<SegmentFiles>,
    segments: Arc<SegmentList>,
    head: AtomicU64,
    erased_until: AtomicU64,
    writer: Mutex<Writer>,
    preparer: Arc<Preparer>,
    maintenance: Maintenance,
    flushing: Flushing,
    checkpoint: Checkpoint,
    epochs: Epochs,
    /// Held during an erasure.
    erasing: Mutex<()>,
    /// `None` for a folder that the caller provides.
    _lock: Option<FolderLock>,
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
    /// use whimbrel::storage::{Error, LocalLog, Log, LogOptions};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let options = LogOptions { disk_free_bytes_min: 0, segment_bytes_max: 1 << 20 };
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
    /// let chain = log.chain(Revision::new(1))?;
    /// drop(log);
    /// let log = LocalLog::open(folder.path(), options)?;
    /// assert_eq!(log.head(), Revision::new(1));
    /// assert_eq!(log.read(Revision::ZERO, 10)?[0].event, event);
    /// assert_eq!(log.chain(Revision::new(1))?, chain);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(dir: &Path, options: LogOptions) -> Result<Self, Error> {
        let lock = FolderLock::acquire(dir)?;
        copying::check_is_no_copy(dir)?;
        Self::open_locked(dir, options, Origin::here(), lock)
    }

    fn open_locked(
        dir: &Path,
        options: LogOptions,
        origin: Origin,
        lock: FolderLock,
    ) -> Result<Self, Error> {
        let path = dir.join(FOLDER);
        let failed =
            |error: std::io::Error| Error::Storage { file: path.clone(), source: error.into() };
        let unfinished = dir.join(UNFINISHED_RESTORE);
        if unfinished.try_exists().map_err(failed)? {
            return Err(Error::RestoreUnfinished { dir: dir.to_owned(), unfinished });
        }
        takeover::take_over(dir, options)?;
        let folder = Arc::new(DiskFolder::new(path.clone()));
        let is_there = path.try_exists().map_err(failed)?;
        if !is_there || !recovery::has_segments(&*folder).map_err(failed)? {
            for made_from_it in FILES.iter().map(|name| dir.join(name)) {
                if made_from_it.try_exists().map_err(failed)? {
                    return Err(Error::Missing { file: path, made_from_it });
                }
            }
        }
        if !is_there {
            fs::create_dir(&path).map_err(failed)?;
        }
        // A process that was killed may have created the folder and no more.
        fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
        let log = Self::open_folder(folder, options, origin, Some(lock))?;
        log.maintenance.start_thread().map_err(failed)?;
        Ok(log)
    }

    /// What the log leaves free on the disk.
    #[must_use]
    pub fn disk_reserve(&self) -> DiskReserve {
        self.preparer.disk_reserve()
    }

    /// Opens a log in a folder that the caller provides. Nothing is locked, and segments are sealed
    /// and made ready during appends.
    ///
    /// # Errors
    /// As [`LocalLog::open`].
    pub fn with_folder(folder: impl Folder, options: LogOptions) -> Result<Self, Error> {
        Self::open_folder(Arc::new(folder), options, Origin::here(), None)
    }

    fn chain_at(&self, revision: Revision) -> Result<Chain, Error> {
        if revision == Revision::ZERO {
            return Ok(chain_start(self.id));
        }
        self.segment_of(revision)?.chain_at(revision, &self.files)
    }

    /// The segment that has `revision`, which is in the log.
    fn segment_of(&self, revision: Revision) -> Result<Arc<Segment>, Error> {
        self.segments.find(revision).ok_or_else(|| Error::Damaged {
            file: self.files.folder.path().to_owned(),
            what: format!("revision {revision} is missing"),
        })
    }

    /// Some records from `from` on, at least one, and none after `until`, which is in the log.
    fn records(&self, from: Revision, until: Revision) -> Result<RawRecords, Error> {
        let segment = self.segment_of(from)?;
        let start = from.get() - segment.first.get();
        let end = (until.get() + 1 - segment.first.get()).min(segment.count());
        segment.read(Range { start, end }, &self.files)
    }

    fn head_revision(&self) -> Revision {
        Revision::new(self.head.load(Ordering::Acquire))
    }

    fn erased_until_revision(&self) -> Revision {
        Revision::new(self.erased_until.load(Ordering::Acquire))
    }

    /// Fails if the file of a segment is gone.
    fn check_names(&self) -> Result<(), Error> {
        let segments = self.segments.all();
        let folder = &self.files.folder;
        let names = folder.list().map_err(|error| self.files.folder_failed(error))?;
        let names: HashSet<_> = names.into_iter().collect();
        match segments.iter().find(|segment| !names.contains(&file_name(segment.number))) {
            Some(gone) => Err(Error::Replaced { file: self.files.path(gone.number) }),
            None => Ok(()),
        }
    }

    /// Notes that posts deleted up to `until` are erased.
    fn set_erased_until(&self, until: Revision) -> Result<(), Error> {
        let mut writer = self.writer();
        if until > self.erased_until_revision() {
            if writer.closed {
                return Err(Error::Closed);
            }
            let written = self.write_erased_until(&mut writer, until);
            written.inspect_err(|error| writer.close_after(error))?;
            self.erased_until.store(until.get(), Ordering::Release);
        }
        Ok(())
    }

    /// Writes how far the log is durable, which is up to its head.
    fn write_checkpoint(&self) -> Result<(), Error> {
        let (active, position) = {
            let writer = self.writer();
            let active = writer.active.as_ref();
            let active = active.map(|active| (active.segment.number, Arc::clone(&active.file)));
            let (revision, chain) = (self.head_revision(), writer.chain);
            (active, DurablePosition { log: self.id, revision, chain })
        };
        // Without the lock: appends go on meanwhile.
        if let Some((number, file)) = active.filter(|_| !self.checkpoint.says(position)) {
            self.flush_rest(number, &*file)?;
        }
        self.checkpoint.write(position)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // A panic during an append ends the process: a poisoned lock is taken only while it stops.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for LocalLog {
    fn id(&self) -> LogId {
        self.id
    }

    fn head(&self) -> Revision {
        self.head_revision()
    }

    fn epochs(&self) -> Epochs {
        self.epochs.clone()
    }

    fn oldest(&self) -> Revision {
        // Nothing is ever removed from this log.
        Revision::ZERO
    }

    fn append(&self, after: Revision, events: Vec<Event>) -> Result<(), Error> {
        debug_assert!(!events.is_empty(), "a batch has an event");
        let mut writer = self.writer();
        let head = self.head_revision();
        if writer.closed {
            return Err(Error::Closed);
        }
        if head != after {
            return Err(Error::HeadMoved { head });
        }
        let written = self.maintenance.check().and_then(|()| {
            self.preparer.check_room()?;
            self.write_events(&mut writer, &events)
        });
        written.inspect_err(|error| writer.close_after(error))?;
        self.head.store(head.get() + events.len() as u64, Ordering::Release);

        let batch = Arc::new(Batch { first: head.next(), events });
        writer.followers.retain(|follower| follower.send(Arc::clone(&batch)).is_ok());
        Ok(())
    }

    fn get(&self, revision: Revision) -> Result<Option<Event>, Error> {
        assert_disk_reads_allowed();
        if revision == Revision::ZERO || revision > self.head_revision() {
            return Ok(None);
        }
        let records = self.records(revision, revision)?;
        let event = records.events().next();
        event.transpose()
    }

    fn read(&self, after: Revision, events_max: usize) -> Result<Vec<LogEntry>, Error> {
        assert_disk_reads_allowed();
        let wanted = after.get().saturating_add(events_max as u64);
        let until = self.head_revision().min(Revision::new(wanted));
        let mut entries: Vec<LogEntry> = Vec::new();
        let mut next = after.next();
        while after < until && next <= until {
            let records = self.records(next, until)?;
            for event in records.events() {
                entries.push(LogEntry { revision: next, event: event? });
                next = next.next();
            }
        }
        Ok(entries)
    }

    fn chain(&self, revision: Revision) -> Result<Option<Chain>, Error> {
        assert_disk_reads_allowed();
        if revision > self.head_revision() {
            return Ok(None);
        }
        self.chain_at(revision).map(Some)
    }

    fn follow(&self, batches_max: usize) -> (Revision, Receiver<Arc<Batch>>) {
        let (sender, receiver) = sync_channel(batches_max);
        // The writer's lock: no append is between the head and the followers.
        let mut writer = self.writer();
        if !writer.closed {
            writer.followers.push(sender);
        }
        (self.head_revision(), receiver)
    }

    fn erase(&self, erasure: &Erasure, go_on: &dyn Fn() -> bool) -> Result<EraseOutcome, Error> {
        self.erase_posts(erasure, go_on)
    }

    fn erased_until(&self) -> Revision {
        self.erased_until_revision()
    }

    fn segments(&self) -> Vec<SegmentInfo> {
        self.segment_infos()
    }

    fn read_segment(
        &self,
        segment: &SegmentInfo,
        pass_on: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<SegmentRead, Error> {
        assert_disk_reads_allowed();
        self.pass_segment_on(segment, pass_on)
    }

    fn check(&self) -> Result<(), Error> {
        self.maintenance.check().inspect_err(|_| self.writer().close())?;
        {
            // Locked: an erasure takes the active segment before it gives the name to another file.
            let writer = self.writer();
            if let Some(active) = &writer.active {
                self.check_name(active.segment.number, &*active.file)?;
            }
        }
        self.check_names()?;
        self.write_checkpoint()
    }

    fn size(&self) -> Option<LogSize> {
        let segments = self.segments.all();
        let bytes = |segment: &Arc<Segment>| {
            segment.sealed().map_or_else(|| segment.frames_end(), |(bytes, _)| bytes)
        };
        Some(LogSize {
            segments: segments.len(),
            bytes: segments.iter().map(bytes).sum(),
            free_bytes: bytes_free(self.files.folder.path()).ok(),
        })
    }

    fn confirm(&self, after: Revision) -> Result<(), Error> {
        match self.head() {
            head if head == after => Ok(()),
            head => Err(Error::HeadMoved { head }),
        }
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn stop_waiting(&self) {}

    fn close(&self) {
        let mut writer = self.writer();
        if std::mem::replace(&mut writer.closed, true) {
            return;
        }
        writer.close();
        drop(writer);
        if let Err(error) = self.write_checkpoint() {
            tracing::debug!(%error, "the checkpoint of the log is not up to date");
        }
    }
}

impl Drop for LocalLog {
    fn drop(&mut self) {
        self.close();
        self.maintenance.stop();
    }
}
