//! Checks the body of a request frame by frame on its way to a service. A service receives whole
//! and uncompressed messages within the size limit, as many as its RPC takes.
//!
//! ```text
//!   flag, length (5 bytes) ──▶ message ──▶ flag, length ──▶ …    (gRPC over HTTP/2, "Message")
//!   │ 0: passed on without buffering
//!   └ 1: buffered, decompressed, and passed on as a message with flag 0
//! ```
//!
//! Never buffers more than one compressed message, and never decodes a message.

use std::io::Read;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body::{Body, Frame};
use pin_project_lite::pin_project;
use tonic::Status;

use super::status;
use super::web::RequestBody;

/// Length of the prefix of a message: a flag of 1 byte and a length of 4.
pub(super) const PREFIX_BYTES: usize = 5;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The compression of those messages of a request whose flag is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Identity,
    Gzip,
}

/// How many messages a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageCount {
    /// Exactly one: the call is unary or server-streaming.
    One,
    /// Any number.
    Many,
}

pin_project! {
    /// A request body that is checked while it is read.
    #[derive(Debug)]
    pub struct CheckedBody<B> {
        body: RequestBody<B>,
        frames: FrameChecker,
    }
}

/// The state of the check.
#[derive(Debug)]
struct FrameChecker {
    compression: Compression,
    messages: MessageCount,
    message_bytes_max: usize,
    /// Number of complete messages so far.
    count: usize,
    part: FramePart,
}

/// The part of a frame that the next bytes belong to.
#[derive(Debug)]
enum FramePart {
    Prefix { bytes: [u8; PREFIX_BYTES], count: usize },
    Plain { left: usize },
    Compressed { left: usize, buffer: BytesMut },
}

impl FramePart {
    const START: Self = Self::Prefix { bytes: [0; PREFIX_BYTES], count: 0 };
}

impl<B> CheckedBody<B> {
    pub(super) fn new(
        body: RequestBody<B>,
        compression: Compression,
        messages: MessageCount,
        message_bytes_max: usize,
    ) -> Self {
        let part = FramePart::START;
        let frames = FrameChecker { compression, messages, message_bytes_max, count: 0, part };
        Self { body, frames }
    }

    /// How many messages the request has.
    pub(super) fn messages(&self) -> MessageCount {
        self.frames.messages
    }

    /// Whether no message has begun that is not whole.
    pub(super) fn is_between_messages(&self) -> bool {
        matches!(self.frames.part, FramePart::Prefix { count: 0, .. })
    }

    /// Bytes that have arrived of a message that is not whole, and were not passed on.
    pub(super) fn unfinished_bytes(&self) -> usize {
        let compressed_bytes = match &self.frames.part {
            FramePart::Compressed { buffer, .. } => buffer.len(),
            FramePart::Prefix { .. } | FramePart::Plain { .. } => 0,
        };
        self.body.arrived_bytes() + compressed_bytes
    }
}

impl<B> Body for CheckedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        loop {
            let frame = match ready!(Pin::new(&mut *this.body).poll_frame(cx)) {
                Some(frame) => frame?,
                None => {
                    return Poll::Ready(this.frames.end().err().map(|status| Err(status.into())));
                }
            };
            let bytes = match frame.into_data() {
                Ok(bytes) => this.frames.check(bytes)?,
                Err(trailers) => {
                    this.frames.end()?;
                    return Poll::Ready(Some(Ok(trailers)));
                }
            };
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
    }
}

