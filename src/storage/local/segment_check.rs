//! Checks all bytes of a segment, also those that an opening does not look at. Never reads a file.
//!
//! ```text
//!   head │ frame │ frame │ … │ tables │ foot     sealed: equal to those that the frames give
//!   head │ frame │ frame │ … │ zeros             full: not sealed yet
//!   head │ frame │ frame │ … │ zeros, or a batch that is not complete     only the newest
//! ```

use super::flushing::Flushing;
use super::format::{
    FOOT_BYTES, FRAME_HEAD_BYTES, Foot, FrameHead, FrameKind, HEAD_BYTES, SegmentHead,
    payload_check,
};
use super::scan::{self, NotScanned};
use super::sealing::encode_foot;
use super::segment::ActiveTables;
use crate::model::{Chain, Change, Event, Revision};
use crate::storage::log::record::{Record, RecordPosition};

/// A disk writes such a part of a file completely or not at all.
const SECTOR_BYTES: u64 = 512;

/// A segment without damage.
#[derive(Debug)]
pub(super) struct CheckedSegment {
    pub(super) head: SegmentHead,
    pub(super) tables: ActiveTables,
    /// All bytes of the file.
    pub(super) content: Vec<u8>,
    /// Bytes after the last frame that are no complete frame.
    pub(super) torn_bytes: u64,
    /// The revisions of the posts whose content is there, rising.
    pub(super) posts: Vec<Revision>,
    /// The revisions of the posts whose content is erased, rising.
    pub(super) erased: Vec<Revision>,
    /// The deletions of posts.
    pub(super) deletions: Vec<Deletion>,
}

/// An event that deleted a post.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deletion {
    /// The revision of the event.
    pub(super) revision: Revision,
    /// The revision of the post.
    pub(super) post: Revision,
}

impl CheckedSegment {
    /// Checks the segment with this head and these bytes. Only the newest, which is flushed as `newest` says, may have an
    /// end that is not complete.
    ///
    /// # Errors
    /// A description of the damage.
    pub(super) fn new(
        head: SegmentHead,
        content: Vec<u8>,
        newest: Option<Flushing>,
    ) -> Result<Self, String> {
        let flushing = newest.unwrap_or(Flushing::EachFrame);
        let scanned = scan::scan(&head, &mut &*content, Revision::ZERO, flushing);
        let tables = scanned.map_err(|NotScanned::Damaged(what)| what)?.tables;
        check_padding(&tables, &content)?;
        let torn_bytes = check_end(&head, &content, &tables, newest.is_some())?;
        let (posts, erased, deletions) = (Vec::new(), Vec::new(), Vec::new());
        let mut checked = Self { head, tables, content, torn_bytes, posts, erased, deletions };
        checked.read_events()?;
        Ok(checked)
    }

    /// The revision of the last event; the one before the first without events.
    pub(super) fn last(&self) -> Revision {
        Revision::new(self.head.first.get() - 1 + self.tables.records.len() as u64)
    }

    /// The event at `revision`, which the segment has.
    ///
    /// # Errors
    /// A description of the damage.
    pub(super) fn event(&self, revision: Revision) -> Result<Event, String> {
        let position = RecordPosition { salt: self.head.salt, revision };
        let offset = self.tables.records[(revision.get() - self.head.first.get()) as usize];
        let (record, _) = Record::split_first(position, &self.content[offset as usize..])?;
        record.event(position)
    }

