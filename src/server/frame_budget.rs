//! Counts the frames by which a client makes the server work and says nothing: the budget for them
//! is refilled by time and by calls and answers. Reads only the 9 bytes before each frame, and never
//! changes, keeps or delays a byte.
//!
//! ```text
//!   length (3 bytes), type, flags, stream (4) ──▶ payload ──▶ length, …    (RFC 9113, section 4.1)
//! ```
//!
//! HTTP/2 lets a client send such frames without end, and the library answers each of them. An
//! honest client sends them in proportion: a PING or WINDOW_UPDATE for data that it got, a reset or
//! a priority of a call that it made, an acknowledgement of settings.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::Limits;

/// Length of what is before a frame's payload.
const HEAD_BYTES: usize = 9;
/// Frames that a call earns: it may be given a priority and a window, and be reset, and the
/// connection may be measured with a PING.
const EARNED_BY_CALL: usize = 4;
/// Bytes that the server sends for which the client earns a frame. The shortest answer earns more
/// than the two WINDOW_UPDATEs and the PING that a client may send for it.
const SENT_BYTES_PER_FRAME: usize = 32;
/// Payload that makes the server work as much as a frame does. DATA with as much carries something.
const PAYLOAD_BYTES_PER_FRAME: usize = 64;

/// The types of frames that are distinguished.
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
}

/// The flag of a DATA frame that ends its stream.
const END_STREAM: u8 = 1;

/// The client has sent too many frames that carry nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client sent too many frames that carry nothing")]
pub(super) struct FrameFlood;

/// The budget of one connection.
#[derive(Debug)]
pub(super) struct FrameBudget {
    frames_max: usize,
    frames_per_second: usize,
    frames_left: usize,
    /// The present, or earlier if part of the time since then was not yet worth a frame.
    refilled_at: Instant,
    /// Sent bytes that did not yet earn a frame.
    sent_bytes: usize,
    /// The stream of the newest call.
    last_stream: u32,
    part: Part,
}

/// What the next bytes belong to.
#[derive(Debug)]
enum Part {
    Head { bytes: [u8; HEAD_BYTES], count: usize },
    Payload { left: usize },
}

impl Part {
    const START: Self = Self::Head { bytes: [0; HEAD_BYTES], count: 0 };
}

impl FrameBudget {
    /// A full budget of a client that begins with a frame.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            frames_max: limits.empty_frames_at_once_max,
            frames_per_second: limits.empty_frames_per_second_max,
            frames_left: limits.empty_frames_at_once_max,
            refilled_at: Instant::now(),
            sent_bytes: 0,
            last_stream: 0,
            part: Part::START,
        }
    }

    /// Counts the frames in `bytes`, the next that the client has sent.
    ///
    /// # Errors
    /// They exceed the budget: the connection must be closed.
    pub(super) fn received(&mut self, mut bytes: &[u8]) -> Result<(), FrameFlood> {
        while !bytes.is_empty() {
            match &mut self.part {
                Part::Head { bytes: head, count } => {
                    let more = bytes.len().min(HEAD_BYTES - *count);
                    head[*count..*count + more].copy_from_slice(&bytes[..more]);
                    *count += more;
                    bytes = &bytes[more..];
                    if *count == HEAD_BYTES {
                        let head = *head;
                        self.begin(head)?;
                    }
                }
                Part::Payload { left } => {
                    let more = bytes.len().min(*left);
                    *left -= more;
                    bytes = &bytes[more..];
                    if *left == 0 {
                        self.part = Part::START;
                    }
                }
            }
        }
        Ok(())
    }

    /// Counts `bytes` that the server sends.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent_bytes += bytes;
        self.earn(self.sent_bytes / SENT_BYTES_PER_FRAME);
        self.sent_bytes %= SENT_BYTES_PER_FRAME;
    }

    /// The stream of the newest call that the client began; 0 before the first.
    pub(super) fn last_stream(&self) -> u32 {
        self.last_stream
    }

    fn begin(&mut self, head: [u8; HEAD_BYTES]) -> Result<(), FrameFlood> {
        let [a, b, c, kind, flags, stream @ ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        self.part = if length == 0 { Part::START } else { Part::Payload { left: length } };
        match kind {
            kind::HEADERS => {
                self.last_stream =
                    self.last_stream.max(u32::from_be_bytes(stream) & (u32::MAX >> 1));
                self.earn(EARNED_BY_CALL);
                Ok(())
            }
            kind::DATA if length >= PAYLOAD_BYTES_PER_FRAME || flags & END_STREAM != 0 => Ok(()),
            // The payload of DATA is for the call.
            kind::DATA => self.spend(1),
            _ => self.spend(1 + length / PAYLOAD_BYTES_PER_FRAME),
        }
    }

    fn earn(&mut self, frames: usize) {
        self.frames_left = (self.frames_left + frames).min(self.frames_max);
        debug_assert!(self.frames_left <= self.frames_max, "the budget is never more than full");
    }

    fn spend(&mut self, frames: usize) -> Result<(), FrameFlood> {
        if self.frames_left < frames {
            self.refill();
        }
        self.frames_left = self.frames_left.checked_sub(frames).ok_or(FrameFlood)?;
        Ok(())
    }

    /// Adds what time has earned. Only when the budget is used up, as a clock costs more than a
    /// frame.
    fn refill(&mut self) {
        let Some(frame_time) = Duration::from_secs(1).checked_div(self.frames_per_second as u32)
        else {
            return;
        };
        let frames = self.refilled_at.elapsed().as_nanos() / frame_time.as_nanos().max(1);
        let frames = usize::try_from(frames).unwrap_or(self.frames_max).min(self.frames_max);
        self.refilled_at = if self.frames_left + frames >= self.frames_max {
            Instant::now()
        } else {
            self.refilled_at + frame_time * frames as u32
        };
        self.earn(frames);
    }
}
