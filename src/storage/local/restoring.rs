//! Restoring a log from the segments of a backup into a data folder without one. Each is checked before it
//! is written. Never leaves a folder that a server would take for a whole log, or for an empty one.
//!
//! ```text
//!   log.restore/, segment by segment, checkpoint ──▶ flushed ──▶ renamed to log/
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::{Checkpoint, DurablePosition};
use super::copying;
use super::cut;
use super::disk_folder::DiskFolder;
use super::folder::Folder;
use super::format::{HeadContent, SegmentHead};
use super::recovery::{End, check_head};
use super::segment::file_name;
use super::segment_check::CheckedSegment;
use super::{FOLDER, LocalLog, LogOptions, Origin};
use crate::formats::{OtherFormat, SEGMENT};
use crate::model::{Chain, Event, LogId, Revision, Timestamp};
use crate::storage::error::Error;
use crate::storage::folder_lock::{FolderLock, LOCK_FILE};
use crate::storage::log::Log;
use crate::storage::log::record::chain_start;

/// The folder of a log that is not restored completely.
pub(super) const UNFINISHED_RESTORE: &str = "log.restore";
/// What a data folder may have before a restore: a lock, an interrupted restore, and what a new file
/// system has.
pub(super) const ALLOWED: [&str; 3] = [LOCK_FILE, UNFINISHED_RESTORE, "lost+found"];
/// The same, and the mark of a copy.
const ALLOWED_IN_COPY: [&str; 4] = [LOCK_FILE, UNFINISHED_RESTORE, "lost+found", copying::MARKER];

/// For the events that a restore or a load appends.
pub(super) const OPTIONS: LogOptions =
    LogOptions { disk_free_bytes_min: 0, segment_bytes_max: 64 << 20 };
/// Events of one batch of these: few enough that a batch is much smaller than a segment.
const BATCH_EVENTS: usize = 1_024;

/// A restore under way. Dropped before its end, it leaves a folder that no server opens, and that a
/// further restore may use.
#[derive(Debug)]
pub struct LogRestore {
    dir: PathBuf,
    folder: Arc<dyn Folder>,
    /// What was written; `None` before the first segment.
    end: Option<End>,
    segments: u64,
    bytes: u64,
    /// Posts whose content is erased and whose deletion is not in what was written: it came after the cut.
    erased: BTreeSet<Revision>,
    /// Their deletions, which follow the cut.
    deletions: Vec<Event>,
    /// Held until the end.
    _lock: FolderLock,
}

/// A log that was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoredLog {
    /// The id of the log.
    pub id: LogId,
    /// The revision of the last event.
    pub head: Revision,
    /// The chain after the last event.
    pub chain: Chain,
    /// The number of segments.
    pub segments: u64,
    /// All their bytes.
    pub bytes: u64,
    /// Posts that are deleted right after the cut, although they were deleted later: their content was
    /// erased since. The last events are their deletions.
    pub deleted: u64,
}

/// A segment of a backup, all of whose bytes are checked.
#[derive(Debug)]
pub struct CheckedCopy(CheckedSegment);

impl CheckedCopy {
    /// Checks the bytes of a sealed segment. `file` is for errors.
    ///
    /// # Errors
    /// It is damaged, or of another format.
    pub fn new(file: &Path, content: Vec<u8>) -> Result<Self, Error> {
        let damaged = |what: String| Error::Damaged { file: file.to_owned(), what };
        let head = match content.first_chunk().map(SegmentHead::decode) {
            Some(HeadContent::Valid(head)) => head,
            Some(HeadContent::OtherFormat(found)) => {
                let other = OtherFormat::new(&SEGMENT, found.into());
                return Err(Error::OtherFormat { file: file.to_owned(), other });
            }
            _ => return Err(damaged("its head is damaged".to_owned())),
        };
        CheckedSegment::new(head, content, None).map(Self).map_err(damaged)
    }

