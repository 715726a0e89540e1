//! The first bytes of a connection, which say what protocol its client speaks. Never reads more than the preface
//! of HTTP/2 has.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::other_protocol::OtherProtocol;

/// What a client of HTTP/2 begins with (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first bytes of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstBytes {
    bytes: [u8; PREFACE.len()],
    count: usize,
    /// How many of them were given to the reader.
    replayed: usize,
    /// The protocol, if that is not HTTP/2.
    pub(super) other: Option<OtherProtocol>,
}

impl FirstBytes {
    /// Waits for the preface of HTTP/2, or for so many bytes as say that it is another protocol.
    ///
    /// # Errors
    /// The client closes the connection before.
    pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut first = Self { bytes: [0; PREFACE.len()], count: 0, replayed: 0, other: None };
        while first.count < PREFACE.len() && first.other.is_none() {
            match stream.read(&mut first.bytes[first.count..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => first.count += more,
            }
            first.other = other_than_http2(&first.bytes[..first.count]);
        }
        debug_assert!(
            first.other.is_some() || first.bytes == *PREFACE,
            "another protocol is detected within so many bytes"
        );
        Ok(first)
    }

    /// Gives the next of them to a reader; `false` if it has all.
    pub(super) fn replay(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let rest = &self.bytes[self.replayed..self.count];
        if rest.is_empty() {
            return false;
        }
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        self.replayed += count;
        true
    }
}

/// The protocol of a client that began with `first`, where that is not HTTP/2; `None` also while
/// more bytes are needed.
pub(super) fn other_than_http2(first: &[u8]) -> Option<OtherProtocol> {
    if PREFACE.starts_with(first) { None } else { OtherProtocol::detect(first) }
}
