//! The bytes of a log's files, read and written without the code under test: what is drawn in
//! `src/storage/local/format.rs`, `checkpoint.rs` and `src/storage/log/record.rs`. Never opens a log.

use std::ops::Range;

pub(crate) const HEAD_BYTES: usize = 128;
const FRAME_HEAD_BYTES: usize = 88;
const FOOT_BYTES: usize = 96;
const RECORD_HEAD_BYTES: usize = 13;
const KEY_BYTES: usize = 16;
/// Bytes of a slot of the checkpoint, and of its fields.
const SLOT_BYTES: usize = 4096;
const SLOT_FIELDS_BYTES: usize = 60;
const CHECK_BYTES: usize = 4;

const FORMAT_AT: usize = 8;
const SALT: Range<usize> = 40..48;
const CHAIN: Range<usize> = 56..88;

/// What a byte of a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Part {
    Head,
    FrameHead,
    RecordHead,
    /// What follows the head of a record.
    Record,
    /// The revision in a frame that notes an erasure.
    Erased,
    /// Zeros after a frame.
    Padding,
    RecordTable,
    FrameTable,
    EpochTable,
    Foot,
    /// What follows the last whole frame of a segment without a foot.
    Unwritten,
    /// The fields of a slot of the checkpoint.
    Slot,
    /// The rest of a slot.
    SlotRest,
}

/// A whole frame.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// All its bytes, with the zeros after it.
    pub(crate) bytes: Range<usize>,
    /// The revision of the first event, or of the next one without events.
    pub(crate) first: u64,
    /// The bytes of each record.
    pub(crate) records: Vec<Range<usize>>,
}

/// The frames of a segment up to the first place that has no whole one.
pub(crate) fn frames(segment: &[u8]) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    while let Some(frame) = frame_at(segment, frames.last().map_or(HEAD_BYTES, |it| it.bytes.end)) {
        frames.push(frame);
    }
    frames
}

fn frame_at(segment: &[u8], start: usize) -> Option<Frame> {
    let head = segment.get(start..start + FRAME_HEAD_BYTES)?;
    let payload_start = start + FRAME_HEAD_BYTES;
    let payload = payload_start..payload_start + number(head, 8, 4) as usize;
    let salt = &segment[SALT];
    if &head[..4] != b"WFRM"
        || check(&[salt, &place(start), segment.get(payload.clone())?]) != head[68..72]
    {
        return None;
    }
    let mut records: Vec<Range<usize>> = Vec::new();
    for _ in 0..number(head, 12, 4) {
        let start = records.last().map_or(payload.start, |record| record.end);
        let bytes = RECORD_HEAD_BYTES + number(segment, start + 4, 4) as usize;
        records.push(start..start + bytes);
    }
    let bytes = start..payload.end.next_multiple_of(8).min(segment.len());
    Some(Frame { bytes, first: number(head, 24, 8), records })
}

/// What each byte of a file of a log belongs to.
pub(crate) fn parts(name: &str, file: &[u8]) -> Vec<Part> {
    if name == "checkpoint" {
        let is_field = |at: usize| at % SLOT_BYTES < SLOT_FIELDS_BYTES;
        let part = |at| if is_field(at) { Part::Slot } else { Part::SlotRest };
        return (0..file.len()).map(part).collect();
    }
    let mut parts = vec![Part::Unwritten; file.len()];
    if !file.starts_with(b"WHIMSEGM") {
        return parts;
    }
    parts[..HEAD_BYTES].fill(Part::Head);
    let frames = frames(file);
    for Frame { bytes, records, .. } in &frames {
        let payload_bytes = number(file, bytes.start + 8, 4) as usize;
        let payload =
            bytes.start + FRAME_HEAD_BYTES..bytes.start + FRAME_HEAD_BYTES + payload_bytes;
        parts[bytes.start..payload.start].fill(Part::FrameHead);
        parts[payload.clone()].fill(Part::Erased);
        parts[payload.end..bytes.end].fill(Part::Padding);
        for record in records {
            parts[record.clone()].fill(Part::Record);
            parts[record.start..record.start + RECORD_HEAD_BYTES].fill(Part::RecordHead);
        }
    }
    if let Some(foot) = file.len().checked_sub(FOOT_BYTES)
        && file[foot..].starts_with(b"WHIMFOOT")
    {
        let tables = frames.last().map_or(HEAD_BYTES, |frame| frame.bytes.end);
        let frame_table = tables + 4 * number(file, foot + 8, 4) as usize;
        let epochs = frame_table + 4 * number(file, foot + 12, 4) as usize;
        parts[tables..frame_table].fill(Part::RecordTable);
        parts[frame_table..epochs].fill(Part::FrameTable);
        parts[epochs..foot].fill(Part::EpochTable);
        parts[foot..].fill(Part::Foot);
    }
    parts
}

