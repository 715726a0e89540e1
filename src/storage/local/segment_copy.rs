//! A copy of a segment that is being made, frame by frame, with a salt of its own: without the content of
//! some posts, or without the events after a revision. Never reads or writes a file, and never changes a chain.

use super::epochs;
use super::format::{
    FRAME_HEAD_BYTES, Foot, FrameHead, FrameKind, HEAD_BYTES, SegmentHead, payload_check,
};
use super::sealing::{encode_foot, foot_at_end};
use super::segment::ActiveTables;
use crate::model::Revision;
use crate::storage::log::record::{self, Record, RecordPosition};
use crate::storage::redb_file::random;

/// The copy, and what of it was not taken yet.
pub(super) struct SegmentCopy<'a> {
    /// The revision of the first event.
    first: Revision,
    old_salt: u64,
    /// The revisions of the posts to erase, rising.
    posts: &'a [Revision],
    /// Notes of erasures say no more than this.
    erased_until_max: Revision,
    /// Later events are left out.
    last_max: Revision,
    salt: u64,
    pub(super) tables: ActiveTables,
    /// The bytes from the offset `taken` on.
    pub(super) bytes: Vec<u8>,
    taken: u64,
}

impl<'a> SegmentCopy<'a> {
    /// Of the segment with this head, without the content of `posts`.
    pub(super) fn new(head: &SegmentHead, posts: &'a [Revision], erased_until: Revision) -> Self {
        let salt = random();
        let tables = ActiveTables::new(HEAD_BYTES as u64, head.chain, erased_until);
        let bytes = SegmentHead { salt, erased_until, ..*head }.encode().to_vec();
        Self {
            first: head.first,
            old_salt: head.salt,
            posts,
            erased_until_max: Revision::MAX,
            last_max: Revision::MAX,
            salt,
            tables,
            bytes,
            taken: 0,
        }
    }

    /// Of the segment with this head, without the events after `last`.
    pub(super) fn cut(head: &SegmentHead, last: Revision) -> Self {
        let erased_until = head.erased_until.min(last);
        Self { last_max: last, erased_until_max: last, ..Self::new(head, &[], erased_until) }
    }

    /// Adds a frame of the old segment with this payload.
    ///
    /// # Errors
    /// A description of the damage.
    pub(super) fn add(&mut self, frame: FrameHead, payload: &[u8]) -> Result<(), String> {
        let offset = self.taken + self.bytes.len() as u64;
        let head_at = self.bytes.len();
        self.bytes.resize(head_at + FRAME_HEAD_BYTES, 0);
        let payload_at = self.bytes.len();
        let chain = self.tables.chain;
        let mut count = 0;
        match frame.kind {
            FrameKind::Events => {
                count = self.add_records(payload)?;
                if count == 0 {
                    // All its events are left out.
                    self.bytes.truncate(head_at);
                    return Ok(());
                }
                epochs::extend(&mut self.tables.epochs, frame.first, frame.epoch);
            }
            FrameKind::Erased => {
                let until = payload.try_into().map(u64::from_le_bytes);
                let until = until.map_err(|_| "its note of an erasure is cut".to_owned())?;
                let until = Revision::new(until).min(self.erased_until_max);
                let tables = &mut self.tables;
                tables.erased_until = tables.erased_until.max(until);
                self.bytes.extend(until.get().to_le_bytes());
            }
        }
        let payload = &self.bytes[payload_at..];
        let head = FrameHead {
            payload_bytes: payload.len() as u32,
            count,
            salt: self.salt,
            chain,
            payload_check: payload_check(self.salt, offset, payload),
            ..frame
        };
        let end = (head.end(offset) - self.taken) as usize;
        self.bytes[head_at..payload_at].copy_from_slice(&head.encode(offset));
        self.bytes.resize(end, 0);
        self.tables.frames.push(offset as u32);
        self.tables.frames_end = self.taken + end as u64;
        Ok(())
    }

    /// Adds the records of a frame. Returns their number.
    fn add_records(&mut self, payload: &[u8]) -> Result<u32, String> {
        let mut rest = payload;
        let mut count = 0;
        while !rest.is_empty() {
            let index = self.tables.records.len() as u64;
            let revision = Revision::new(self.first.get() + index);
            if revision > self.last_max {
                break;
            }
            let (record, after) =
                Record::split_first(RecordPosition { salt: self.old_salt, revision }, rest)?;
            let is_erased = self.posts.binary_search(&revision).is_ok();
            self.tables.chain = record.chain(self.tables.chain);
            let start = self.bytes.len();
            self.tables.records.push((self.taken + start as u64) as u32);
            record.copy(is_erased, &mut self.bytes);
            record::set_check(
                &mut self.bytes[start..],
                RecordPosition { salt: self.salt, revision },
            );
            rest = after;
            count += 1;
        }
        Ok(count)
    }

    /// Takes what there is of the copy so far.
    pub(super) fn take_bytes(&mut self) -> Vec<u8> {
        self.taken += self.bytes.len() as u64;
        std::mem::take(&mut self.bytes)
    }

    /// Ends the copy. Returns the rest of its bytes, which ends with the foot.
    pub(super) fn finish(mut self) -> (Foot, Vec<u8>) {
        encode_foot(&self.tables, self.salt, &mut self.bytes);
        (foot_at_end(&self.bytes), self.bytes)
    }
}
