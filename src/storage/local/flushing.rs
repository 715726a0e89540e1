//! When the frames of a log reach the disk, and so what a power cut leaves of its newest segment. Never flushes anything.
//!
//! ```text
//!                     EachFrame                      WithCheckpoint
//!   on the disk       all frames that were shown     those up to the checkpoint, and any of the others
//!   a frame, then     damage                         as above: the log ends before the part that lacks
//!   a part that
//!   lacks, then one
//! ```

use super::format::FrameKind;

/// When frames are flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushing {
    /// Before they are shown: each is written once all before it are durable.
    EachFrame,
    /// With others, once a second: for a copy, which gets what it lacks from where the log is kept.
    WithCheckpoint,
}

impl Flushing {
    /// Whether a frame is flushed before it is shown. The first of a segment always is: without its head the others are
    /// none, and all segments before it are whole.
    pub(super) fn is_due(self, kind: FrameKind, is_first: bool) -> bool {
        self == Self::EachFrame || kind == FrameKind::Erased || is_first
    }
}