    /// The log's id, the first and the last revision, and the chain after the last.
    #[must_use]
    pub fn place(&self) -> (LogId, Revision, Revision, Chain) {
        let Self(segment) = self;
        (segment.head.log, segment.head.first, segment.last(), segment.tables.chain)
    }

    /// The event at `revision`, which the segment has.
    ///
    /// # Errors
    /// A description of the damage.
    pub fn event(&self, revision: Revision) -> Result<Event, String> {
        self.0.event(revision)
    }

    /// The bytes of the segment.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.content
    }

    /// The last revision before the first event whose time is after `time`; `None` if there is none.
    ///
    /// # Errors
    /// A description of the damage.
    pub fn last_until(&self, time: Timestamp) -> Result<Option<Revision>, String> {
        cut::last_until(&self.0, time)
    }
}

impl LogRestore {
    /// Begins a restore into `dir`, which has nothing, or an interrupted restore, or does not exist.
    ///
    /// # Errors
    /// The folder has something else, is in use, or cannot be written.
    pub fn begin(dir: &Path) -> Result<Self, Error> {
        begin_in(dir, &ALLOWED).map(|begun| Self::of(dir, begun))
    }

    /// As [`LogRestore::begin`], of a copy of a log that is kept elsewhere: no server takes it for a log of its own, however
    /// far it comes.
    ///
    /// # Errors
    /// As [`LogRestore::begin`]. The folder may have the beginning of a copy.
    pub fn begin_copy(dir: &Path) -> Result<Self, Error> {
        let begun = begin_in(dir, &ALLOWED_IN_COPY)?;
        copying::mark(dir).map_err(|error| storage(dir, error))?;
        Ok(Self::of(dir, begun))
    }

    /// Removes what an interrupted restore has left in `dir`, if that is so and it has nothing else but the mark of a copy.
    ///
    /// # Errors
    /// The folder has something else, is in use, or cannot be written.
    pub fn abandon(dir: &Path) -> Result<(), Error> {
        if !dir.join(UNFINISHED_RESTORE).try_exists().map_err(|error| storage(dir, error))? {
            return Ok(());
        }
        let (_lock, folder) = begin_in(dir, &ALLOWED_IN_COPY)?;
        fs::remove_dir(folder.path()).map_err(|error| storage(dir, error))
    }

    fn of(dir: &Path, (lock, folder): (FolderLock, Arc<dyn Folder>)) -> Self {
        Self {
            dir: dir.to_owned(),
            folder,
            end: None,
            segments: 0,
            bytes: 0,
            erased: BTreeSet::new(),
            deletions: Vec::new(),
            _lock: lock,
        }
    }

    /// Adds the next segment, without the events after `last`. It is durable when it returns.
    ///
    /// # Errors
    /// It does not continue the one before it, or cannot be written.
    pub fn add(&mut self, segment: &CheckedCopy, last: Revision) -> Result<(), Error> {
        let CheckedCopy(CheckedSegment { head, content, .. }) = segment;
        let name = file_name(head.number);
        let file = self.folder.path().join(&name);
        let damaged = |what: String| Error::Damaged { file: file.clone(), what };
        let id = head.log;
        let mut end = self.end.take().unwrap_or_else(|| {
            let (last, chain) = (Revision::ZERO, chain_start(id));
            End { id, last, chain }
        });
        check_head(head, &end).map_err(damaged)?;
        let cut = match segment.0.last() > last {
            true => Some(cut::cut(head, content, last).map_err(damaged)?),
            false => None,
        };
        // Also what was cut is checked again.
        let cut = cut.map(|bytes| CheckedCopy::new(&file, bytes)).transpose()?;
        let segment = cut.as_ref().unwrap_or(segment);
        let bytes = &segment.0.content;
        let write = || -> io::Result<()> {
            let file = self.folder.create(&name)?;
            file.write_at(bytes, 0)?;
            file.sync()
        };
        write().map_err(|error| storage(&file, error))?;
        self.erased.extend(&segment.0.erased);
        for deletion in &segment.0.deletions {
            self.erased.remove(&deletion.post);
        }
        (end.last, end.chain) = (segment.0.last(), segment.0.tables.chain);
        self.segments += 1;
        self.bytes += bytes.len() as u64;
        self.end = Some(end);
        Ok(())
    }

