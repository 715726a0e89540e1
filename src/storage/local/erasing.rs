//! Erasing posts: each segment that has one is rewritten without its content, one at a time. Appends
//! and reads go on. Never changes a file in place.
//!
//! ```text
//!   0000000000000007.seg ──copied──▶ 0000000000000007.seg.new ──renamed──▶ 0000000000000007.seg
//! ```
//!
//! Whatever interrupts it, each segment is either the old or the new one, and both have the same
//! events, revisions and chain. At the end a frame notes up to where posts are erased.

use std::io;
use std::sync::{Arc, PoisonError};

use super::LocalLog;
use super::folder::StorageFile;
use super::format::{
    FRAME_HEAD_BYTES, Foot, FrameHead, HEAD_BYTES, HeadContent, SegmentHead, payload_check,
};
use super::recovery::UNFINISHED;
use super::segment::{Segment, file_name};
use super::segment_copy::SegmentCopy;
use crate::model::Revision;
use crate::storage::error::Error;
use crate::storage::log::{EraseOutcome, Erasure};

/// Bytes of the copy that are written at once. Between two writes a stop is noticed.
const WRITE_BYTES: usize = 1 << 20;

/// Why a segment was not rewritten. It is as it was.
enum NotRewritten {
    Stopped,
    Failed(Error),
}

impl LocalLog {
    /// See [`Log::erase`](crate::storage::Log::erase).
    pub(super) fn erase_posts(
        &self,
        erasure: &Erasure,
        go_on: &dyn Fn() -> bool,
    ) -> Result<EraseOutcome, Error> {
        debug_assert!(erasure.posts.is_sorted(), "the revisions of an erasure rise");
        let _alone = self.erasing.lock().unwrap_or_else(PoisonError::into_inner);
        let head = self.head_revision();
        let in_log = erasure.posts.partition_point(|&post| post <= head);
        let mut posts = &erasure.posts[..in_log];
        while let [first, later @ ..] = posts {
            if !go_on() || self.writer().closed {
                return Ok(EraseOutcome::Abandoned);
            }
            if *first == Revision::ZERO {
                posts = later;
                continue;
            }
            let segment = match self.sealed_segment_of(*first) {
                Ok(segment) => segment,
                Err(error) => return Ok(EraseOutcome::Postponed(error)),
            };
            let here = posts.partition_point(|&post| post <= segment.last());
            match self.rewrite(&segment, &posts[..here], go_on) {
                Ok(Some(foot)) => self.exchange(&segment, foot)?,
                Ok(None) => {}
                Err(NotRewritten::Stopped) => return Ok(EraseOutcome::Abandoned),
                Err(NotRewritten::Failed(error)) => return Ok(EraseOutcome::Postponed(error)),
            }
            posts = &posts[here..];
        }
        self.note_erased(erasure.until.min(head))
    }

    /// The segment of `revision`. One that is written to is sealed first: the next batch begins a
    /// new one.
    fn sealed_segment_of(&self, revision: Revision) -> Result<Arc<Segment>, Error> {
        let segment = self.segment_of(revision)?;
        if segment.sealed().is_some() {
            return Ok(segment);
        }
        {
            let mut writer = self.writer();
            // A batch that is being written is in it, so its revisions are in the tables.
            writer.active.take_if(|active| Arc::ptr_eq(&active.segment, &segment));
        }
        self.segments.seal(&segment)?;
        self.segment_of(revision)
    }

