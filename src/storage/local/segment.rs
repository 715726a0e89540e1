//! A segment to read from: where each of its records is. Never writes to a file.
//!
//! ```text
//!   active: the tables are in memory ── sealed ──▶ the tables are in the file
//! ```

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::folder::{Folder, StorageFile};
use super::format::{FRAME_HEAD_BYTES, Foot, FrameHead, OFFSET_BYTES, decode_offsets};
use crate::model::{Chain, EpochStart, Event, Revision};
use crate::storage::error::Error;
use crate::storage::log::record::{Record, RecordPosition};

/// Most bytes of one read of records, unless a single record is longer. Enough to amortise the
/// system call.
const READ_BYTES_MAX: u64 = 1 << 20;
/// Sealed segments whose files stay open: those that are read again and again, and far fewer than
/// the files that a process may have open.
const OPEN_FILES_MAX: usize = 64;

/// A segment. After a rewrite a new one takes its place.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// The revision of the first event.
    pub(super) first: Revision,
    pub(super) salt: u64,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Active { file: Arc<dyn StorageFile>, tables: RwLock<ActiveTables> },
    Sealed { foot: Foot, replaced: OnceLock<Arc<dyn StorageFile>> },
}

/// What the tables and the foot of a sealed segment say, of one that is still written.
#[derive(Clone, Debug)]
pub(super) struct ActiveTables {
    pub(super) records: Vec<u32>,
    pub(super) frames: Vec<u32>,
    pub(super) epochs: Vec<EpochStart>,
    pub(super) frames_end: u64,
    /// The chain after the last event.
    pub(super) chain: Chain,
    pub(super) erased_until: Revision,
}

/// The files of sealed segments; the last used stay open.
#[derive(Debug)]
pub(super) struct SegmentFiles {
    pub(super) folder: Arc<dyn Folder>,
    /// By salt.
    open: quick_cache::sync::Cache<u64, Arc<dyn StorageFile>>,
}

/// Records that follow each other in a segment.
#[derive(Debug)]
pub(super) struct RawRecords {
    /// The index in the segment of the first record.
    first: u32,
    salt: u64,
    first_revision: Revision,
    /// The offset of each record in `bytes`.
    offsets: Vec<usize>,
    bytes: Vec<u8>,
    file: PathBuf,
}

impl ActiveTables {
    /// Those of a segment without a frame.
    pub(super) fn new(frames_end: u64, chain: Chain, erased_until: Revision) -> Self {
        let (records, frames, epochs) = (Vec::new(), Vec::new(), Vec::new());
        Self { records, frames, epochs, frames_end, chain, erased_until }
    }
}

/// The name of the file of segment `number`.
pub(super) fn file_name(number: u64) -> String {
    format!("{number:016}.seg")
}

impl SegmentFiles {
    pub(super) fn new(folder: Arc<dyn Folder>) -> Self {
        Self { folder, open: quick_cache::sync::Cache::new(OPEN_FILES_MAX) }
    }

    /// The path of the file of segment `number`, for errors.
    pub(super) fn path(&self, number: u64) -> PathBuf {
        self.folder.path().join(file_name(number))
    }

    /// The error of a segment whose content is not what was written.
    pub(super) fn damaged(&self, number: u64, what: impl Into<String>) -> Error {
        Error::Damaged { file: self.path(number), what: what.into() }
    }

    /// The error of a failed operation on a segment.
    pub(super) fn failed(&self, number: u64, error: std::io::Error) -> Error {
        Error::Storage { file: self.path(number), source: error.into() }
    }

    /// The error of a failed operation on the folder.
    pub(super) fn folder_failed(&self, error: std::io::Error) -> Error {
        Error::Storage { file: self.folder.path().to_owned(), source: error.into() }
    }

    /// The file of a segment.
    pub(super) fn of(&self, segment: &Segment) -> Result<Arc<dyn StorageFile>, Error> {
        match &segment.body {
            Body::Active { file, .. } => Ok(Arc::clone(file)),
            Body::Sealed { replaced, .. } => match replaced.get() {
                Some(file) => Ok(Arc::clone(file)),
                None => {
                    let open = || self.folder.open(&file_name(segment.number));
                    let file = self.open.get_or_insert_with(&segment.salt, open);
                    match replaced.get() {
                        None => file.map_err(|error| self.failed(segment.number, error)),
                        // Replaced meanwhile: what was opened may be the file of the new segment.
                        // An old one must not stay open either, as it keeps what was erased.
                        Some(old) => {
                            self.open.remove(&segment.salt);
                            Ok(Arc::clone(old))
                        }
                    }
                }
            },
        }
    }

