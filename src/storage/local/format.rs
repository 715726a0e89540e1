//! The fixed parts of a segment file: its head, the head of a frame, its foot. Never reads a file.
//!
//! ```text
//!   segment   head │ frame │ frame │ … │ zeros           while it is written
//!             head │ frame │ frame │ … │ tables │ foot   once it is sealed
//!   frame     frame head │ records (see record.rs) │ zeros up to the next multiple of 8
//!   tables    offset of each record │ offset of each frame │ epochs
//!             4 B                     4 B                    first revision (8 B), epoch (4 B)
//! ```
//!
//! Numbers are little-endian. Offsets count from the start of the file. Each part ends with a CRC-32
//! over the rest of it.

use crate::formats::SEGMENT;
use crate::model::{Chain, Epoch, EpochStart, LogId, Revision};

pub(super) const HEAD_BYTES: usize = 128;
pub(super) const FRAME_HEAD_BYTES: usize = 88;
pub(super) const FOOT_BYTES: usize = 96;
/// Bytes of an offset in the tables.
pub(super) const OFFSET_BYTES: usize = 4;
/// Bytes of an [`EpochStart`] in the tables.
pub(super) const EPOCH_BYTES: usize = 12;
/// A frame begins at a multiple of this, so that a scan for one is cheap.
pub(super) const FRAME_ALIGNMENT: u64 = 8;

const HEAD_MAGIC: [u8; 8] = *b"WHIMSEGM";
const FRAME_MAGIC: [u8; 4] = *b"WFRM";
const FOOT_MAGIC: [u8; 8] = *b"WHIMFOOT";
const CHECK_BYTES: usize = 4;

/// The head of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHead {
    pub(super) log: LogId,
    /// The number in the name of the file.
    pub(super) number: u64,
    /// The revision of the first event.
    pub(super) first: Revision,
    /// A random number. A frame is valid only in the segment with its salt.
    pub(super) salt: u64,
    /// Posts that were deleted up to here are erased from the log.
    pub(super) erased_until: Revision,
    /// The chain before the first event.
    pub(super) chain: Chain,
}

/// The bytes at the place of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadContent {
    Valid(SegmentHead),
    /// Nothing was written yet.
    Zeros,
    /// A head of another format, whose number this is.
    OtherFormat(u32),
    Damaged,
}

/// What the payload of a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// Records, which became durable together.
    Events = 1,
    /// A revision: posts that were deleted up to there are erased from the log.
    Erased = 2,
}

/// The head of a frame. A frame is written once all before it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) kind: FrameKind,
    /// Bytes after the frame's head, without the zeros at the end.
    pub(super) payload_bytes: u32,
    /// The number of events.
    pub(super) count: u32,
    /// The salt of the segment.
    pub(super) salt: u64,
    /// The revision of the first event; without events, of the next one.
    pub(super) first: Revision,
    /// The epoch of the events.
    pub(super) epoch: Epoch,
    /// The chain before the first event.
    pub(super) chain: Chain,
    /// See [`payload_check`].
    pub(super) payload_check: u32,
}

/// The foot of a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Foot {
    /// The number of events.
    pub(super) count: u32,
    /// The number of frames.
    pub(super) frames: u32,
    /// The number of epochs in the tables.
    pub(super) epochs: u32,
    /// CRC-32 over the offsets of the records and the frames.
    pub(super) offsets_check: u32,
    /// CRC-32 over the epochs.
    pub(super) epochs_check: u32,
    /// The end of the last frame, where the tables begin.
    pub(super) frames_end: u64,
    /// The salt of the segment.
    pub(super) salt: u64,
    /// The greatest [`SegmentHead::erased_until`] of the head and all frames.
    pub(super) erased_until: Revision,
    /// The chain after the last event.
    pub(super) chain: Chain,
}

/// Writes fields one after the other.
struct Fields<const BYTES: usize> {
    bytes: [u8; BYTES],
    at: usize,
}

/// Reads fields one after the other.
struct FieldReader<'a>(&'a [u8]);

impl<const BYTES: usize> Fields<BYTES> {
    fn new() -> Self {
        Self { bytes: [0; BYTES], at: 0 }
    }

    fn put(mut self, field: &[u8]) -> Self {
        self.bytes[self.at..self.at + field.len()].copy_from_slice(field);
        self.at += field.len();
        self
    }

    fn u32(self, field: u32) -> Self {
        self.put(&field.to_le_bytes())
    }

    fn u64(self, field: u64) -> Self {
        self.put(&field.to_le_bytes())
    }

