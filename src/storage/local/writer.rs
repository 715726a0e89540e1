//! Writing to the log: one frame a batch, with one write and one flush, unless it is a copy (flushing.rs). A failed write or flush is
//! never tried again: only opening the log again shows what is on the disk.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::LocalLog;
use super::epochs;
use super::flushing::Flushing;
use super::folder::StorageFile;
use super::format::{
    EPOCH_BYTES, FOOT_BYTES, FRAME_HEAD_BYTES, FrameHead, FrameKind, HEAD_BYTES, OFFSET_BYTES,
    SegmentHead, aligned, payload_check,
};
use super::segment::{ActiveTables, Segment, file_name};
use crate::model::{Chain, Epoch, Event, Revision};
use crate::runtime::fill_random;
use crate::storage::error::Error;
use crate::storage::log::Batch;
use crate::storage::log::encoded_batch::EncodedBatch;
use crate::storage::log::record::{self, KEY_BYTES, RecordPosition};
use crate::storage::redb_file::random;

/// The buffer begins with room for the heads, so that segment, frame and records are one write.
const RECORDS_AT: usize = HEAD_BYTES + FRAME_HEAD_BYTES;

/// The state of the one writer.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) closed: bool,
    /// The segment that is written to; `None` if the next frame begins a new one.
    pub(super) active: Option<Active>,
    /// The chain after the last event.
    pub(super) chain: Chain,
    /// The epoch of what this opening appends by itself.
    pub(super) epoch: Epoch,
    pub(super) frame: FrameBuffer,
    pub(super) followers: Vec<SyncSender<Arc<Batch>>>,
}

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) segment: Arc<Segment>,
    pub(super) file: Arc<dyn StorageFile>,
    /// The length of the file.
    pub(super) bytes: u64,
}

/// A frame that is made. Keeps its memory for the next.
#[derive(Debug, Default)]
pub(super) struct FrameBuffer {
    /// Room for the heads, then the payload.
    bytes: Vec<u8>,
    /// The start of each record in `bytes`.
    records: Vec<usize>,
    /// Random bytes for the contents of posts.
    keys: Vec<u8>,
}

/// What a frame says, but for its place.
#[derive(Clone, Copy, Debug)]
struct FrameContent {
    kind: FrameKind,
    first: Revision,
    epoch: Epoch,
    /// The chain before it, and after it.
    chains: [Chain; 2],
    erased_until: Revision,
}

/// Where a frame is written.
struct FramePlace {
    active: Active,
    /// The head of the segment, if the frame is its first.
    head: Option<SegmentHead>,
    offset: u64,
}

impl FrameBuffer {
    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.resize(RECORDS_AT, 0);
        self.records.clear();
    }

    /// Makes the payload of records that are made already.
    fn put_records(&mut self, batch: &EncodedBatch) {
        self.clear();
        self.bytes.extend_from_slice(&batch.bytes);
        self.records.extend(batch.starts.iter().map(|start| RECORDS_AT + start));
    }

    /// Makes the payload of `events`. Returns the chain after them.
    fn put_events(&mut self, events: &[Event], chain: Chain) -> std::io::Result<Chain> {
        self.clear();
        self.keys.clear();
        self.keys.resize(events.len() * KEY_BYTES, 0);
        fill_random(&mut self.keys)?;
        let (keys, _) = self.keys.as_chunks::<KEY_BYTES>();
        let mut chain = chain;
        for (event, key) in events.iter().zip(keys) {
            self.records.push(self.bytes.len());
            chain = record::append(event, *key, chain, &mut self.bytes);
        }
        Ok(chain)
    }

    fn put_erased_until(&mut self, until: Revision) {
        self.clear();
        self.bytes.extend(until.get().to_le_bytes());
    }

    fn payload_bytes(&self) -> usize {
        self.bytes.len() - RECORDS_AT
    }

    /// Bytes of the frame in the file.
    fn frame_bytes(&self) -> u64 {
        aligned((FRAME_HEAD_BYTES + self.payload_bytes()) as u64)
    }

    /// Sets the heads and all checks for the place of the frame. Returns the bytes to write.
    fn finish(&mut self, content: FrameContent, place: &FramePlace) -> &[u8] {
        let salt = place.active.segment.salt;
        let payload_bytes = self.payload_bytes();
        let ends = self.records.iter().skip(1).copied().chain([self.bytes.len()]);
        let ends: Vec<_> = ends.collect();
        for ((&start, end), revision) in self.records.iter().zip(ends).zip(content.first.get()..) {
            let position = RecordPosition { salt, revision: Revision::new(revision) };
            record::set_check(&mut self.bytes[start..end], position);
        }
        let frame = FrameHead {
            kind: content.kind,
            payload_bytes: payload_bytes as u32,
            count: self.records.len() as u32,
            salt,
            first: content.first,
            epoch: content.epoch,
            chain: content.chains[0],
            payload_check: payload_check(salt, place.offset, &self.bytes[RECORDS_AT..]),
        };
        self.bytes[HEAD_BYTES..RECORDS_AT].copy_from_slice(&frame.encode(place.offset));
        self.bytes
            .resize(HEAD_BYTES + aligned((FRAME_HEAD_BYTES + payload_bytes) as u64) as usize, 0);
        match &place.head {
            Some(head) => {
                self.bytes[..HEAD_BYTES].copy_from_slice(&head.encode());
                &self.bytes
            }
            None => &self.bytes[HEAD_BYTES..],
        }
    }
}

