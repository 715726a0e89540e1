//! The messages of the call that does nothing, for the service that answers it and for its caller.

use bytes::Bytes;

/// The call, by its name on the wire.
pub(crate) const ECHO_PATH: &str = "/whimbrel.bench.Floor/Echo";

/// Asks for so many bytes.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct EchoRequest {
    #[prost(uint32, tag = "1")]
    pub(crate) bytes: u32,
}

/// Has so many bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Echo {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) body: Bytes,
}