    /// Ends the part with a check, which begins with `place`.
    fn checked(mut self, place: &[u8]) -> [u8; BYTES] {
        debug_assert!(self.at <= BYTES - CHECK_BYTES, "there is room for the check");
        let check = check(place, &self.bytes[..BYTES - CHECK_BYTES]);
        self.bytes[BYTES - CHECK_BYTES..].copy_from_slice(&check.to_le_bytes());
        self.bytes
    }
}

impl FieldReader<'_> {
    fn take<const BYTES: usize>(&mut self) -> [u8; BYTES] {
        let Some((field, rest)) = self.0.split_first_chunk() else {
            unreachable!("the part has all its fields")
        };
        self.0 = rest;
        *field
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

fn check(place: &[u8], bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(place);
    hasher.update(bytes);
    hasher.finalize()
}

fn is_checked(place: &[u8], bytes: &[u8]) -> bool {
    let (part, stored) = bytes.split_at(bytes.len() - CHECK_BYTES);
    stored == check(place, part).to_le_bytes()
}

/// The place of a frame, which its checks begin with.
fn place(salt: u64, offset: u64) -> [u8; 16] {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&salt.to_le_bytes());
    place[8..].copy_from_slice(&offset.to_le_bytes());
    place
}

/// CRC-32 over the payload of the frame at `offset`.
pub(super) fn payload_check(salt: u64, offset: u64, payload: &[u8]) -> u32 {
    check(&place(salt, offset), payload)
}

/// The first offset from `offset` on where a frame may begin.
pub(super) fn aligned(offset: u64) -> u64 {
    offset.next_multiple_of(FRAME_ALIGNMENT)
}

impl SegmentHead {
    pub(super) fn encode(&self) -> [u8; HEAD_BYTES] {
        Fields::new()
            .put(&HEAD_MAGIC)
            .u32(SEGMENT.version)
            .u32(0)
            .u64(self.log.get())
            .u64(self.number)
            .u64(self.first.get())
            .u64(self.salt)
            .u64(self.erased_until.get())
            .put(&self.chain.get())
            .checked(&[])
    }

    pub(super) fn decode(bytes: &[u8; HEAD_BYTES]) -> HeadContent {
        if bytes.iter().all(|&byte| byte == 0) {
            return HeadContent::Zeros;
        }
        let mut fields = FieldReader(bytes);
        if !is_checked(&[], bytes) || fields.take() != HEAD_MAGIC {
            return HeadContent::Damaged;
        }
        // A head of another format has its check at the same place.
        match (fields.u32(), fields.u32()) {
            (version, 0) if SEGMENT.reads(version.into()) => {}
            (version, _) => return HeadContent::OtherFormat(version),
        }
        HeadContent::Valid(Self {
            log: LogId::new(fields.u64()),
            number: fields.u64(),
            first: Revision::new(fields.u64()),
            salt: fields.u64(),
            erased_until: Revision::new(fields.u64()),
            chain: Chain::new(fields.take()),
        })
    }
}

impl FrameHead {
    /// The frame's head at `offset`.
    pub(super) fn encode(&self, offset: u64) -> [u8; FRAME_HEAD_BYTES] {
        Fields::new()
            .put(&FRAME_MAGIC)
            .u32(self.kind as u32)
            .u32(self.payload_bytes)
            .u32(self.count)
            .u64(self.salt)
            .u64(self.first.get())
            .u32(self.epoch.get())
            .put(&self.chain.get())
            .u32(self.payload_check)
            .checked(&place(self.salt, offset))
    }

    /// The frame's head at `offset`, valid in the segment whose salt it says; `None` if the bytes
    /// are none.
    pub(super) fn decode(offset: u64, bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<FRAME_HEAD_BYTES>()?;
        let mut fields = FieldReader(bytes);
        if fields.take() != FRAME_MAGIC {
            return None;
        }
        let kind = match fields.u32() {
            1 => FrameKind::Events,
            2 => FrameKind::Erased,
            _ => return None,
        };
        let head = Self {
            kind,
            payload_bytes: fields.u32(),
            count: fields.u32(),
            salt: fields.u64(),
            first: Revision::new(fields.u64()),
            epoch: Epoch::new(fields.u32()),
            chain: Chain::new(fields.take()),
            payload_check: fields.u32(),
        };
        is_checked(&place(head.salt, offset), bytes).then_some(head)
    }

    /// The offset after a frame at `offset`.
    pub(super) fn end(&self, offset: u64) -> u64 {
        aligned(offset + FRAME_HEAD_BYTES as u64 + u64::from(self.payload_bytes))
    }
}

