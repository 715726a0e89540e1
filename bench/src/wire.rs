//! The messages of the call that does nothing, for its server and its client. Never part of
//! Whimbrel's API.

use bytes::Bytes;

/// The path of the call.
pub(crate) const ECHO_PATH: &str = "/whimbrel.bench.Floor/Echo";

/// The request: the number of bytes to return.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct EchoRequest {
    #[prost(uint32, tag = "1")]
    pub(crate) bytes: u32,
}

/// The response, with that number of bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Echo {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) body: Bytes,
}