impl Writer {
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.followers.clear();
    }

    /// Closes the log after a failed write: only opening it again shows what is on the disk. A full
    /// disk was noticed before anything was written.
    pub(super) fn close_after(&mut self, error: &Error) {
        if !matches!(error, Error::DiskFull { .. }) {
            self.close();
        }
    }
}

impl LocalLog {
    /// Writes `events` right after the head. They are durable when it returns.
    ///
    /// # Errors
    /// [`Writer::close_after`] it.
    pub(super) fn write_events(&self, writer: &mut Writer, events: &[Event]) -> Result<(), Error> {
        let before = writer.chain;
        let after = writer.frame.put_events(events, before);
        let after = after.map_err(|error| self.files.folder_failed(error))?;
        let content = FrameContent {
            kind: FrameKind::Events,
            first: self.head_revision().next(),
            epoch: writer.epoch,
            chains: [before, after],
            erased_until: Revision::ZERO,
        };
        self.write_frame(writer, content)
    }

    /// Writes `batch`, which is made already, right after the head. It is durable when it returns.
    ///
    /// # Errors
    /// [`Writer::close_after`] it.
    pub(super) fn write_batch(
        &self,
        writer: &mut Writer,
        batch: &EncodedBatch,
    ) -> Result<(), Error> {
        debug_assert_eq!(batch.chains[0], writer.chain, "it follows on what is there");
        writer.frame.put_records(batch);
        let content = FrameContent {
            kind: FrameKind::Events,
            first: batch.first,
            epoch: batch.epoch,
            chains: batch.chains,
            erased_until: Revision::ZERO,
        };
        self.write_frame(writer, content)
    }

    /// Notes in the log that posts deleted up to `until` are erased.
    ///
    /// # Errors
    /// [`Writer::close_after`] it.
    pub(super) fn write_erased_until(
        &self,
        writer: &mut Writer,
        until: Revision,
    ) -> Result<(), Error> {
        writer.frame.put_erased_until(until);
        let content = FrameContent {
            kind: FrameKind::Erased,
            first: self.head_revision().next(),
            epoch: writer.epoch,
            chains: [writer.chain; 2],
            erased_until: until,
        };
        self.write_frame(writer, content)
    }

    fn write_frame(&self, writer: &mut Writer, content: FrameContent) -> Result<(), Error> {
        let place = self.place(writer, content)?;
        if place.head.is_some()
            && let Some(full) = &writer.active
        {
            self.flush_rest(full.segment.number, &*full.file)?;
        }
        let is_due = self.flushing.is_due(content.kind, place.head.is_some());
        let number = place.active.segment.number;
        let written = {
            let bytes = writer.frame.finish(content, &place);
            let offset = if place.head.is_some() { 0 } else { place.offset };
            let file = &place.active.file;
            file.write_at(bytes, offset).and_then(|()| if is_due { file.sync() } else { Ok(()) })
        };
        written.map_err(|error| self.files.failed(number, error))?;
        self.check_name(number, &*place.active.file)?;
        self.take_frame(writer, content, place);
        Ok(())
    }