impl Foot {
    pub(super) fn encode(&self) -> [u8; FOOT_BYTES] {
        Fields::new()
            .put(&FOOT_MAGIC)
            .u32(self.count)
            .u32(self.frames)
            .u32(self.epochs)
            .u32(self.offsets_check)
            .u32(self.epochs_check)
            .u32(0)
            .u64(self.frames_end)
            .u64(self.salt)
            .u64(self.erased_until.get())
            .put(&self.chain.get())
            .checked(&[])
    }

    /// `None` if the bytes are no foot.
    pub(super) fn decode(bytes: &[u8; FOOT_BYTES]) -> Option<Self> {
        let mut fields = FieldReader(bytes);
        if !is_checked(&[], bytes) || fields.take() != FOOT_MAGIC {
            return None;
        }
        let [count, frames, epochs] = [fields.u32(), fields.u32(), fields.u32()];
        let [offsets_check, epochs_check, _zero] = [fields.u32(), fields.u32(), fields.u32()];
        Some(Self {
            count,
            frames,
            epochs,
            offsets_check,
            epochs_check,
            frames_end: fields.u64(),
            salt: fields.u64(),
            erased_until: Revision::new(fields.u64()),
            chain: Chain::new(fields.take()),
        })
    }

    /// Bytes of the tables.
    pub(super) fn tables_bytes(&self) -> u64 {
        let offsets = u64::from(self.count) + u64::from(self.frames);
        offsets * OFFSET_BYTES as u64 + u64::from(self.epochs) * EPOCH_BYTES as u64
    }

    /// The length of the file.
    pub(super) fn file_bytes(&self) -> u64 {
        self.frames_end + self.tables_bytes() + FOOT_BYTES as u64
    }

    /// The offset of the table of the frames' offsets.
    pub(super) fn frame_offsets_at(&self) -> u64 {
        self.frames_end + u64::from(self.count) * OFFSET_BYTES as u64
    }

    /// The offset of the table of the epochs.
    pub(super) fn epochs_at(&self) -> u64 {
        self.frame_offsets_at() + u64::from(self.frames) * OFFSET_BYTES as u64
    }
}

/// The tables of a sealed segment, and the foot that describes them, without what only the caller
/// knows.
pub(super) struct Tables<'a> {
    /// The offset of each record.
    pub(super) records: &'a [u32],
    /// The offset of each frame.
    pub(super) frames: &'a [u32],
    /// The epochs of the segment's events.
    pub(super) epochs: &'a [EpochStart],
}

impl Tables<'_> {
    /// Adds the tables and the foot to `bytes`. The lengths and checks in `foot` are ignored.
    pub(super) fn encode(&self, foot: Foot, bytes: &mut Vec<u8>) {
        let count = |items: usize| {
            u32::try_from(items).unwrap_or_else(|_| unreachable!("a segment is below 4 GiB"))
        };
        let start = bytes.len();
        let offsets = self.records.iter().chain(self.frames);
        offsets.for_each(|offset| bytes.extend(offset.to_le_bytes()));
        let epochs_start = bytes.len();
        for epoch in self.epochs {
            bytes.extend(epoch.first.get().to_le_bytes());
            bytes.extend(epoch.epoch.get().to_le_bytes());
        }
        let foot = Foot {
            count: count(self.records.len()),
            frames: count(self.frames.len()),
            epochs: count(self.epochs.len()),
            offsets_check: crc32fast::hash(&bytes[start..epochs_start]),
            epochs_check: crc32fast::hash(&bytes[epochs_start..]),
            ..foot
        };
        bytes.extend(foot.encode());
    }
}

/// The offsets in a part of a table.
pub(super) fn decode_offsets(bytes: &[u8]) -> Vec<u32> {
    let (offsets, rest) = bytes.as_chunks::<OFFSET_BYTES>();
    debug_assert!(rest.is_empty(), "a part of a table has whole offsets");
    offsets.iter().map(|offset| u32::from_le_bytes(*offset)).collect()
}

/// The epochs in a table.
pub(super) fn decode_epochs(bytes: &[u8]) -> Vec<EpochStart> {
    let (epochs, rest) = bytes.as_chunks::<EPOCH_BYTES>();
    debug_assert!(rest.is_empty(), "a table has whole epochs");
    let decode = |bytes: &[u8; EPOCH_BYTES]| {
        let mut fields = FieldReader(bytes);
        EpochStart { first: Revision::new(fields.u64()), epoch: Epoch::new(fields.u32()) }
    };
    epochs.iter().map(decode).collect()
}