impl FrameChecker {
    /// Checks the next `bytes` of the request. Gives the bytes for the service.
    fn check(&mut self, mut bytes: Bytes) -> Result<Bytes, Status> {
        if self.is_one_plain_message(&bytes) {
            self.count += 1;
            return Ok(bytes);
        }
        let mut checked = BytesMut::with_capacity(bytes.len() + PREFIX_BYTES);
        while !bytes.is_empty() {
            match &mut self.part {
                FramePart::Prefix { bytes: prefix, count } => {
                    if self.count > 0 && self.messages == MessageCount::One {
                        return Err(status::malformed_request(
                            "the RPC takes one request message, and more than one was sent",
                        ));
                    }
                    let more = bytes.len().min(PREFIX_BYTES - *count);
                    bytes.copy_to_slice(&mut prefix[*count..*count + more]);
                    *count += more;
                    if *count == PREFIX_BYTES {
                        let prefix = *prefix;
                        self.begin(prefix, &mut checked)?;
                    }
                }
                FramePart::Plain { left } => {
                    let more = bytes.split_to(bytes.len().min(*left));
                    *left -= more.len();
                    checked.put(more);
                }
                FramePart::Compressed { left, buffer } => {
                    let more = bytes.split_to(bytes.len().min(*left));
                    *left -= more.len();
                    buffer.put(more);
                }
            }
            self.end_message(&mut checked)?;
        }
        Ok(checked.freeze())
    }

    /// Whether `bytes` are exactly the next message, which is plain and may come. Nearly every request
    /// is, and is not copied.
    fn is_one_plain_message(&self, bytes: &[u8]) -> bool {
        let may_come = self.count == 0 || self.messages == MessageCount::Many;
        let is_between = matches!(self.part, FramePart::Prefix { count: 0, .. });
        let Some(([0, length @ ..], message)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
            return false;
        };
        may_come
            && is_between
            && message.len() == u32::from_be_bytes(*length) as usize
            && message.len() <= self.message_bytes_max
    }

    /// Begins the message whose prefix is `prefix`.
    fn begin(&mut self, prefix: [u8; PREFIX_BYTES], checked: &mut BytesMut) -> Result<(), Status> {
        let [flag, length @ ..] = prefix;
        let left = u32::from_be_bytes(length) as usize;
        if left > self.message_bytes_max {
            return Err(status::message_too_large(self.message_bytes_max));
        }
        self.part = match (flag, self.compression) {
            (0, _) => {
                checked.put_slice(&prefix);
                FramePart::Plain { left }
            }
            (1, Compression::Gzip) => FramePart::Compressed { left, buffer: BytesMut::new() },
            (1, Compression::Identity) => {
                return Err(status::malformed_request(
                    "a message is marked as compressed, but the header grpc-encoding names no \
                     compression",
                ));
            }
            (flag, _) => {
                return Err(status::malformed_request(&format!(
                    "a message begins with {flag}: only 0, plain, and 1, compressed, are allowed"
                )));
            }
        };
        Ok(())
    }

    /// Ends the current message if all its bytes have come.
    fn end_message(&mut self, checked: &mut BytesMut) -> Result<(), Status> {
        match &self.part {
            FramePart::Plain { left: 0 } => {}
            FramePart::Compressed { left: 0, buffer } => {
                let message = decompress(buffer, self.message_bytes_max)?;
                checked.put_u8(0);
                // A message is within its limit, which is far below `u32::MAX`.
                checked.put_u32(message.len() as u32);
                checked.put_slice(&message);
            }
            FramePart::Prefix { .. } | FramePart::Plain { .. } | FramePart::Compressed { .. } => {
                return Ok(());
            }
        }
        self.count += 1;
        self.part = FramePart::START;
        Ok(())
    }

    /// Checks that the request may end here.
    fn end(&self) -> Result<(), Status> {
        if !matches!(self.part, FramePart::Prefix { count: 0, .. }) {
            return Err(status::malformed_request("the request ended in the middle of a message"));
        }
        if self.count == 0 && self.messages == MessageCount::One {
            return Err(status::malformed_request(
                "the RPC takes one request message, and none was sent",
            ));
        }
        Ok(())
    }
}

/// Decompresses all of `compressed`. Nothing may follow the gzip data, and never more than
/// `bytes_max` + 1 bytes are produced, however large the message would become.
pub(super) fn decompress(compressed: &[u8], bytes_max: usize) -> Result<Vec<u8>, Status> {
    let mut message = Vec::new();
    let mut decoder = MultiGzDecoder::new(compressed).take(bytes_max as u64 + 1);
    decoder.read_to_end(&mut message).map_err(|error| {
        status::malformed_request(&format!("a message is not whole gzip data: {error}"))
    })?;
    if message.len() > bytes_max {
        return Err(status::message_too_large(bytes_max));
    }
    Ok(message)
}
