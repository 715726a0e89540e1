//! Scanning a segment that has no foot: which frames it has, and whether what follows the last one is
//! a batch that was never acknowledged or damage. Never writes.
//!
//! ```text
//!   head │ frame │ frame │ … │ X: no valid frame here
//!                              only zeros behind X            ──▶ a clean end
//!                              a valid frame head behind X    ──▶ damage, if a frame is written once all
//!                                                                 before it is durable, else a torn end
//!                              anything else                  ──▶ a torn batch: a power cut came
//!                                                                 before its flush returned
//! ```

use super::epochs;
use super::flushing::Flushing;
use super::format::{
    FRAME_ALIGNMENT, FRAME_HEAD_BYTES, FrameHead, FrameKind, HEAD_BYTES, SegmentHead, aligned,
    payload_check,
};
use super::segment::ActiveTables;
use super::window::Bytes;
use crate::model::Revision;
use crate::storage::log::record::{Record, RecordPosition};

/// Bytes that are compared with zero at once.
const ZERO_CHUNK_BYTES: usize = 4096;
/// Bytes in which a frame head is looked for at once.
const SEARCH_BYTES: usize = 64 << 10;

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
    /// Bytes of frames that were not completely written, or of a foot.
    Torn,
}

/// Why a segment has no scan.
#[derive(Debug)]
pub(super) enum NotScanned<E> {
    /// What is damaged.
    Damaged(String),
    /// The bytes cannot be read.
    Read(E),
}

/// The segment that is scanned, up to a frame.
pub(super) struct Scanner<'a> {
    head: &'a SegmentHead,
    /// Up to here the chain is known from elsewhere.
    chain_known_until: Revision,
    pub(super) tables: ActiveTables,
    /// The last frame with events, if they were not hashed: then `tables.chain` is the chain before
    /// them.
    unhashed: Option<FrameHead>,
}

/// Whether all bytes from `offset` on are zero.
pub(super) fn is_zeros<B: Bytes>(bytes: &mut B, mut offset: u64) -> Result<bool, B::Error> {
    while offset < bytes.end() {
        let part = bytes.get(offset, ZERO_CHUNK_BYTES)?;
        // Without an end inside a chunk, so that the compiler compares many bytes at once.
        if part.iter().fold(0, |any, byte| any | byte) != 0 {
            return Ok(false);
        }
        offset += part.len() as u64;
    }
    Ok(true)
}

/// Scans the segment with this head and these bytes.
///
/// Up to `chain_known_until` the caller compares the chain with one that is kept elsewhere. Before that
/// the checks of the frames show damage, and the frames say the chain themselves: hashing each event
/// again would take most of the time of a start.
pub(super) fn scan<B: Bytes>(
    head: &SegmentHead,
    bytes: &mut B,
    chain_known_until: Revision,
    flushing: Flushing,
) -> Result<Scan, NotScanned<B::Error>> {
    let mut scanner = Scanner::new(head, chain_known_until);
    while scanner.take_frame(bytes)? {}
    if let Some(frame) = scanner.unhashed.take() {
        let offset = scanner.tables.frames.last().copied().unwrap_or_default();
        let payload = payload_of(bytes, offset.into(), frame).map_err(NotScanned::Read)?;
        let payload = payload.ok_or_else(|| {
            let first = frame.first;
            NotScanned::Damaged(format!("the frame of revision {first} is not read as before"))
        })?;
        scanner.hash(frame.first, payload).map_err(NotScanned::Damaged)?;
    }
    let tables = scanner.tables;
    let end = tables.frames_end;
    if is_zeros(bytes, end).map_err(NotScanned::Read)? {
        return Ok(Scan { tables, tail: SegmentEnd::Zeros });
    }
    let next = Revision::new(head.first.get() + tables.records.len() as u64);
    if flushing == Flushing::WithCheckpoint && next > chain_known_until {
        return Ok(Scan { tables, tail: SegmentEnd::Torn });
    }
    let later = find_frame(bytes, end + 1, Some(head.salt)).map_err(NotScanned::Read)?;
    if let Some((offset, frame)) = later {
        return Err(NotScanned::Damaged(format!(
            "the frame of revision {next} at byte {end} is damaged, but a later one, of revision \
             {} at byte {offset}, is whole",
            frame.first
        )));
    }
    Ok(Scan { tables, tail: SegmentEnd::Torn })
}

