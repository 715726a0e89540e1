//! Cutting a segment at a revision. Never changes an event before it, nor a chain.

use super::format::{FRAME_HEAD_BYTES, FrameHead, HEAD_BYTES, SegmentHead};
use super::segment_check::CheckedSegment;
use super::segment_copy::SegmentCopy;
use crate::model::{Revision, Timestamp};

/// The segment with this head and these bytes, which are checked, without the events after `last`.
/// Returns its bytes.
pub(super) fn cut(head: &SegmentHead, content: &[u8], last: Revision) -> Result<Vec<u8>, String> {
    let mut copy = SegmentCopy::cut(head, last);
    let mut offset = HEAD_BYTES as u64;
    while let Some(frame) = frame_at(head, content, offset) {
        if frame.first > last.next() {
            break;
        }
        let start = offset as usize + FRAME_HEAD_BYTES;
        let payload = content.get(start..start + frame.payload_bytes as usize);
        copy.add(frame, payload.ok_or("a frame is cut")?)?;
        offset = frame.end(offset);
    }
    Ok(copy.finish().1)
}

/// The last revision before the first event that came after `time`; `None` if no event of the segment
/// did.
pub(super) fn last_until(
    segment: &CheckedSegment,
    time: Timestamp,
) -> Result<Option<Revision>, String> {
    for revision in (segment.head.first.get()..=segment.last().get()).map(Revision::new) {
        if segment.event(revision)?.time > time {
            return Ok(Some(revision.previous()));
        }
    }
    Ok(None)
}

/// The head of the frame at `offset`; `None` after the last.
fn frame_at(head: &SegmentHead, content: &[u8], offset: u64) -> Option<FrameHead> {
    let frame = FrameHead::decode(offset, content.get(offset as usize..)?)?;
    (frame.salt == head.salt).then_some(frame)
}
