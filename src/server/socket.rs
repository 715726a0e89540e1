//! An accepted socket, as one connection reads and writes it.
//!
//! Its first bytes are checked before memory is allocated for the connection: an HTTP/2 client
//! begins with 24 fixed bytes (RFC 9113, section 3.4). What the connection writes during one poll is
//! gathered, and sent with one system call at the end of the poll: HTTP/2 flushes after each larger
//! frame, and a post to many watchers of one connection would make a system call for each of them.
//!
//! ```text
//!   frame, frame, … ──▶ gathered in the buffer of the worker ── end of the poll ──▶ kernel
//!                                                              └ what the kernel refuses: unsent,
//!                                                                until it has room
//! ```
//!
//! Never interprets the bytes after the first 24, and never keeps a byte that the kernel would take
//! beyond the end of a poll.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::other_protocol::OtherProtocol;
use super::transport::Transport;

/// The client's connection preface.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes that are sent with one system call. More of them gain little: the call then costs less
/// than the copying.
const GATHERED_BYTES_MAX: usize = 64 << 10;

thread_local! {
    /// The buffer of the worker. A connection has it during its poll only, so one is enough.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A socket whose client has sent the preface. Reading from it gives the preface again. Must be
/// polled inside a [`SentAfterPoll`], which sends what was written.
pub(super) struct Socket {
    shared: Rc<RefCell<SharedSocket>>,
    /// Bytes of the preface that were given to the reader.
    replayed: usize,
}

struct SharedSocket {
    transport: Transport,
    /// Written during this poll; after `unsent`. Has no memory of its own between two polls.
    gathered: Vec<u8>,
    /// What the kernel had no room for. While there is any, nothing more is gathered.
    unsent: Vec<u8>,
    /// How much of `unsent` was sent meanwhile.
    sent: usize,
}

impl Socket {
    /// Waits for the client's preface. A client that speaks another protocol is answered in it, if
    /// it is known, and the connection is closed.
    ///
    /// # Errors
    /// The client closed the connection, or speaks another protocol.
    pub(super) async fn begin(mut transport: Transport) -> io::Result<Self> {
        if let Some(other) = read_preface(&mut transport).await? {
            // Boxed, so that the future of a waiting connection has no room for it.
            Box::pin(other.answer(transport)).await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, other.to_string()));
        }
        let shared = SharedSocket { transport, gathered: Vec::new(), unsent: Vec::new(), sent: 0 };
        Ok(Self { shared: Rc::new(RefCell::new(shared)), replayed: 0 })
    }

    /// The connection that `serve` makes over the socket. What it writes is sent after each poll.
    pub(super) fn served_by<C>(self, serve: impl FnOnce(Self) -> C) -> SentAfterPoll<C> {
        let socket = Rc::clone(&self.shared);
        SentAfterPoll { connection: serve(self), socket }
    }
}

/// Waits for the client's preface, or for the first bytes that are not of it. Gives the protocol of
/// a client that speaks another one.
pub(super) async fn read_preface(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<OtherProtocol>> {
    let mut read = [0; PREFACE.len()];
    let mut count = 0;
    while count < PREFACE.len() {
        match stream.read(&mut read[count..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => count += more,
        }
        if let Some(other) = other_than_http2(&read[..count]) {
            return Ok(Some(other));
        }
    }
    debug_assert_eq!(&read, PREFACE, "another protocol is detected within so many bytes");
    Ok(None)
}

/// The protocol of a client that began with `first`, where that is not HTTP/2; `None` also while
/// more bytes are needed.
pub(super) fn other_than_http2(first: &[u8]) -> Option<OtherProtocol> {
    if PREFACE.starts_with(first) { None } else { OtherProtocol::detect(first) }
}

impl SharedSocket {
    fn gather(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.unsent.is_empty() || self.gathered.len() == GATHERED_BYTES_MAX {
            ready!(self.send(cx))?;
        }
        if self.gathered.capacity() == 0 {
            self.gathered = BUFFER.take();
            self.gathered.reserve_exact(GATHERED_BYTES_MAX);
        }
        let count = bytes.len().min(GATHERED_BYTES_MAX - self.gathered.len());
        self.gathered.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    /// Sends all bytes. `Pending` if the kernel has no room for them: the task is woken when it has.
    fn send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        debug_assert!(
            self.unsent.is_empty() || self.gathered.is_empty(),
            "gathered while the kernel had no room"
        );
        while self.sent < self.unsent.len() {
            let rest = &self.unsent[self.sent..];
            self.sent += not_zero(ready!(Pin::new(&mut self.transport).poll_write(cx, rest))?)?;
        }
        (self.unsent, self.sent) = (Vec::new(), 0);
        let mut gathered = std::mem::take(&mut self.gathered);
        let sent = self.send_gathered(cx, &gathered);
        gathered.clear();
        BUFFER.set(gathered);
        ready!(sent)?;
        // TLS may have encrypted bytes, or bytes of its own, that the kernel had no room for.
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn send_gathered(&mut self, cx: &mut Context<'_>, mut rest: &[u8]) -> Poll<io::Result<()>> {
        while !rest.is_empty() {
            match Pin::new(&mut self.transport).poll_write(cx, rest)? {
                Poll::Ready(count) => rest = &rest[not_zero(count)?..],
                Poll::Pending => {
                    self.unsent = rest.to_vec();
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// An error if a write has written nothing: to repeat it would never end.
fn not_zero(count: usize) -> io::Result<usize> {
    if count == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(count) }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let preface = &PREFACE[self.replayed..];
        if preface.is_empty() {
            return Pin::new(&mut self.shared.borrow_mut().transport).poll_read(cx, buffer);
        }
        let count = preface.len().min(buffer.remaining());
        buffer.put_slice(&preface[..count]);
        self.replayed += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.shared.borrow_mut().gather(cx, bytes)
    }

    /// Does nothing: what was written is sent after the poll.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.shared.borrow_mut();
        ready!(shared.send(cx))?;
        Pin::new(&mut shared.transport).poll_shutdown(cx)
    }
}

pin_project! {
    /// A connection over a [`Socket`]. Sends what the connection wrote after each poll of it.
    pub(super) struct SentAfterPoll<C> {
        #[pin]
        connection: C,
        socket: Rc<RefCell<SharedSocket>>,
    }
}

impl<C> SentAfterPoll<C> {
    pub(super) fn connection(self: Pin<&mut Self>) -> Pin<&mut C> {
        self.project().connection
    }
}

impl<C: Future<Output = hyper::Result<()>>> Future for SentAfterPoll<C> {
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let polled = this.connection.poll(cx).map_err(io::Error::other);
        // A connection that has ended has shut the socket down, or it is broken.
        if polled.is_pending()
            && let Poll::Ready(Err(error)) = this.socket.borrow_mut().send(cx)
        {
            return Poll::Ready(Err(error));
        }
        polled
    }
}
