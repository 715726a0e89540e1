//! The bytes of a connection: a socket, or TLS over it. Never says when something is sent.
//!
//! A socket belongs to the runtime that it was made on. A TLS connection begins on a thread of its
//! own and lives on a worker, so its socket is taken out of it, moved, and put back.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A connection's bytes, on the thread of the connection.
#[derive(Debug)]
pub(super) enum Transport {
    Tcp(TcpStream),
    Tls(Box<TlsStream<MovableTcp>>),
}

/// A [`Transport`] that belongs to no runtime.
#[derive(Debug)]
pub(super) struct DetachedTransport {
    tcp: std::net::TcpStream,
    tls: Option<Box<TlsStream<MovableTcp>>>,
}

/// A socket that can be taken away, and is put back before it is used again. So many bytes are read from it
/// as is allowed: TLS reads and decrypts all that it gets, before anything is known of how much that is.
#[derive(Debug)]
pub(super) struct MovableTcp {
    tcp: Option<TcpStream>,
    read_bytes_left: usize,
}

impl Transport {
    /// TLS over `tcp`, without the runtime of the caller.
    pub(super) fn detach(mut tls: TlsStream<MovableTcp>) -> io::Result<DetachedTransport> {
        let tcp = tls.get_mut().0.tcp.take().ok_or(io::ErrorKind::NotConnected)?.into_std()?;
        Ok(DetachedTransport { tcp, tls: Some(Box::new(tls)) })
    }

    /// Lets TLS read so many bytes of the socket from now on. Does nothing without TLS.
    pub(super) fn allow_encrypted(&mut self, bytes: usize) {
        if let Self::Tls(tls) = self {
            tls.get_mut().0.read_bytes_left = bytes;
        }
    }

    /// The bytes of the socket that TLS may still read; `None` without TLS. With none left, reading waits,
    /// and nothing wakes it.
    pub(super) fn encrypted_bytes_left(&self) -> Option<usize> {
        match self {
            Self::Tcp(_) => None,
            Self::Tls(tls) => Some(tls.get_ref().0.read_bytes_left),
        }
    }
}

impl From<std::net::TcpStream> for DetachedTransport {
    fn from(tcp: std::net::TcpStream) -> Self {
        Self { tcp, tls: None }
    }
}

impl DetachedTransport {
    /// The transport on the runtime of the caller.
    pub(super) fn attach(self) -> io::Result<Transport> {
        let tcp = TcpStream::from_std(self.tcp)?;
        Ok(match self.tls {
            None => Transport::Tcp(tcp),
            Some(mut tls) => {
                let before = tls.get_mut().0.tcp.replace(tcp);
                assert!(before.is_none(), "the socket is put back once");
                Transport::Tls(tls)
            }
        })
    }
}

impl From<TcpStream> for MovableTcp {
    fn from(tcp: TcpStream) -> Self {
        // A handshake has limits of its own.
        Self { tcp: Some(tcp), read_bytes_left: usize::MAX }
    }
}

impl MovableTcp {
    fn pinned(self: Pin<&mut Self>) -> io::Result<Pin<&mut TcpStream>> {
        let tcp = self.get_mut().tcp.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Pin::new(tcp))
    }
}

impl AsyncRead for MovableTcp {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let most = buffer.remaining().min(this.read_bytes_left);
        if most == 0 && buffer.remaining() > 0 {
            return Poll::Pending;
        }
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
        ready!(Pin::new(&mut *this).pinned()?.poll_read(cx, &mut part))?;
        let count = part.filled().len();
        buffer.advance(count);
        this.read_bytes_left -= count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MovableTcp {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.pinned()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.pinned()?.poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned()?.poll_shutdown(cx)
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