    /// Decodes all events.
    fn read_events(&mut self) -> Result<(), String> {
        for (number, &offset) in (self.head.first.get()..).zip(&self.tables.records) {
            let revision = Revision::new(number);
            let position = RecordPosition { salt: self.head.salt, revision };
            let (record, _) = Record::split_first(position, &self.content[offset as usize..])?;
            let event = record.event(position)?;
            if record.has_content() {
                self.posts.push(revision);
            }
            match event.change {
                Change::Delete { post, .. } => {
                    self.deletions.push(Deletion { revision, post: post.id.revision() });
                }
                Change::Erased { .. } => self.erased.push(revision),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The chain after the event at `revision`, in the segment with this head and these bytes; `None` if
/// no frame has the event. Looks only at the heads of the frames before it.
///
/// # Errors
/// A description of the damage.
pub(super) fn chain_at(
    head: &SegmentHead,
    content: &[u8],
    revision: Revision,
) -> Result<Option<Chain>, String> {
    let mut offset = HEAD_BYTES as u64;
    while let Some((frame, rest)) = frame_at(head, content, offset) {
        let after = frame.first.get() + u64::from(frame.count);
        if frame.kind != FrameKind::Events || after <= revision.get() {
            offset = frame.end(offset);
            continue;
        }
        let payload = rest
            .get(..frame.payload_bytes as usize)
            .filter(|payload| payload_check(head.salt, offset, payload) == frame.payload_check);
        let Some(mut payload) = payload else {
            let first = frame.first;
            return Err(format!("the frame of revision {first} at byte {offset} fails its check"));
        };
        let mut chain = frame.chain;
        for number in frame.first.get()..=revision.get() {
            let position = RecordPosition { salt: head.salt, revision: Revision::new(number) };
            let (record, after) = Record::split_first(position, payload)?;
            (chain, payload) = (record.chain(chain), after);
        }
        return Ok(Some(chain));
    }
    Ok(None)
}

/// The head of the frame at `offset`, and what follows it; `None` if there is no such head.
fn frame_at<'a>(
    head: &SegmentHead,
    content: &'a [u8],
    offset: u64,
) -> Option<(FrameHead, &'a [u8])> {
    let bytes = content.get(offset as usize..)?;
    let frame = FrameHead::decode(offset, bytes).filter(|frame| frame.salt == head.salt)?;
    Some((frame, &bytes[FRAME_HEAD_BYTES..]))
}

/// The bytes between a frame and the next are zeros. No check of a frame covers them.
fn check_padding(tables: &ActiveTables, content: &[u8]) -> Result<(), String> {
    for &offset in &tables.frames {
        let frame = FrameHead::decode(offset.into(), &content[offset as usize..]);
        let frame = frame.unwrap_or_else(|| unreachable!("the scan has found it"));
        let start = offset as usize + FRAME_HEAD_BYTES + frame.payload_bytes as usize;
        let end = content.len().min(frame.end(offset.into()) as usize);
        if content[start..end].iter().any(|&byte| byte != 0) {
            let first = frame.first;
            return Err(format!(
                "the frame of revision {first} at byte {offset} is not followed by zeros"
            ));
        }
    }
    Ok(())
}

/// Checks what follows the last frame. Returns the number of bytes that are no complete frame.
fn check_end(
    head: &SegmentHead,
    content: &[u8],
    tables: &ActiveTables,
    is_newest: bool,
) -> Result<u64, String> {
    let start = tables.frames_end;
    let end = content.get(start as usize..).unwrap_or(&[]);
    let mut sealed = Vec::new();
    encode_foot(tables, head.salt, &mut sealed);
    if end == sealed {
        return Ok(0);
    }
    let next = head.first.get() + tables.records.len() as u64;
    let foot = content.last_chunk::<FOOT_BYTES>().and_then(Foot::decode);
    let is_whole =
        |foot: &Foot| foot.salt == head.salt && foot.file_bytes() == content.len() as u64;
    match foot.filter(is_whole) {
        Some(foot) if foot.frames_end != start => {
            Err(format!("the frame of revision {next} at byte {start} is damaged"))
        }
        Some(_) => {
            let same = end.iter().zip(&sealed).take_while(|(byte, other)| byte == other).count();
            let byte = start + same as u64;
            Err(format!("its tables do not describe its frames, from byte {byte} on"))
        }
        // A file has room for its tables from the beginning.
        None if end.len() < sealed.len() => {
            Err(format!("it is shorter than it was: it ends at byte {}", content.len()))
        }
        None if is_newest && end.len() > sealed.len() => {
            let torn = end.iter().rposition(|&byte| byte != 0);
            Ok(torn.map_or(0, |last| last as u64 + 1))
        }
        None => {
            sealed.resize(end.len(), 0);
            check_unfinished_seal(start, end, &sealed, next)
        }
    }
}

/// A segment that is full has zeros where it gets its tables; of each sector a part of them if they
/// are being written, or if a power cut came meanwhile. `end` and `sealed` begin at the offset
/// `start`.
fn check_unfinished_seal(start: u64, end: &[u8], sealed: &[u8], next: u64) -> Result<u64, String> {
    let mut at = 0;
    while at < end.len() {
        let sector_end = (start + at as u64 + 1).next_multiple_of(SECTOR_BYTES) - start;
        let sector = at..end.len().min(sector_end as usize);
        let mut differing = sector.clone().skip_while(|&at| end[at] == sealed[at]);
        if let Some(at) = differing.find(|&at| end[at] != 0) {
            return Err(format!(
                "at byte {} it has neither the frame of revision {next} nor its tables",
                start + at as u64
            ));
        }
        at = sector.end;
    }
    Ok(0)
}
