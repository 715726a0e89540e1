//! Messages as bytes: prost's codec with buffers for small messages, and a clear error for bytes
//! that are no message.

use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, DecodeBuf, Decoder, EncodeBuf, Encoder};

use super::frame::Frame;
use super::status;

/// Buffer of a call when it begins. The default is 8 KiB, which thousands of open streams pay for;
/// a message that needs more says so before it is written.
const BUFFER_BYTES: usize = 1 << 7;
/// Encoded bytes that go out in one write at most, roughly.
const WRITE_BYTES: usize = 32 << 10;

/// Encodes `T` and decodes `U`.
#[derive(Debug)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

/// Encodes `T`.
#[derive(Debug)]
pub struct PlainEncoder<T>(PhantomData<T>);

/// What can be sent.
pub trait Outgoing {
    /// Appends its bytes.
    fn write(&self, bytes: &mut EncodeBuf<'_>) -> Result<(), Status>;
}

/// Decodes `U`.
#[derive(Debug)]
pub struct ClearDecoder<U>(PhantomData<U>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: Outgoing + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = PlainEncoder<T>;
    type Decoder = ClearDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        PlainEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        ClearDecoder(PhantomData)
    }
}

impl<T: Outgoing> Encoder for PlainEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, bytes: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.write(bytes)
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffers()
    }
}

impl<M: Message> Outgoing for M {
    fn write(&self, bytes: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes.reserve(self.encoded_len());
        self.encode(bytes).map_err(|error| status::unencodable(&error))
    }
}

impl Outgoing for Frame {
    fn write(&self, bytes: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes.reserve(self.encoded_len());
        self.encode(bytes).map_err(|error| status::unencodable(&error))
    }
}

impl<U: Message + Default> Decoder for ClearDecoder<U> {
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
