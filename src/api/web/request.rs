//! The body of a request, read as frames of gRPC whatever it is written as. Never keeps more than one message,
//! and none beyond the limit.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body, Frame};
use tonic::Status;

use crate::api::framing::{self, PREFIX_BYTES};
use crate::api::proto_json::MessageType;
use crate::api::status;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Digits of Base64 that stand for whole bytes.
const GROUP_DIGITS: usize = 4;

/// The body of a request, as frames of gRPC.
#[derive(Debug)]
pub(in crate::api) struct RequestBody<B> {
    body: B,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// Frames of gRPC.
    Frames,
    /// Frames of gRPC in Base64, of which some digits have no others yet.
    Text(BytesMut),
    /// One message, as far as it has arrived.
    Whole { form: MessageForm, arrived: BytesMut, bytes_max: usize },
    /// A message that was there with the head; `None` once it was read. It is read as late as others, when it is
    /// known who calls.
    Given(Option<GivenMessage>, usize),
}

/// A message that a request has in its head.
#[derive(Debug)]
pub(super) struct GivenMessage {
    pub(super) form: MessageForm,
    pub(super) bytes: Vec<u8>,
    /// Encoded fields, which come after those of the message.
    pub(super) further: Vec<u8>,
}

/// How a message is written.
#[derive(Clone, Debug)]
pub(super) struct MessageForm {
    /// In a frame, which says whether it is compressed.
    pub(super) is_framed: bool,
    pub(super) is_gzip: bool,
    /// In JSON, of this type.
    pub(super) json: Option<MessageType>,
}

impl<B> RequestBody<B> {
    /// Of frames of gRPC.
    pub(in crate::api) fn frames(body: B) -> Self {
        Self { body, form: Form::Frames }
    }

    /// Of frames in Base64.
    pub(super) fn text(body: B) -> Self {
        Self { body, form: Form::Text(BytesMut::new()) }
    }

    /// Of one message.
    pub(super) fn whole(body: B, form: MessageForm, bytes_max: usize) -> Self {
        Self { body, form: Form::Whole { form, arrived: BytesMut::new(), bytes_max } }
    }

    /// Of a message that is there; `body` is not read.
    pub(super) fn given(body: B, message: GivenMessage, bytes_max: usize) -> Self {
        Self { body, form: Form::Given(Some(message), bytes_max) }
    }

    /// The bytes that have arrived and were not passed on.
    pub(in crate::api) fn arrived_bytes(&self) -> usize {
        match &self.form {
            Form::Whole { arrived, .. } => arrived.len(),
            // At most three digits.
            Form::Frames | Form::Text(_) | Form::Given(..) => 0,
        }
    }
}