    /// Whether posts were erased whose deletion is after the cut: then the segments after it are wanted,
    /// by [`LogRestore::add_deletions`].
    #[must_use]
    pub fn lacks_deletions(&self) -> bool {
        !self.erased.is_empty()
    }

    /// Takes the deletions of erased posts out of a segment, all or a part of which comes after the cut:
    /// a log never has a post without content that was not deleted.
    ///
    /// # Errors
    /// A description of the damage.
    pub fn add_deletions(&mut self, segment: &CheckedCopy) -> Result<(), String> {
        for deletion in &segment.0.deletions {
            if self.erased.remove(&deletion.post) {
                self.deletions.push(segment.0.event(deletion.revision)?);
            }
        }
        Ok(())
    }

    /// Ends the restore: the folder has a log from now on.
    ///
    /// # Errors
    /// It has no segment, or the folder cannot be written.
    pub fn finish(self) -> Result<RestoredLog, Error> {
        let Some(End { id, last, chain }) = self.end else {
            return Err(Error::NoLog { dir: self.folder.path().to_owned() });
        };
        if let Some(post) = self.erased.first() {
            let what = format!("the post of revision {post} is erased, and was never deleted");
            return Err(Error::Damaged { file: self.folder.path().to_owned(), what });
        }
        let (checkpoint, _) = Checkpoint::open(Arc::clone(&self.folder))?;
        checkpoint.write(DurablePosition { log: id, revision: last, chain })?;
        let (deleted, mut segments) = (self.deletions.len() as u64, self.segments);
        let (mut head, mut chain) = (last, chain);
        if deleted > 0 {
            let folder = Arc::clone(&self.folder);
            let log = LocalLog::open_folder(folder, OPTIONS, Origin::here(), None)?;
            for batch in self.deletions.chunks(BATCH_EVENTS) {
                log.append(log.head(), batch.to_vec())?;
            }
            (head, chain) = (log.head(), log.chain_at(log.head())?);
            segments = log.segments().len() as u64;
        }
        finish_in(&self.dir, &*self.folder)?;
        let bytes = self.bytes;
        Ok(RestoredLog { id, head, chain, segments, bytes, deleted })
    }
}

/// Locks the data folder `dir`, which may have nothing but what is `allowed`, and makes the folder of an unfinished log in
/// it.
pub(super) fn begin_in(
    dir: &Path,
    allowed: &[&str],
) -> Result<(FolderLock, Arc<dyn Folder>), Error> {
    let failed = |error: io::Error| storage(dir, error);
    let lock = FolderLock::acquire(dir)?;
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if !allowed.iter().any(|allowed| name == **allowed) {
            return Err(Error::NotEmpty { dir: dir.to_owned(), found: name.into() });
        }
    }
    let path = dir.join(UNFINISHED_RESTORE);
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    fs::create_dir(&path).map_err(failed)?;
    // From here on no server opens the folder, also after a power cut.
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
    let folder: Arc<dyn Folder> = Arc::new(DiskFolder::new(path));
    Ok((lock, folder))
}

/// Makes the unfinished log `folder` that of the data folder `dir`.
pub(super) fn finish_in(dir: &Path, folder: &dyn Folder) -> Result<(), Error> {
    let finish = || -> io::Result<()> {
        folder.sync()?;
        fs::rename(folder.path(), dir.join(FOLDER))?;
        fs::File::open(dir)?.sync_all()
    };
    finish().map_err(|error| storage(dir, error))
}

fn storage(file: &Path, error: io::Error) -> Error {
    Error::Storage { file: file.to_owned(), source: error.into() }
}
