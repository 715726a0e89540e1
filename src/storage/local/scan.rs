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

/// All bytes of a file.
pub(super) fn read_all(file: &dyn StorageFile) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.bytes()? as usize];
    file.read_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Scans the segment with this head and these bytes.
///
/// # Errors
/// A description of the damage.
pub(super) fn scan(head: &SegmentHead, bytes: &[u8]) -> Result<Scan, String> {
    let mut tables = ActiveTables::new(HEAD_BYTES as u64, head.chain, head.erased_until);
    loop {
        match next_frame(head, bytes, &mut tables) {
            Ok(()) => {}
            Err(NoFrame::Contradiction(what)) => return Err(what),
            Err(NoFrame::Incomplete) => break,
        }
    }
    let end = tables.frames_end as usize;
    let tail = bytes.get(end..).unwrap_or(&[]);
    if tail.iter().all(|&byte| byte == 0) {
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

/// Adds the frame at the end of `tables` to them.
fn next_frame(head: &SegmentHead, bytes: &[u8], tables: &mut ActiveTables) -> Result<(), NoFrame> {
    let offset = tables.frames_end;
    let rest = bytes.get(offset as usize..).ok_or(NoFrame::Incomplete)?;
    let frame = FrameHead::decode(offset, rest)
        .filter(|frame| frame.salt == head.salt)
        .ok_or(NoFrame::Incomplete)?;
    let payload = rest[FRAME_HEAD_BYTES..]
        .get(..frame.payload_bytes as usize)
        .filter(|payload| payload_check(head.salt, offset, payload) == frame.payload_check)
        .ok_or(NoFrame::Incomplete)?;

    let contradicts = |what: &str| {
        NoFrame::Contradiction(format!(
            "the frame of revision {} at byte {offset} {what}",
            frame.first
        ))
    };
    let next = head.first.get() + tables.records.len() as u64;
    if frame.first.get() != next {
        return Err(contradicts(&format!("should be of revision {next}")));
    }
    if frame.chain != tables.chain {
        return Err(contradicts("does not continue the events before it"));
    }
    let frame_offset = offset as u32;
    match frame.kind {
        FrameKind::Events => {
            let start = offset + FRAME_HEAD_BYTES as u64;
            let added = add_records(head, start, payload, tables);
            let added = added.map_err(NoFrame::Contradiction)?;
            if added != frame.count || added == 0 {
                return Err(contradicts("has another number of events than it says"));
            }
            epochs::extend(&mut tables.epochs, frame.first, frame.epoch);
        }
        FrameKind::Erased => {
            let until = payload.try_into().map(u64::from_le_bytes);
            let until = until.map_err(|_| contradicts("is too short"))?;
            tables.erased_until = tables.erased_until.max(Revision::new(until));
        }
    }
    tables.frames.push(frame_offset);
    tables.frames_end = frame.end(offset);
    Ok(())
}

/// Adds the records of a frame, which begin at the offset `start`. Returns their number.
fn add_records(
    head: &SegmentHead,
    start: u64,
    payload: &[u8],
    tables: &mut ActiveTables,
) -> Result<u32, String> {
    let mut rest = payload;
    let mut added = 0;
    while !rest.is_empty() {
        let revision = Revision::new(head.first.get() + tables.records.len() as u64);
        let position = RecordPosition { salt: head.salt, revision };
        let (record, after) = Record::split_first(position, rest)?;
        tables.records.push((start + (payload.len() - rest.len()) as u64) as u32);
        tables.chain = record.chain(tables.chain);
        rest = after;
        added += 1;
    }
    Ok(added)
}
