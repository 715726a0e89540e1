//! The body of a request, checked frame by frame on its way to a service: a service sees whole
//! messages, none of them compressed or larger than allowed, and as many as its RPC takes.
//!
//! ```text
//!   flag, length (5 bytes) ──▶ message ──▶ flag, length ──▶ …    (gRPC over HTTP/2, "Message")
//!   │ 0: passed on as it comes
//!   └ 1: collected, unpacked, and passed on as a message with flag 0
//! ```
//!
//! Never holds more than one compressed message, and knows nothing of what a message says.

use std::io::Read;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body::{Body, Frame};
use pin_project_lite::pin_project;
use tonic::Status;

use super::status;

/// The flag and the length before each message.
const PREFIX_BYTES: usize = 5;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How the messages of a request are compressed that say that they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
}

/// How many messages a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Messages {
    /// One: the call is unary, or its answer is a stream.
    One,
    /// Any number.
    Many,
}

pin_project! {
    /// A checked body.
    #[derive(Debug)]
    pub struct Framed<B> {
        #[pin]
        body: B,
        frames: Frames,
    }
}

/// Where in a request its bytes are.
#[derive(Debug)]
struct Frames {
    encoding: Encoding,
    messages: Messages,
    message_bytes_max: usize,
    /// How many messages are through.
    count: usize,
    part: Part,
}

/// Which part of a message comes next.
#[derive(Debug)]
enum Part {
    Prefix { bytes: [u8; PREFIX_BYTES], count: usize },
    Plain { left: usize },
    Packed { left: usize, collected: BytesMut },
}

impl Part {
    const START: Self = Self::Prefix { bytes: [0; PREFIX_BYTES], count: 0 };
}

impl<B> Framed<B> {
    pub(super) fn new(
        body: B,
        encoding: Encoding,
        messages: Messages,
        message_bytes_max: usize,
    ) -> Self {
        let frames = Frames { encoding, messages, message_bytes_max, count: 0, part: Part::START };
        Self { body, frames }
    }
}

impl<B> Body for Framed<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        loop {
            let frame = match ready!(this.body.as_mut().poll_frame(cx)) {
                Some(frame) => frame.map_err(Into::into)?,
                None => {
                    return Poll::Ready(this.frames.end().err().map(|status| Err(status.into())));
                }
            };
            let bytes = match frame.into_data() {
                Ok(bytes) => this.frames.take(bytes)?,
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

impl Frames {
    /// What the service gets of the next `bytes` of the request.
    fn take(&mut self, mut bytes: Bytes) -> Result<Bytes, Status> {
        let mut checked = BytesMut::with_capacity(bytes.len() + PREFIX_BYTES);
        while !bytes.is_empty() {
            match &mut self.part {
                Part::Prefix { bytes: prefix, count } => {
                    if self.count > 0 && self.messages == Messages::One {
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
                Part::Plain { left } => {
                    let more = bytes.split_to(bytes.len().min(*left));
                    *left -= more.len();
                    checked.put(more);
                }
                Part::Packed { left, collected } => {
                    let more = bytes.split_to(bytes.len().min(*left));
                    *left -= more.len();
                    collected.put(more);
                }
            }
            self.end_message(&mut checked)?;
        }
        Ok(checked.freeze())
    }

    /// A message begins with `prefix`.
    fn begin(&mut self, prefix: [u8; PREFIX_BYTES], checked: &mut BytesMut) -> Result<(), Status> {
        let [flag, length @ ..] = prefix;
        let left = u32::from_be_bytes(length) as usize;
        if left > self.message_bytes_max {
            return Err(status::message_too_large(self.message_bytes_max));
        }
        self.part = match (flag, self.encoding) {
            (0, _) => {
                checked.put_slice(&prefix);
                Part::Plain { left }
            }
            (1, Encoding::Gzip) => Part::Packed { left, collected: BytesMut::new() },
            (1, Encoding::Identity) => {
                return Err(status::malformed_request(
                    "a message says that it is compressed, and the header grpc-encoding does not \
                     say how",
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

    /// Ends the message of which nothing is left, if there is one.
    fn end_message(&mut self, checked: &mut BytesMut) -> Result<(), Status> {
        match &self.part {
            Part::Plain { left: 0 } => {}
            Part::Packed { left: 0, collected } => {
                let message = unpacked(collected, self.message_bytes_max)?;
                checked.put_u8(0);
                // No message is longer than its limit, which is far below what this takes.
                checked.put_u32(message.len() as u32);
                checked.put_slice(&message);
            }
            Part::Prefix { .. } | Part::Plain { .. } | Part::Packed { .. } => return Ok(()),
        }
        self.count += 1;
        self.part = Part::START;
        Ok(())
    }

    /// The request has ended.
    fn end(&self) -> Result<(), Status> {
        if !matches!(self.part, Part::Prefix { count: 0, .. }) {
            return Err(status::malformed_request("the request ended in the middle of a message"));
        }
        if self.count == 0 && self.messages == Messages::One {
            return Err(status::malformed_request(
                "the RPC takes one request message, and none was sent",
            ));
        }
        Ok(())
    }
}

/// What was compressed as `packed`, all of it: nothing may follow, and no more than `bytes_max` is
/// unpacked, whatever it would become.
fn unpacked(packed: &[u8], bytes_max: usize) -> Result<Vec<u8>, Status> {
    let mut message = Vec::new();
    let mut unpacking = MultiGzDecoder::new(packed).take(bytes_max as u64 + 1);
    unpacking.read_to_end(&mut message).map_err(|error| {
        status::malformed_request(&format!("a message is not whole gzip data: {error}"))
    })?;
    if message.len() > bytes_max {
        return Err(status::message_too_large(bytes_max));
    }
    Ok(message)
}
