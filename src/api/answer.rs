//! The body of an answer. Counts the bytes that are not sent in the account of their connection,
//! and hands them to the transport in pieces. Never changes a byte itself.
//!
//! The transport takes what it is given, whatever the client takes. Each piece carries its count
//! with it, which is freed with the piece: when the last byte is with the kernel.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

use super::account::{Account, HeldAnswer};
use super::calls::OpenCall;
use super::web::AnswerEncoder;
use crate::query::QueryCaller;

/// The largest piece: an HTTP/2 frame of the default size. As a piece must be sent within the stall
/// limit, a client that accepts so little at a time is not stalled.
const PIECE_BYTES_MAX: usize = 16 << 10;

type Room = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The body of an answer on a connection.
pub struct AnswerBody {
    body: Body,
    account: Account,
    /// Of a message of which a part is with the transport.
    rest: Option<(Bytes, HeldAnswer)>,
    /// Who reads, if there is one message after another. Then the next one is only made when the
    /// connection has room for it.
    stream_of: Option<QueryCaller>,
    room: Option<Room>,
    /// Writes the body in another protocol than gRPC.
    encoder: Option<Box<AnswerEncoder>>,
    call: OpenCall,
}

/// Bytes on their way to the client, and their count.
struct Piece {
    bytes: Bytes,
    _held: HeldAnswer,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Piece {
    fn frame(bytes: Bytes, held: HeldAnswer) -> Frame<Bytes> {
        Frame::data(Bytes::from_owner(Self { bytes, _held: held }))
    }
}

impl AnswerBody {
    /// The `body` of an answer to a call on the connection of `account`, which `encoder` writes in another
    /// protocol than gRPC; of a stream, with who reads.
    pub(super) fn new(
        body: Body,
        account: Account,
        encoder: Option<AnswerEncoder>,
        stream_of: Option<QueryCaller>,
        call: OpenCall,
    ) -> Self {
        let encoder = encoder.map(Box::new);
        // The transport takes the headers alone, and drops this.
        if http_body::Body::is_end_stream(&body) {
            account.hold_head();
        }
        Self { body, account, rest: None, stream_of, room: None, encoder, call }
    }

    /// Waits, before a further message of a stream, until there is room for it.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.room.is_none() {
            if self.stream_of.is_none() || self.account.has_room() {
                return Poll::Ready(());
            }
            let account = self.account.clone();
            self.room = Some(Box::pin(async move { account.room().await }));
        }
        if let Some(room) = &mut self.room {
            ready!(room.as_mut().poll(cx));
            self.room = None;
        }
        Poll::Ready(())
    }

    /// The first piece of `bytes`, which begin to be sent.
    fn data(&mut self, bytes: Bytes) -> Frame<Bytes> {
        self.call.sent(bytes.len());
        if bytes.len() > PIECE_BYTES_MAX {
            let held = self.account.hold_answer(bytes.len());
            return self.piece(bytes, held);
        }
        let held = self.account.hold_piece(bytes.len());
        Piece::frame(bytes, held)
    }

    /// The next piece of `bytes`, which `held` counts.
    fn piece(&mut self, mut bytes: Bytes, mut held: HeldAnswer) -> Frame<Bytes> {
        let piece = bytes.split_to(bytes.len().min(PIECE_BYTES_MAX));
        let held_piece = held.split_piece(piece.len());
        self.rest = (!bytes.is_empty()).then_some((bytes, held));
        Piece::frame(piece, held_piece)
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if let Some((bytes, held)) = this.rest.take() {
            return Poll::Ready(Some(Ok(this.piece(bytes, held))));
        }
        loop {
            ready!(this.poll_room(cx));
            let body = Pin::new(&mut this.body);
            let polled = this.call.context().within(|| match &this.stream_of {
                // A stream reads while it is polled.
                Some(caller) => caller.within(|| body.poll_frame(cx)),
                None => body.poll_frame(cx),
            });
            let frame = match ready!(polled) {
                Some(Ok(frame)) => frame,
                ended => return Poll::Ready(ended),
            };
            match frame.into_data() {
                Ok(bytes) => {
                    let bytes = match &mut this.encoder {
                        Some(encoder) => encoder.data(bytes)?,
                        None => bytes,
                    };
                    if !bytes.is_empty() {
                        return Poll::Ready(Some(Ok(this.data(bytes))));
                    }
                }
                Err(frame) => {
                    let Some(trailers) = frame.trailers_ref() else {
                        return Poll::Ready(Some(Ok(frame)));
                    };
                    this.call.end(trailers);
                    let Some(encoder) = this.encoder.take() else {
                        return Poll::Ready(Some(Ok(frame)));
                    };
                    this.body = Body::empty();
                    let last = encoder.end(trailers);
                    return Poll::Ready(Some(Ok(this.data(last))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.encoder.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.encoder.is_some() {
            return SizeHint::default();
        }
        let of_body = self.body.size_hint();
        let rest = self.rest.as_ref().map_or(0, |(bytes, _)| bytes.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower() + rest);
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody").field("stream_of", &self.stream_of).finish_non_exhaustive()
    }
}