impl MessageForm {
    /// The message in the bytes of a request.
    ///
    /// # Errors
    /// They have another form, or the message would be larger than `bytes_max`.
    pub(super) fn read(&self, bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, Status> {
        let (is_gzip, bytes) =
            if self.is_framed { unframed(bytes, self.is_gzip)? } else { (self.is_gzip, bytes) };
        let unpacked =
            if is_gzip { framing::decompress(bytes, bytes_max)? } else { bytes.to_vec() };
        if unpacked.len() > bytes_max {
            return Err(status::message_too_large(bytes_max));
        }
        match &self.json {
            Some(json) => {
                json.read(&unpacked).map_err(|error| status::malformed_json(json.name(), &error))
            }
            None => Ok(unpacked),
        }
    }
}

impl GivenMessage {
    fn read(self, bytes_max: usize) -> Result<Vec<u8>, Status> {
        let mut message = self.form.read(&self.bytes, bytes_max)?;
        message.extend_from_slice(&self.further);
        Ok(message)
    }
}

/// The only message in `bytes`, and whether it is compressed.
fn unframed(bytes: &[u8], may_be_gzip: bool) -> Result<(bool, &[u8]), Status> {
    let refused = |why: &str| Err(status::malformed_request(why));
    let Some((&[flag, ref length @ ..], message)) = bytes.split_first_chunk::<PREFIX_BYTES>()
    else {
        return refused("the RPC takes one request message in a frame, and none was sent");
    };
    if message.len() != u32::from_be_bytes(*length) as usize {
        return refused("the request must be one whole frame");
    }
    match flag {
        0 => Ok((false, message)),
        1 if may_be_gzip => Ok((true, message)),
        1 => refused(
            "a message is marked as compressed, but the header connect-content-encoding names no \
             compression",
        ),
        _ => refused("a request message begins with 0, plain, or 1, compressed"),
    }
}

/// `message` in a frame of gRPC.
fn framed(message: &[u8]) -> Bytes {
    // A message is within its limit, which is far below `u32::MAX`.
    let length = (message.len() as u32).to_be_bytes();
    [&[0], &length[..], message].concat().into()
}

/// The bytes of all whole groups of digits, which are removed. A group may be the last of its part, as parts
/// are encoded one by one.
fn decode(digits: &mut BytesMut) -> Result<Bytes, Status> {
    let whole = digits.len() - digits.len() % GROUP_DIGITS;
    let mut bytes = Vec::with_capacity(whole / GROUP_DIGITS * 3);
    for group in digits[..whole].chunks(GROUP_DIGITS) {
        STANDARD
            .decode_vec(group, &mut bytes)
            .map_err(|_| status::malformed_request("the request is not Base64"))?;
    }
    digits.advance(whole);
    Ok(bytes.into())
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Form::Given(message, bytes_max) = &mut this.form {
            let read = message.take().map(|message| message.read(*bytes_max)).transpose()?;
            return Poll::Ready(read.map(|message| Ok(Frame::data(framed(&message)))));
        }
        loop {
            let frame = ready!(Pin::new(&mut this.body).poll_frame(cx)).transpose();
            let frame = frame.map_err(Into::into)?;
            if let Form::Frames = this.form {
                return Poll::Ready(frame.map(Ok));
            }
            match frame.map(Frame::into_data) {
                Some(Ok(bytes)) => {
                    if let Some(decoded) = this.form.add(&bytes)? {
                        return Poll::Ready(Some(Ok(Frame::data(decoded))));
                    }
                }
                // Trailers mean nothing here.
                Some(Err(_)) => {}
                None => return Poll::Ready(this.form.end()?.map(|bytes| Ok(Frame::data(bytes)))),
            }
        }
    }
}

impl Form {
    /// Adds bytes that have arrived. Gives frames of gRPC, if there are.
    fn add(&mut self, bytes: &[u8]) -> Result<Option<Bytes>, Status> {
        match self {
            Self::Text(digits) => {
                digits.extend_from_slice(bytes);
                Ok(Some(decode(digits)?).filter(|bytes| !bytes.is_empty()))
            }
            Self::Whole { form, arrived, bytes_max } => {
                let most = *bytes_max + if form.is_framed { PREFIX_BYTES } else { 0 };
                if arrived.len() + bytes.len() > most {
                    return Err(status::message_too_large(*bytes_max));
                }
                arrived.extend_from_slice(bytes);
                Ok(None)
            }
            Self::Frames | Self::Given(..) => unreachable!("they are passed on"),
        }
    }

    /// All bytes have arrived. Gives the last frames, if there are.
    fn end(&mut self) -> Result<Option<Bytes>, Status> {
        match std::mem::replace(self, Self::Given(None, 0)) {
            Self::Text(digits) if !digits.is_empty() => {
                Err(status::malformed_request("the request ended within a group of Base64"))
            }
            Self::Whole { form, arrived, bytes_max } => {
                form.read(&arrived, bytes_max).map(|message| Some(framed(&message)))
            }
            Self::Text(_) | Self::Frames | Self::Given(..) => Ok(None),
        }
    }
}