    /// Keeps the file of `segment` open for those who still read from it, before another file takes
    /// its name.
    pub(super) fn keep_open(&self, segment: &Segment) -> Result<(), Error> {
        let file = self.of(segment)?;
        if let Body::Sealed { replaced, .. } = &segment.body {
            // Before the rename: who opens the new file by the name finds this set. It is the same
            // file if it was kept open before.
            let _ = replaced.set(file);
        }
        self.open.remove(&segment.salt);
        Ok(())
    }
}

impl Segment {
    pub(super) fn active(
        (number, first, salt): (u64, Revision, u64),
        file: Arc<dyn StorageFile>,
        tables: ActiveTables,
    ) -> Self {
        let body = Body::Active { file, tables: RwLock::new(tables) };
        Self { number, first, salt, body }
    }

    pub(super) fn with_foot((number, first): (u64, Revision), foot: Foot) -> Self {
        let body = Body::Sealed { foot, replaced: OnceLock::new() };
        Self { number, first, salt: foot.salt, body }
    }

    /// The tables of an active segment.
    pub(super) fn tables(&self) -> Option<RwLockReadGuard<'_, ActiveTables>> {
        match &self.body {
            Body::Active { tables, .. } => {
                Some(tables.read().unwrap_or_else(PoisonError::into_inner))
            }
            Body::Sealed { .. } => None,
        }
    }

    /// The tables of the segment that is written to.
    pub(super) fn tables_mut(&self) -> RwLockWriteGuard<'_, ActiveTables> {
        match &self.body {
            Body::Active { tables, .. } => tables.write().unwrap_or_else(PoisonError::into_inner),
            Body::Sealed { .. } => unreachable!("a sealed segment is never written to"),
        }
    }

    /// The number of events.
    pub(super) fn count(&self) -> u64 {
        match &self.body {
            Body::Active { tables, .. } => {
                tables.read().unwrap_or_else(PoisonError::into_inner).records.len() as u64
            }
            Body::Sealed { foot, .. } => u64::from(foot.count),
        }
    }

    /// The revision of the last event; the one before the first without events.
    pub(super) fn last(&self) -> Revision {
        Revision::new(self.first.get() - 1 + self.count())
    }

    /// The end of the last frame.
    pub(super) fn frames_end(&self) -> u64 {
        match &self.body {
            Body::Active { .. } => self.tables().map_or(0, |tables| tables.frames_end),
            Body::Sealed { foot, .. } => foot.frames_end,
        }
    }

    /// The length of the file of a sealed segment, and the chain after its last event.
    pub(super) fn sealed(&self) -> Option<(u64, Chain)> {
        match &self.body {
            Body::Active { .. } => None,
            Body::Sealed { foot, .. } => Some((foot.file_bytes(), foot.chain)),
        }
    }

    /// The records at `wanted`, at least the first, at most [`READ_BYTES_MAX`] if there are more.
    pub(super) fn read(
        &self,
        wanted: Range<u64>,
        files: &SegmentFiles,
    ) -> Result<RawRecords, Error> {
        debug_assert!(!wanted.is_empty() && wanted.end <= self.count(), "{wanted:?} is not there");
        let file = files.of(self)?;
        let mut offsets = self.offsets(wanted.clone(), &*file, files)?;
        let start = offsets[0];
        let is_within = |&offset: &u32| u64::from(offset) <= u64::from(start) + READ_BYTES_MAX;
        // One more than the records: the last is where the one before it ends.
        let read = offsets[1..].iter().take_while(|&offset| is_within(offset)).count().max(1);
        let end = offsets[read];
        // With the end: no record may begin after it.
        offsets.truncate(read + 1);
        if end <= start || !offsets.is_sorted() || u64::from(end) > self.frames_end() {
            return Err(files.damaged(self.number, "its table of records is not in order"));
        }
        offsets.truncate(read);
        let mut bytes = vec![0; (end - start) as usize];
        file.read_at(&mut bytes, u64::from(start)).map_err(|error| self.failed(files, error))?;
        Ok(RawRecords {
            first: wanted.start as u32,
            salt: self.salt,
            first_revision: self.first,
            offsets: offsets.iter().map(|offset| (offset - start) as usize).collect(),
            bytes,
            file: files.path(self.number),
        })
    }

    /// The offsets of the records at `wanted`, and the end of the last.
    fn offsets(
        &self,
        wanted: Range<u64>,
        file: &dyn StorageFile,
        files: &SegmentFiles,
    ) -> Result<Vec<u32>, Error> {
        let (start, end) = (wanted.start as usize, wanted.end as usize);
        match &self.body {
            Body::Active { tables, .. } => {
                let tables = tables.read().unwrap_or_else(PoisonError::into_inner);
                let after = tables.records.get(end).copied();
                let mut offsets = tables.records[start..end].to_vec();
                offsets.push(after.unwrap_or(tables.frames_end as u32));
                Ok(offsets)
            }
            Body::Sealed { foot, .. } => {
                let is_last = end == foot.count as usize;
                let read = end - start + usize::from(!is_last);
                let mut bytes = vec![0; read * OFFSET_BYTES];
                file.read_at(&mut bytes, foot.frames_end + (start * OFFSET_BYTES) as u64)
                    .map_err(|error| self.failed(files, error))?;
                let mut offsets = decode_offsets(&bytes);
                if is_last {
                    offsets.push(foot.frames_end as u32);
                }
                Ok(offsets)
            }
        }
    }

    /// The chain after the event at `revision`, which the segment has.
    pub(super) fn chain_at(
        &self,
        revision: Revision,
        files: &SegmentFiles,
    ) -> Result<Chain, Error> {
        let index = revision.get() - self.first.get();
        let file = files.of(self)?;
        let record = self.offsets(index..index + 1, &*file, files)?[0];
        let frame = self.frame_of(record, &*file, files)?;
        let mut bytes = [0; FRAME_HEAD_BYTES];
        file.read_at(&mut bytes, frame).map_err(|error| self.failed(files, error))?;
        let head = FrameHead::decode(frame, &bytes)
            .filter(|head| head.salt == self.salt && head.first <= revision)
            .ok_or_else(|| {
                files.damaged(self.number, format!("there is no valid frame at byte {frame}"))
            })?;
        let mut chain = head.chain;
        let mut next = head.first.get() - self.first.get();
        while next <= index {
            let records = self.read(next..index + 1, files)?;
            next += records.len() as u64;
            for record in records.iter() {
                chain = record?.1.chain(chain);
            }
        }
        Ok(chain)
    }

    /// The offset of the frame that has the record at the offset `record`.
    fn frame_of(
        &self,
        record: u32,
        file: &dyn StorageFile,
        files: &SegmentFiles,
    ) -> Result<u64, Error> {
        if let Some(tables) = self.tables() {
            let after = tables.frames.partition_point(|&frame| frame < record);
            return Ok(tables.frames[..after].last().map_or(0, |&frame| u64::from(frame)));
        }
        let Body::Sealed { foot, .. } = &self.body else { unreachable!("it has no tables") };
        let offset_at = |index: u32| -> Result<u32, Error> {
            let mut bytes = [0; OFFSET_BYTES];
            let at = foot.frame_offsets_at() + u64::from(index) * OFFSET_BYTES as u64;
            file.read_at(&mut bytes, at).map_err(|error| self.failed(files, error))?;
            Ok(u32::from_le_bytes(bytes))
        };
        let (mut low, mut high) = (0, foot.frames);
        while low < high {
            let middle = low.midpoint(high);
            if offset_at(middle)? < record {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1).map_or(Ok(0), |frame| offset_at(frame).map(u64::from))
    }

    /// A read of the file failed. One that ends too early is damage.
    pub(super) fn failed(&self, files: &SegmentFiles, error: std::io::Error) -> Error {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            return files.damaged(self.number, "it is shorter than it was");
        }
        files.failed(self.number, error)
    }
}

impl RawRecords {
    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Each record, after its check.
    pub(super) fn iter(
        &self,
    ) -> impl Iterator<Item = Result<(RecordPosition, Record<'_>), Error>> + '_ {
        (u64::from(self.first)..).zip(&self.offsets).map(|(index, &offset)| {
            let revision = Revision::new(self.first_revision.get() + index);
            let position = RecordPosition { salt: self.salt, revision };
            let record = Record::split_first(position, &self.bytes[offset..]);
            let record = record.map_err(|what| self.damaged(what))?;
            Ok((position, record.0))
        })
    }

    /// Each event.
    pub(super) fn events(&self) -> impl Iterator<Item = Result<Event, Error>> + '_ {
        self.iter().map(|record| {
            let (position, record) = record?;
            record.event(position).map_err(|what| self.damaged(what))
        })
    }

    fn damaged(&self, what: String) -> Error {
        Error::Damaged { file: self.file.clone(), what }
    }
}