/// Whether the segment is sealed.
pub(crate) fn is_sealed(segment: &[u8]) -> bool {
    parts("", segment).last() == Some(&Part::Foot)
}

/// The number of events in a segment.
pub(crate) fn events(segment: &[u8]) -> usize {
    frames(segment).iter().map(|frame| frame.records.len()).sum()
}

/// The revisions of the events in a segment.
pub(crate) fn revisions(segment: &[u8]) -> Range<u64> {
    let first = frames(segment).first().map_or(0, |frame| frame.first);
    first..first + events(segment) as u64
}

/// Gives the head of a segment another format, and the check that belongs to it.
pub(crate) fn set_format(segment: &mut [u8], format: u32) {
    segment[FORMAT_AT..FORMAT_AT + 4].copy_from_slice(&format.to_le_bytes());
    set_check(&[], &mut segment[..HEAD_BYTES]);
}

/// The record of a post: its kept part and its content.
pub(crate) fn post_record(segment: &[u8], revision: u64, kept: &[u8], content: &[u8]) -> Vec<u8> {
    record(segment, revision, 1, kept, &[&[7; KEY_BYTES], content].concat())
}

/// A record with a right check for its place: its form, its kept part, and the rest.
pub(crate) fn record(segment: &[u8], revision: u64, form: u8, kept: &[u8], rest: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| u32::try_from(bytes).unwrap().to_le_bytes();
    let (bytes, kept_bytes) = (length(kept.len() + rest.len()), length(kept.len()));
    let record = [&bytes[..], &kept_bytes, &[form], kept, rest].concat();
    let check = check(&[&segment[SALT], &revision.to_le_bytes(), &record]);
    [&check[..], &record].concat()
}

/// Writes the first frame of a segment, with one record.
pub(crate) fn put_first_frame(segment: &mut [u8], revision: u64, record: &[u8]) {
    let salt = segment[SALT].to_vec();
    let mut head = Vec::new();
    head.extend(b"WFRM");
    head.extend(1_u32.to_le_bytes());
    head.extend(u32::try_from(record.len()).unwrap().to_le_bytes());
    head.extend(1_u32.to_le_bytes());
    head.extend(&salt);
    head.extend(revision.to_le_bytes());
    head.extend(9_u32.to_le_bytes());
    head.extend(&segment[CHAIN]);
    head.extend(check(&[&salt, &place(HEAD_BYTES), record]));
    head.resize(FRAME_HEAD_BYTES, 0);
    set_check(&[&salt, &place(HEAD_BYTES)], &mut head);
    let payload = HEAD_BYTES + FRAME_HEAD_BYTES;
    segment[HEAD_BYTES..payload].copy_from_slice(&head);
    segment[payload..payload + record.len()].copy_from_slice(record);
}

/// Sets the check at the end of a part.
fn set_check(before: &[&[u8]], part: &mut [u8]) {
    let checked = part.len() - CHECK_BYTES;
    let check = check(&[before, &[&part[..checked]]].concat());
    part[checked..].copy_from_slice(&check);
}

fn check(parts: &[&[u8]]) -> [u8; CHECK_BYTES] {
    let mut hasher = crc32fast::Hasher::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().to_le_bytes()
}

fn place(offset: usize) -> [u8; 8] {
    (offset as u64).to_le_bytes()
}

/// A little-endian number.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes[at..at + length].iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}