/// What is damaged in the bytes of a segment without a valid head; `None` if it has no frame either.
pub(super) fn damage_of_head<B: Bytes>(bytes: &mut B) -> Result<Option<String>, B::Error> {
    let found = find_frame(bytes, 0, None)?;
    Ok(found.map(|(offset, frame)| {
        let first = frame.first;
        format!("its head is damaged, but its frame of revision {first} at byte {offset} is whole")
    }))
}

/// The first whole frame head from `offset` on: of the segment with this salt, or of any.
fn find_frame<B: Bytes>(
    bytes: &mut B,
    offset: u64,
    salt: Option<u64>,
) -> Result<Option<(u64, FrameHead)>, B::Error> {
    let mut offset = aligned(offset);
    while offset < bytes.end() {
        // With the head that begins at the last place.
        let part = bytes.get(offset, SEARCH_BYTES + FRAME_HEAD_BYTES)?;
        let places = (0..SEARCH_BYTES.min(part.len())).step_by(FRAME_ALIGNMENT as usize);
        let frame = |at| {
            let place = offset + at as u64;
            Some((place, FrameHead::decode(place, &part[at..])?))
        };
        let found =
            places.filter_map(frame).find(|(_, frame)| salt.is_none_or(|salt| salt == frame.salt));
        if found.is_some() {
            return Ok(found);
        }
        offset += SEARCH_BYTES as u64;
    }
    Ok(None)
}

/// The payload of the frame at `offset`; `None` if it is not whole.
fn payload_of<B: Bytes>(
    bytes: &mut B,
    offset: u64,
    frame: FrameHead,
) -> Result<Option<&[u8]>, B::Error> {
    let payload_bytes = frame.payload_bytes as usize;
    let payload = bytes.get(offset + FRAME_HEAD_BYTES as u64, payload_bytes)?;
    let is_whole = payload.len() == payload_bytes
        && payload_check(frame.salt, offset, payload) == frame.payload_check;
    Ok(is_whole.then_some(payload))
}

impl<'a> Scanner<'a> {
    /// See [`scan`].
    pub(super) fn new(head: &'a SegmentHead, chain_known_until: Revision) -> Self {
        let tables = ActiveTables::new(HEAD_BYTES as u64, head.chain, head.erased_until);
        Self { head, chain_known_until, tables, unhashed: None }
    }

    /// Adds the next frame to the tables. `false` if there is no whole one.
    pub(super) fn take_frame<B: Bytes>(
        &mut self,
        bytes: &mut B,
    ) -> Result<bool, NotScanned<B::Error>> {
        let Some(frame) = self.next_head(bytes).map_err(NotScanned::Read)? else {
            return Ok(false);
        };
        let payload = payload_of(bytes, self.tables.frames_end, frame);
        let Some(payload) = payload.map_err(NotScanned::Read)? else { return Ok(false) };
        self.add_frame(frame, payload).map_err(NotScanned::Damaged)?;
        Ok(true)
    }

    /// The head of the next frame; `None` if there is none.
    fn next_head<B: Bytes>(&self, bytes: &mut B) -> Result<Option<FrameHead>, B::Error> {
        let offset = self.tables.frames_end;
        let head = FrameHead::decode(offset, bytes.get(offset, FRAME_HEAD_BYTES)?);
        Ok(head.filter(|frame| frame.salt == self.head.salt))
    }

    /// Adds the next frame to the tables.
    ///
    /// # Errors
    /// A description of how it contradicts the one before it.
    fn add_frame(&mut self, frame: FrameHead, payload: &[u8]) -> Result<(), String> {
        let offset = self.tables.frames_end;
        let contradicts =
            |what: &str| format!("the frame of revision {} at byte {offset} {what}", frame.first);
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
                let added = self.add_records(offset + FRAME_HEAD_BYTES as u64, payload)?;
                if added != frame.count || added == 0 {
                    return Err(contradicts("has another number of events than it says"));
                }
                if self.next_revision() > self.chain_known_until {
                    self.hash(frame.first, payload)?;
                } else {
                    self.unhashed = Some(frame);
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

    /// Hashes the records of a frame.
    fn hash(&mut self, mut revision: Revision, mut rest: &[u8]) -> Result<(), String> {
        while !rest.is_empty() {
            let position = RecordPosition { salt: self.head.salt, revision };
            let (record, after) = Record::split_first(position, rest)?;
            self.tables.chain = record.chain(self.tables.chain);
            (revision, rest) = (revision.next(), after);
        }
        Ok(())
    }
}
