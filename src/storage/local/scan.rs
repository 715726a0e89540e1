//! Scanning a segment that has no foot: which frames it has, and whether what follows the last one is
//! a batch that was never acknowledged or damage. Never writes.
//!
//! ```text
//!   head │ frame │ frame │ … │ X: no valid frame here
//!                              only zeros behind X            ──▶ a clean end
//!                              a valid frame head behind X    ──▶ damage: a frame is written once all
//!                                                                 before it is durable
//!                              anything else                  ──▶ a torn batch: a power cut came
//!                                                                 before its flush returned
//! ```

use super::epochs;
use super::folder::StorageFile;
use super::format::{
    FRAME_ALIGNMENT, FRAME_HEAD_BYTES, FrameHead, FrameKind, HEAD_BYTES, SegmentHead,
};
use super::format::{aligned, payload_check};
use super::segment::ActiveTables;
use crate::model::Revision;
use crate::storage::log::record::{Record, RecordPosition};

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;
/// Bytes that are compared with zero at once.
const ZERO_CHUNK_BYTES: usize = 4096;

/// What a segment has.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) tables: ActiveTables,
    pub(super) tail: SegmentEnd,
}

/// What follows the last valid frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SegmentEnd {
    Zeros,
    /// Bytes of a frame that was not completely written, or of a foot.
    Torn,
}

/// Why the frames end.
enum NoFrame {
    /// Nothing that was written completely.
    Incomplete,
    /// A frame that contradicts the one before it.
    Contradiction(String),
}

/// The segment that is scanned, up to a frame.
struct Scanner<'a> {
    head: &'a SegmentHead,
    bytes: &'a [u8],
    /// Up to here the chain is known from elsewhere.
    chain_known_until: Revision,
    tables: ActiveTables,
    /// The first revision and the records of the last frame with events, if they were not hashed: then
    /// `tables.chain` is the chain before them.
    unhashed: Option<(Revision, &'a [u8])>,
}

/// All bytes of a file.
pub(super) fn read_all(file: &dyn StorageFile) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.bytes()? as usize];
    file.read_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Whether all bytes of a file are zero. Holds only a part of it in memory.
pub(super) fn is_zeros(file: &dyn StorageFile) -> std::io::Result<bool> {
    let mut buffer = vec![0; READ_BYTES];
    let (mut offset, end) = (0, file.bytes()?);
    while offset < end {
        let part = &mut buffer[..READ_BYTES.min((end - offset) as usize)];
        file.read_at(part, offset)?;
        if !are_zeros(part) {
            return Ok(false);
        }
        offset += part.len() as u64;
    }
    Ok(true)
}

fn are_zeros(bytes: &[u8]) -> bool {
    // Without an end inside a chunk, so that the compiler compares many bytes at once.
    bytes.chunks(ZERO_CHUNK_BYTES).all(|chunk| chunk.iter().fold(0, |any, byte| any | byte) == 0)
}

/// Scans the segment with this head and these bytes.
///
/// Up to `chain_known_until` the caller compares the chain with one that is kept elsewhere. Before that
/// the checks of the frames show damage, and the frames say the chain themselves: hashing each event
/// again would take most of the time of a start.
///
/// # Errors
/// A description of the damage.
pub(super) fn scan(
    head: &SegmentHead,
    bytes: &[u8],
    chain_known_until: Revision,
) -> Result<Scan, String> {
    let tables = ActiveTables::new(HEAD_BYTES as u64, head.chain, head.erased_until);
    let mut scanner = Scanner { head, bytes, chain_known_until, tables, unhashed: None };
    loop {
        match scanner.next_frame() {
            Ok(()) => {}
            Err(NoFrame::Contradiction(what)) => return Err(what),
            Err(NoFrame::Incomplete) => break,
        }
    }
    scanner.hash()?;
    let tables = scanner.tables;
    let end = tables.frames_end as usize;
    if are_zeros(bytes.get(end..).unwrap_or(&[])) {
        return Ok(Scan { tables, tail: SegmentEnd::Zeros });
    }
    let next = Revision::new(head.first.get() + tables.records.len() as u64);
    if let Some((offset, frame)) = find_frame(bytes, end + 1, Some(head.salt)) {
        return Err(format!(
            "the frame of revision {next} at byte {end} is damaged, but a later one, of revision \
             {} at byte {offset}, is whole",
            frame.first
        ));
    }
    Ok(Scan { tables, tail: SegmentEnd::Torn })
}