    /// Writes a copy of `segment` without the content of `posts`. `None` if they have none.
    fn rewrite(
        &self,
        segment: &Segment,
        posts: &[Revision],
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Foot>, NotRewritten> {
        let name = format!("{}{UNFINISHED}", file_name(segment.number));
        let failed = |error: io::Error| {
            let file = self.files.folder.path().join(&name);
            NotRewritten::Failed(Error::Storage { file, source: error.into() })
        };
        let copied = (|| {
            let Some((bytes, chain)) = segment.sealed() else { return Ok(None) };
            if !self.has_content(segment, posts, go_on)? {
                return Ok(None);
            }
            self.preparer.check_room_for_copy(bytes).map_err(NotRewritten::Failed)?;
            // An earlier call may have failed to remove it.
            match self.files.folder.remove(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
            let file = self.files.folder.create(&name).map_err(failed)?;
            let old = self.files.of(segment).map_err(NotRewritten::Failed)?;
            let head = self.head_of(segment, &*old)?;
            let mut copy = SegmentCopy::new(&head, posts, head.erased_until);
            let mut written = 0;
            let mut offset = HEAD_BYTES as u64;
            while offset < segment.frames_end() {
                offset = self.copy_frame(&mut copy, segment, &*old, offset)?;
                if copy.bytes.len() >= WRITE_BYTES {
                    let bytes = copy.take_bytes();
                    file.write_at(&bytes, written).map_err(failed)?;
                    written += bytes.len() as u64;
                    if !go_on() {
                        return Err(NotRewritten::Stopped);
                    }
                }
            }
            if copy.tables.chain != chain {
                let what = "its events are not those that its foot says";
                return Err(NotRewritten::Failed(self.files.damaged(segment.number, what)));
            }
            let (foot, bytes) = copy.finish();
            file.write_at(&bytes, written).and_then(|()| file.sync()).map_err(failed)?;
            Ok(Some(foot))
        })();
        if !matches!(copied, Ok(Some(_))) {
            // If it cannot be removed the next rewrite or the next start does.
            let _ = self.files.folder.remove(&name);
        }
        copied
    }

    /// Whether any of `posts`, which the segment has, is not erased yet. An erasure that was
    /// interrupted comes to those that it has erased again.
    fn has_content(
        &self,
        segment: &Segment,
        posts: &[Revision],
        go_on: &dyn Fn() -> bool,
    ) -> Result<bool, NotRewritten> {
        for post in posts {
            let index = post.get() - segment.first.get();
            let read = segment.read(index..index + 1, &self.files);
            for record in read.map_err(NotRewritten::Failed)?.iter() {
                if record.map_err(NotRewritten::Failed)?.1.has_content() {
                    return Ok(true);
                }
            }
            if !go_on() {
                return Err(NotRewritten::Stopped);
            }
        }
        Ok(false)
    }

    fn head_of(
        &self,
        segment: &Segment,
        file: &dyn StorageFile,
    ) -> Result<SegmentHead, NotRewritten> {
        let bytes = self.read_old(segment, file, 0, HEAD_BYTES)?;
        match bytes.first_chunk().map(SegmentHead::decode) {
            Some(HeadContent::Valid(head)) => Ok(head),
            _ => {
                let error = self.files.damaged(segment.number, "its head is damaged");
                Err(NotRewritten::Failed(error))
            }
        }
    }

    /// Copies the frame at `offset`. Returns the offset after it.
    fn copy_frame(
        &self,
        copy: &mut SegmentCopy<'_>,
        segment: &Segment,
        old: &dyn StorageFile,
        offset: u64,
    ) -> Result<u64, NotRewritten> {
        let damaged = |what: String| NotRewritten::Failed(self.files.damaged(segment.number, what));
        let bytes = self.read_old(segment, old, offset, FRAME_HEAD_BYTES)?;
        let frame = FrameHead::decode(offset, &bytes).filter(|frame| frame.salt == segment.salt);
        let frame =
            frame.ok_or_else(|| damaged(format!("its frame at byte {offset} is damaged")))?;
        let payload_at = offset + FRAME_HEAD_BYTES as u64;
        let payload = self.read_old(segment, old, payload_at, frame.payload_bytes as usize)?;
        if payload_check(segment.salt, offset, &payload) != frame.payload_check {
            return Err(damaged(format!("its frame at byte {offset} fails its check")));
        }
        copy.add(frame, &payload).map_err(damaged)?;
        Ok(frame.end(offset))
    }

    fn read_old(
        &self,
        segment: &Segment,
        file: &dyn StorageFile,
        offset: u64,
        bytes: usize,
    ) -> Result<Vec<u8>, NotRewritten> {
        let mut read = vec![0; bytes];
        file.read_at(&mut read, offset)
            .map_err(|error| NotRewritten::Failed(segment.failed(&self.files, error)))?;
        Ok(read)
    }

    /// Puts the copy in the place of `segment`.
    fn exchange(&self, segment: &Arc<Segment>, foot: Foot) -> Result<(), Error> {
        let name = file_name(segment.number);
        // Before the name is another file's: reads of the old one go on.
        self.files.keep_open(segment)?;
        let folder = &self.files.folder;
        let renamed = folder.rename(&format!("{name}{UNFINISHED}"), &name);
        let new = Segment::with_foot((segment.number, segment.first), foot);
        // After a failure the next opening may find either file. Both have all events, but it is not
        // known any more what the disk does.
        renamed.and_then(|()| folder.sync()).map_err(|error| {
            self.writer().close();
            self.files.failed(segment.number, error)
        })?;
        self.segments.replace(segment, new);
        Ok(())
    }

    /// Notes that all posts which were deleted up to `until` are erased.
    fn note_erased(&self, until: Revision) -> Result<EraseOutcome, Error> {
        match self.set_erased_until(until) {
            Ok(()) => Ok(EraseOutcome::Done),
            Err(Error::Closed) => Ok(EraseOutcome::Abandoned),
            Err(error @ Error::DiskFull { .. }) => Ok(EraseOutcome::Postponed(error)),
            Err(error) => Err(error),
        }
    }
}
