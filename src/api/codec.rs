//! The codec of messages: prost's, with buffers for small messages and a clear error for invalid
//! bytes. Never compresses.

use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, DecodeBuf, Decoder, EncodeBuf, Encoder};

use super::shared_response::SharedFeedResponse;
use super::status;

/// Initial size of a call's buffer. The default of 8 KiB would cost too much memory with thousands
/// of open streams. A larger message reserves its size before it is written.
const BUFFER_BYTES: usize = 1 << 7;
/// About how many encoded bytes one write has at most.
const WRITE_BYTES: usize = 32 << 10;

/// Encodes `T` and decodes `U`.
#[derive(Debug)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

/// Encodes `T`.
#[derive(Debug)]
pub struct MessageEncoder<T>(PhantomData<T>);

/// A message that can be sent.
pub trait Encodable {
    /// Appends the encoded message to `bytes`.
    ///
    /// # Errors
    /// `INTERNAL` if `bytes` has no room, which cannot happen after a reserve.
    fn write(&self, bytes: &mut EncodeBuf<'_>) -> Result<(), Status>;
}

/// Decodes `U`. Invalid bytes are `INVALID_ARGUMENT` (`MALFORMED_MESSAGE`).
#[derive(Debug)]
pub struct MessageDecoder<U>(PhantomData<U>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: Encodable + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = MessageEncoder<T>;
    type Decoder = MessageDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        MessageEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        MessageDecoder(PhantomData)
    }
}

impl<T: Encodable> Encoder for MessageEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, bytes: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.write(bytes)
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffers()
    }
}

impl<M: Message> Encodable for M {
    fn write(&self, bytes: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes.reserve(self.encoded_len());
        self.encode(bytes).map_err(|error| status::unencodable(&error))
    }
}

impl Encodable for SharedFeedResponse {
    fn write(&self, bytes: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes.reserve(self.encoded_len());
        self.encode(bytes).map_err(|error| status::unencodable(&error))
    }
}

impl<U: Message + Default> Decoder for MessageDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        U::decode(bytes).map(Some).map_err(|error| status::malformed_message(&error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffers()
    }
}

fn buffers() -> BufferSettings {
    BufferSettings::new(BUFFER_BYTES, WRITE_BYTES)
}
