//! Entry points for the fuzzers in `fuzz/`: each takes any bytes and panics where a promise of this
//! module is broken. Never part of a server: behind the feature `fuzzing`.

use std::convert::Infallible;
use std::fmt::Debug;
use std::pin::{Pin, pin};
use std::slice::Chunks;
use std::task::{Context, Poll, Waker};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body::{Body, Frame};

use super::framing::{CheckedBody, Compression, MessageCount};
use super::token;
use super::web::RequestBody;
pub use super::web::fuzzing::request as web_request;
use crate::model::{Epoch, EpochStart, Epochs, Revision};

/// Small, so that an input of a few KiB reaches it.
pub(super) const MESSAGE_BYTES_MAX: usize = 1 << 10;
const PREFIX_BYTES: usize = 5;

/// A text is a cursor, a page token or neither, and what it decodes to survives encoding.
pub fn token(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        decode_token(text);
    }
    // The same bytes as the content of a token whose check is right.
    let check = crc32fast::hash(bytes).to_le_bytes();
    decode_token(&URL_SAFE_NO_PAD.encode([bytes, &check].concat()));
}

/// The body of a request is accepted or refused alike however the network cuts it. What a service
/// gets of it are whole, plain messages within the limit.
///
/// The first byte chooses how messages are compressed and how many are allowed, the second one how
/// the rest is cut.
pub fn request_body(bytes: &[u8]) {
    let [setup, cut, body @ ..] = bytes else { return };
    let compression = if setup & 1 == 0 { Compression::Identity } else { Compression::Gzip };
    let messages = if setup & 2 == 0 { MessageCount::One } else { MessageCount::Many };
    let read = |chunk_bytes: usize| {
        let chunks = ChunkedBody::new(body, chunk_bytes);
        read_all(CheckedBody::new(
            RequestBody::frames(chunks),
            compression,
            messages,
            MESSAGE_BYTES_MAX,
        ))
    };
    let (passed, verdict) = read(body.len().max(1));
    let (passed_in_pieces, verdict_in_pieces) = read(usize::from(*cut) + 1);
    assert_eq!(verdict, verdict_in_pieces, "the verdict depends on the cuts");
    if verdict.is_err() {
        return;
    }
    assert_eq!(passed, passed_in_pieces, "the messages depend on the cuts");
    let count = count_messages(&passed);
    assert!(messages == MessageCount::Many || count == 1, "{count} messages, and one is allowed");
}

fn decode_token(text: &str) {
    let cursor = token::decode_cursor(text);
    let page_token = token::decode_page_token(text);
    assert!(cursor.is_err() || page_token.is_err(), "{text} is a cursor and a page token");
    if let Ok((cursor, epoch)) = cursor {
        let text = token::encode_cursor(&cursor, &epochs(epoch));
        same(token::decode_cursor(&text), (cursor, epoch));
    }
    if let Ok((page_token, epoch)) = page_token {
        let text = token::encode_page_token(&page_token, &epochs(epoch));
        same(token::decode_page_token(&text), (page_token, epoch));
    }
}

/// A log with this epoch everywhere.
fn epochs(epoch: Epoch) -> Epochs {
    Epochs::new([EpochStart { first: Revision::ZERO, epoch }])
}

fn same<T: Debug + PartialEq, E: Debug + PartialEq>(decoded: Result<T, E>, encoded: T) {
    assert_eq!(decoded, Ok(encoded), "encoding changes the value");
}

/// A request body that arrives in chunks.
pub(super) struct ChunkedBody<'a> {
    chunks: Chunks<'a, u8>,
}

impl<'a> ChunkedBody<'a> {
    pub(super) fn new(bytes: &'a [u8], chunk_bytes: usize) -> Self {
        Self { chunks: bytes.chunks(chunk_bytes) }
    }
}

impl Body for ChunkedBody<'_> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = self.chunks.next();
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(Bytes::copy_from_slice(chunk)))))
    }
}

/// What `body` passes on before it ends, and the error that it ends with. It never keeps more than a message.
pub(super) fn read_all(body: CheckedBody<ChunkedBody<'_>>) -> (Vec<u8>, Result<(), String>) {
    let mut body = pin!(body);
    let mut passed = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    loop {
        let polled = body.as_mut().poll_frame(&mut context);
        let kept = body.unfinished_bytes();
        assert!(kept <= MESSAGE_BYTES_MAX + PREFIX_BYTES, "{kept} bytes are kept");
        match polled {
            Poll::Ready(Some(Ok(frame))) => passed.extend(frame.into_data().unwrap_or_default()),
            Poll::Ready(Some(Err(error))) => return (passed, Err(error.to_string())),
            Poll::Ready(None) => return (passed, Ok(())),
            Poll::Pending => panic!("a body that is all there is waited for"),
        }
    }
}

/// How many messages `passed` has, each of which must be whole, plain and within the limit.
pub(super) fn count_messages(mut passed: &[u8]) -> usize {
    let mut count = 0;
    while !passed.is_empty() {
        let (prefix, rest) = passed.split_at_checked(PREFIX_BYTES).unwrap_or((&[], &[]));
        let &[0, a, b, c, d] = prefix else { panic!("no plain message begins with {prefix:?}") };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        assert!(length <= MESSAGE_BYTES_MAX, "a message has {length} bytes");
        assert!(length <= rest.len(), "a message of {length} bytes is cut");
        passed = &rest[length..];
        count += 1;
    }
    count
}