    /// Where the frame in the buffer goes. Nothing is written yet.
    fn place(&self, writer: &Writer, content: FrameContent) -> Result<FramePlace, Error> {
        let frame_bytes = writer.frame.frame_bytes();
        let count = writer.frame.records.len();
        if let Some(active) = &writer.active {
            let tables = active.segment.tables();
            let offset = tables.as_ref().map_or(0, |tables| tables.frames_end);
            let foot = tables.map_or(0, |tables| foot_bytes(&tables, count));
            if offset + frame_bytes + foot <= active.bytes {
                let Active { segment, file, bytes } = active;
                let (segment, file) = (Arc::clone(segment), Arc::clone(file));
                let active = Active { segment, file, bytes: *bytes };
                return Ok(FramePlace { active, head: None, offset });
            }
        }
        let offset = HEAD_BYTES as u64;
        let tables = ActiveTables::new(offset, content.chains[0], self.erased_until_revision());
        let bytes = offset + frame_bytes + foot_bytes(&tables, count);
        assert!(u32::try_from(bytes).is_ok(), "a batch of {bytes} bytes is no segment");
        let next = self.preparer.take(bytes)?;
        let head = SegmentHead {
            log: self.id,
            number: next.number,
            first: content.first,
            salt: random(),
            erased_until: tables.erased_until,
            chain: tables.chain,
        };
        let file = Arc::clone(&next.file);
        let segment = Segment::active((head.number, head.first, head.salt), next.file, tables);
        let active = Active { segment: Arc::new(segment), file, bytes: next.bytes };
        Ok(FramePlace { active, head: Some(head), offset })
    }

    /// Flushes what was written to `file` of segment `number`, and not flushed with it.
    pub(super) fn flush_rest(&self, number: u64, file: &dyn StorageFile) -> Result<(), Error> {
        match self.flushing {
            Flushing::EachFrame => Ok(()),
            Flushing::WithCheckpoint => {
                file.sync().map_err(|error| self.files.failed(number, error))
            }
        }
    }

    /// The frame is written: readers find it from now on.
    fn take_frame(&self, writer: &mut Writer, content: FrameContent, place: FramePlace) {
        let FramePlace { active, head, offset } = place;
        {
            let mut tables = active.segment.tables_mut();
            let moved = offset as usize - HEAD_BYTES;
            let offsets = writer.frame.records.iter().map(|at| (at + moved) as u32);
            tables.records.extend(offsets);
            tables.frames.push(offset as u32);
            tables.frames_end = offset + writer.frame.frame_bytes_written();
            tables.chain = content.chains[1];
            tables.erased_until = tables.erased_until.max(content.erased_until);
            if content.kind == FrameKind::Events {
                epochs::extend(&mut tables.epochs, content.first, content.epoch);
            }
        }
        writer.chain = content.chains[1];
        if head.is_some() {
            self.segments.push(Arc::clone(&active.segment));
            let full = writer.active.replace(active).map(|full| full.segment);
            self.maintenance.segment_taken(full);
        }
    }

    /// Fails if the next opening would not find `file` under the name of segment `number`.
    pub(super) fn check_name(&self, number: u64, file: &dyn StorageFile) -> Result<(), Error> {
        match self.files.folder.is_name_of(&file_name(number), file) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::Replaced { file: self.files.path(number) }),
            Err(error) => Err(self.files.failed(number, error)),
        }
    }
}

impl FrameBuffer {
    /// As [`FrameBuffer::frame_bytes`], after [`FrameBuffer::finish`].
    fn frame_bytes_written(&self) -> u64 {
        (self.bytes.len() - HEAD_BYTES) as u64
    }
}

/// Bytes that sealing adds to a segment once it has another frame with `count` records: the file has
/// room for them from the beginning.
fn foot_bytes(tables: &ActiveTables, count: usize) -> u64 {
    let offsets = tables.records.len() + count + tables.frames.len() + 1;
    let epochs = tables.epochs.len() + 1;
    (offsets * OFFSET_BYTES + epochs * EPOCH_BYTES + FOOT_BYTES) as u64
}