/// The first whole frame head from `offset` on: of the segment with this salt, or of any.
pub(super) fn find_frame(
    bytes: &[u8],
    offset: usize,
    salt: Option<u64>,
) -> Option<(usize, FrameHead)> {
    let offsets = (aligned(offset as u64) as usize..bytes.len()).step_by(FRAME_ALIGNMENT as usize);
    let frame = |offset| Some((offset, FrameHead::decode(offset as u64, &bytes[offset..])?));
    offsets.filter_map(frame).find(|(_, frame)| salt.is_none_or(|salt| salt == frame.salt))
}

impl Scanner<'_> {
    /// Adds the next frame to the tables.
    fn next_frame(&mut self) -> Result<(), NoFrame> {
        let offset = self.tables.frames_end;
        let rest = self.bytes.get(offset as usize..).ok_or(NoFrame::Incomplete)?;
        let salt = self.head.salt;
        let frame = FrameHead::decode(offset, rest)
            .filter(|frame| frame.salt == salt)
            .ok_or(NoFrame::Incomplete)?;
        let payload = rest[FRAME_HEAD_BYTES..]
            .get(..frame.payload_bytes as usize)
            .filter(|payload| payload_check(salt, offset, payload) == frame.payload_check)
            .ok_or(NoFrame::Incomplete)?;

        let contradicts = |what: &str| {
            NoFrame::Contradiction(format!(
                "the frame of revision {} at byte {offset} {what}",
                frame.first
            ))
        };
        let next = self.next_revision();
        if frame.first != next {
            return Err(contradicts(&format!("should be of revision {next}")));
        }
        if self.unhashed.take().is_some() {
            self.tables.chain = frame.chain;
        }
        if frame.chain != self.tables.chain {
            return Err(contradicts("does not continue the events before it"));
        }
        match frame.kind {
            FrameKind::Events => {
                let start = offset + FRAME_HEAD_BYTES as u64;
                let added = self.add_records(start, payload).map_err(NoFrame::Contradiction)?;
                if added != frame.count || added == 0 {
                    return Err(contradicts("has another number of events than it says"));
                }
                self.unhashed = Some((frame.first, payload));
                if self.next_revision() > self.chain_known_until {
                    self.hash().map_err(NoFrame::Contradiction)?;
                }
                epochs::extend(&mut self.tables.epochs, frame.first, frame.epoch);
            }
            FrameKind::Erased => {
                let until = payload.try_into().map(u64::from_le_bytes);
                let until = until.map_err(|_| contradicts("is too short"))?;
                self.tables.erased_until = self.tables.erased_until.max(Revision::new(until));
            }
        }
        self.tables.frames.push(offset as u32);
        self.tables.frames_end = frame.end(offset);
        Ok(())
    }

    fn next_revision(&self) -> Revision {
        Revision::new(self.head.first.get() + self.tables.records.len() as u64)
    }

    /// Adds the records of a frame, which begin at the offset `start`. Returns their number.
    fn add_records(&mut self, start: u64, payload: &[u8]) -> Result<u32, String> {
        let mut rest = payload;
        let mut added = 0;
        while !rest.is_empty() {
            let position = RecordPosition { salt: self.head.salt, revision: self.next_revision() };
            let (_, after) = Record::split_first(position, rest)?;
            self.tables.records.push((start + (payload.len() - rest.len()) as u64) as u32);
            rest = after;
            added += 1;
        }
        Ok(added)
    }

    /// Hashes the records of the last frame, unless they are hashed.
    fn hash(&mut self) -> Result<(), String> {
        let Some((mut revision, mut rest)) = self.unhashed.take() else { return Ok(()) };
        while !rest.is_empty() {
            let position = RecordPosition { salt: self.head.salt, revision };
            let (record, after) = Record::split_first(position, rest)?;
            self.tables.chain = record.chain(self.tables.chain);
            (revision, rest) = (revision.next(), after);
        }
        Ok(())
    }
}
