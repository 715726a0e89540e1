//! Reading whole segments while the log is in use, as backups have them: sealed, also the one that is
//! written to. Never passes a byte on that it has not checked.

use std::sync::Arc;

use super::LocalLog;
use super::format::{EPOCH_BYTES, FOOT_BYTES, HEAD_BYTES, HeadContent, OFFSET_BYTES, SegmentHead};
use super::scan::{NotScanned, Scanner};
use super::sealing::encode_foot;
use super::segment::{ActiveTables, Segment};
use super::window::{Bytes, Window};
use crate::model::Revision;
use crate::storage::error::Error;
use crate::storage::log::{SegmentInfo, SegmentRead};

impl LocalLog {
    /// See [`Log::segments`](crate::storage::Log::segments).
    pub(super) fn segment_infos(&self) -> Vec<SegmentInfo> {
        loop {
            let segments = self.segments.all();
            let infos = segments.iter().map(|segment| segment.info()).collect();
            // A note of an erasure is written once all segments are rewritten. If none is meanwhile,
            // what the last one notes is true of those before it.
            let now = self.segments.all();
            let salts = |list: &[Arc<Segment>]| list.iter().map(|it| it.salt).collect::<Vec<_>>();
            if salts(&now).starts_with(&salts(&segments)) {
                return infos;
            }
        }
    }

    /// See [`Log::read_segment`](crate::storage::Log::read_segment).
    pub(super) fn pass_segment_on(
        &self,
        info: &SegmentInfo,
        pass_on: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<SegmentRead, Error> {
        let segments = self.segments.all();
        let found = segments.iter().find(|segment| segment.number == info.number);
        let is_it = |segment: &&Arc<Segment>| {
            segment.salt == info.salt
                && segment.first == info.first
                && segment.frames_end() >= info.frames_end
        };
        let Some(segment) = found.filter(is_it) else {
            return Ok(SegmentRead::Replaced);
        };
        let number = segment.number;
        let file = self.files.of(segment)?;
        let failed = |error| segment.failed(&self.files, error);
        let mut window = Window::until(&*file, info.frames_end);
        let head = window.get(0, HEAD_BYTES).map_err(failed)?;
        let head = match head.first_chunk().map(SegmentHead::decode) {
            Some(HeadContent::Valid(head)) if head.salt == info.salt => head,
            _ => return Err(self.files.damaged(number, "its head is damaged")),
        };
        if !pass_on(&head.encode()) {
            return Ok(SegmentRead::Stopped);
        }
        let mut scanner = Scanner::new(&head, Revision::ZERO);
        while scanner.tables.frames_end < info.frames_end {
            let start = scanner.tables.frames_end;
            let taken = scanner.take_frame(&mut window).map_err(|error| match error {
                NotScanned::Damaged(what) => self.files.damaged(number, what),
                NotScanned::Read(error) => failed(error),
            })?;
            if !taken {
                let what = format!("there is no valid frame at byte {start}");
                return Err(self.files.damaged(number, what));
            }
            let bytes = (scanner.tables.frames_end - start) as usize;
            if !pass_on(window.get(start, bytes).map_err(failed)?) {
                return Ok(SegmentRead::Stopped);
            }
        }
        let mut end = Vec::new();
        encode_foot(&scanner.tables, info.salt, &mut end);
        if Described::of(&scanner.tables) != Described::by(info) {
            let what = "its events are not those that its tables say";
            return Err(self.files.damaged(number, what));
        }
        let is_whole = segment.sealed().is_some() && segment.frames_end() == info.frames_end;
        if is_whole {
            let mut stored = vec![0; end.len()];
            file.read_at(&mut stored, info.frames_end).map_err(failed)?;
            if stored != end {
                return Err(self.files.damaged(number, "its tables do not describe its frames"));
            }
        }
        Ok(if pass_on(&end) { SegmentRead::Done } else { SegmentRead::Stopped })
    }
}

/// What tables and a [`SegmentInfo`] both say.
#[derive(PartialEq, Eq)]
struct Described {
    frames_end: u64,
    chain: crate::model::Chain,
    bytes: u64,
}

impl Described {
    fn of(tables: &ActiveTables) -> Self {
        Self {
            frames_end: tables.frames_end,
            chain: tables.chain,
            bytes: tables.frames_end + tables.foot_bytes(),
        }
    }

    fn by(info: &SegmentInfo) -> Self {
        Self { frames_end: info.frames_end, chain: info.chain, bytes: info.bytes }
    }
}

impl ActiveTables {
    /// Bytes of the tables and the foot of a sealed segment with these tables.
    pub(super) fn foot_bytes(&self) -> u64 {
        let offsets = self.records.len() + self.frames.len();
        (offsets * OFFSET_BYTES + self.epochs.len() * EPOCH_BYTES + FOOT_BYTES) as u64
    }
}

impl Segment {
    /// The segment as a backup has it.
    fn info(&self) -> SegmentInfo {
        let (number, salt, first) = (self.number, self.salt, self.first);
        let last = |count: u64| Revision::new(first.get() - 1 + count);
        if let Some(tables) = self.tables() {
            // In one lock: an append changes all of them.
            let (last, chain) = (last(tables.records.len() as u64), tables.chain);
            let (frames_end, bytes) = (tables.frames_end, tables.frames_end + tables.foot_bytes());
            return SegmentInfo { number, salt, first, last, chain, frames_end, bytes };
        }
        let Some((bytes, chain)) = self.sealed() else { unreachable!("it has no tables") };
        let (last, frames_end) = (last(self.count()), self.frames_end());
        SegmentInfo { number, salt, first, last, chain, frames_end, bytes }
    }
}
