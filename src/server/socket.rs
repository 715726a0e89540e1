//! An accepted socket whose first bytes are checked before memory is allocated for it.
//!
//! An HTTP/2 client begins with 24 fixed bytes (RFC 9113, section 3.4). Never interprets the bytes
//! after them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::other_protocol::OtherProtocol;

/// The client's connection preface.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A socket whose client has sent the preface. Reading from it gives the preface again.
pub(super) struct Socket {
    tcp: TcpStream,
    /// Bytes of the preface that were given to the reader.
    replayed: usize,
}

impl Socket {
    /// Waits for the client's preface. A client that speaks another protocol is answered in it, if
    /// it is known, and the connection is closed.
    ///
    /// # Errors
    /// The client closed the connection, or speaks another protocol.
    pub(super) async fn begin(mut tcp: TcpStream) -> io::Result<Self> {
        let mut read = [0; PREFACE.len()];
        let mut count = 0;
        while count < PREFACE.len() {
            match tcp.read(&mut read[count..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => count += more,
            }
            if let Some(other) = other_than_http2(&read[..count]) {
                // Boxed, so that the future of a waiting connection has no room for it.
                Box::pin(other.answer(tcp)).await?;
                return Err(io::Error::new(io::ErrorKind::InvalidData, other.to_string()));
            }
        }
        debug_assert_eq!(&read, PREFACE, "another protocol is detected within so many bytes");
        Ok(Self { tcp, replayed: 0 })
    }
}

/// The protocol of a client that began with `first`, where that is not HTTP/2; `None` also while
/// more bytes are needed.
pub(super) fn other_than_http2(first: &[u8]) -> Option<OtherProtocol> {
    if PREFACE.starts_with(first) { None } else { OtherProtocol::detect(first) }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let preface = &PREFACE[self.replayed..];
        if preface.is_empty() {
            return Pin::new(&mut self.tcp).poll_read(cx, buffer);
        }
        let count = preface.len().min(buffer.remaining());
        buffer.put_slice(&preface[..count]);
        self.replayed += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
