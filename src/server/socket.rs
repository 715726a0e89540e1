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
//! What it reads during one poll is limited: HTTP/2 reads for as long as there are bytes, and others
//! of the same worker wait for that. Then the connection waits for its turn (`pacing.rs`). Whoever sends too
//! many frames that carry nothing gets a GOAWAY and is closed (`frame_budget.rs`).
//!
//! Never interprets the bytes after the first 24 itself, and never keeps a byte that the kernel would take
//! beyond the end of a poll.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::connection_metrics::ConnectionMetrics;
use super::first_bytes::FirstBytes;
use super::frame_budget::FrameBudget;
use super::other_protocol::OtherProtocol;
use super::pacing::{Pace, Paced};
use super::transport::Transport;
use crate::api::{Account, HeldAnswer};

/// Bytes that are sent with one system call. More of them gain little: the call then costs less
/// than the copying.
const GATHERED_BYTES_MAX: usize = 64 << 10;

/// Bytes that are read during one poll: as many as most calls have. Others of the worker wait for the
/// work that they make, of one such connection at a time: a tenth or two of a millisecond, for the some
/// thirty smallest calls that fit.
const READ_BYTES_PER_POLL: usize = 2 << 10;
/// Bytes of TLS that are read for them: some 180 of the smallest records, which have one byte each, take a
/// tenth of a millisecond to decrypt.
const ENCRYPTED_BYTES_PER_POLL: usize = 4 << 10;
/// Bytes that are written during one poll, for the same reason: they are there already, so they cost less
/// than those that are read. With fewer, a post to the watchers of one connection would take several turns.
const WRITTEN_BYTES_PER_POLL: usize = 512 << 10;
/// How long a client has to read why it was closed, unless it closes the connection itself: to come
/// back at once would cost it nothing.
const LAST_WORDS_TIME: Duration = Duration::from_secs(1);
/// Most bytes that are read from it meanwhile. A client that sends on waits.
const LAST_WORDS_READ_BYTES_MAX: usize = 256 << 10;
/// The error of a client that makes too much work (RFC 9113, section 7).
const ENHANCE_YOUR_CALM: u8 = 0xb;

thread_local! {
    /// The buffer of the worker. A connection has it during its poll only, so one is enough.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// Bytes on their way from the socket. A reader's own memory would have to be cleared for it, all of
    /// it with each poll, though most have nothing to read.
    static READ: RefCell<[u8; READ_BYTES_PER_POLL]> = const { RefCell::new([0; READ_BYTES_PER_POLL]) };
}

/// A socket whose client has sent its first bytes. Reading from it gives them again. Must be polled inside
/// a [`SentAfterPoll`], which sends what was written.
pub(super) struct Socket {
    shared: Rc<RefCell<SharedSocket>>,
    first: FirstBytes,
}

struct SharedSocket {
    transport: Transport,
    /// Written during this poll; after `unsent`. Has no memory of its own between two polls.
    gathered: Vec<u8>,
    /// What the kernel had no room for. While there is any, nothing more is gathered.
    unsent: Vec<u8>,
    /// How much of `unsent` was sent meanwhile.
    sent: usize,
    /// Counts `unsent` as bytes of answers.
    account: Option<Account>,
    held: Option<HeldAnswer>,
    /// `None` before the connection is served, and of HTTP/1.1, which has no frames.
    frames: Option<FrameBudget>,
    /// Bytes that may still be read in this poll.
    read_bytes_left: usize,
    /// Bytes that may still be written in this poll.
    written_bytes_left: usize,
    /// Whether this poll has left bytes that it might have read or written.
    has_left_bytes: bool,
    is_flooded: bool,
    has_said_last_words: bool,
}

impl Socket {
    /// Waits for the client's first bytes. A client that does not speak HTTP is answered so, if it can be, and
    /// the connection is closed.
    ///
    /// # Errors
    /// The client closed the connection, or does not speak HTTP.
    pub(super) async fn begin(mut transport: Transport) -> io::Result<Self> {
        let first = FirstBytes::read(&mut transport).await?;
        if let Some(other @ (OtherProtocol::Tls | OtherProtocol::Unknown)) = first.other {
            // Boxed, so that the future of a waiting connection has no room for it.
            Box::pin(other.answer(transport)).await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, other.to_string()));
        }
        let shared = SharedSocket {
            transport,
            gathered: Vec::new(),
            unsent: Vec::new(),
            sent: 0,
            account: None,
            held: None,
            frames: None,
            read_bytes_left: 0,
            written_bytes_left: 0,
            has_left_bytes: false,
            is_flooded: false,
            has_said_last_words: false,
        };
        Ok(Self { shared: Rc::new(RefCell::new(shared)), first })
    }

    /// Whether the client speaks HTTP/2, and not an older one.
    pub(super) fn is_http2(&self) -> bool {
        self.first.other.is_none()
    }

    /// The connection that `serve` makes over the socket. What it writes is sent after each poll, and
    /// counted in `account` while the kernel has no room for it; what it reads is within `frames`, and
    /// its polls keep to `pace`.
    pub(super) fn served_by<C>(
        self,
        account: Account,
        frames: Option<FrameBudget>,
        pace: &Pace,
        metrics: ConnectionMetrics,
        serve: impl FnOnce(Self) -> C,
    ) -> SentAfterPoll<C> {
        let socket = Rc::clone(&self.shared);
        let mut shared = socket.borrow_mut();
        (shared.account, shared.frames) = (Some(account), frames);
        drop(shared);
        SentAfterPoll { connection: serve(self), socket, paced: pace.paced(), metrics }
    }
}

impl SharedSocket {
    /// Reads into `buffer`, unless this poll has read enough: then the connection waits for its turn.
    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read_bytes_left == 0 {
            self.has_left_bytes = true;
            return Poll::Pending;
        }
        let most = buffer.remaining().min(self.read_bytes_left);
        let flood = READ.with_borrow_mut(|bytes| {
            let mut part = ReadBuf::new(&mut bytes[..most]);
            let polled = Pin::new(&mut self.transport).poll_read(cx, &mut part);
            if polled.is_pending() && self.transport.encrypted_bytes_left() == Some(0) {
                self.has_left_bytes = true;
            }
            ready!(polled)?;
            let read = part.filled();
            self.read_bytes_left -= read.len();
            buffer.put_slice(read);
            Poll::Ready(io::Result::Ok(
                self.frames.as_mut().and_then(|frames| frames.received(read).err()),
            ))
        });
        Poll::Ready(ready!(flood)?.map_or(Ok(()), |flood| {
            self.is_flooded = true;
            Err(io::Error::new(io::ErrorKind::InvalidData, flood))
        }))
    }

    /// A poll may read again.
    fn begin_to_read(&mut self) {
        self.read_bytes_left = READ_BYTES_PER_POLL;
        self.transport.allow_encrypted(ENCRYPTED_BYTES_PER_POLL);
    }

    /// Whether the client has made work in this poll: also by a part of a record of TLS.
    fn has_read(&self) -> bool {
        self.read_bytes_left < READ_BYTES_PER_POLL
            || self.transport.encrypted_bytes_left().is_some_and(|it| it < ENCRYPTED_BYTES_PER_POLL)
    }

    /// Takes some of `bytes`, unless this poll has written enough: then the connection waits for its turn.
    fn gather(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.written_bytes_left == 0 {
            self.has_left_bytes = true;
            return Poll::Pending;
        }
        if !self.unsent.is_empty() || self.gathered.len() == GATHERED_BYTES_MAX {
            ready!(self.send(cx))?;
        }
        if self.gathered.capacity() == 0 {
            self.gathered = BUFFER.take();
            self.gathered.reserve_exact(GATHERED_BYTES_MAX);
        }
        let room = (GATHERED_BYTES_MAX - self.gathered.len()).min(self.written_bytes_left);
        let count = bytes.len().min(room);
        self.written_bytes_left -= count;
        self.gathered.extend_from_slice(&bytes[..count]);
        if let Some(frames) = &mut self.frames {
            frames.sent(count);
        }
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
        (self.unsent, self.sent, self.held) = (Vec::new(), 0, None);
        let mut gathered = std::mem::take(&mut self.gathered);
        let sent = self.send_gathered(cx, &gathered);
        gathered.clear();
        BUFFER.set(gathered);
        ready!(sent)?;
        // TLS may have encrypted bytes, or bytes of its own, that the kernel had no room for.
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    /// How many bytes were read and written in this poll.
    fn moved(&self) -> (usize, usize) {
        let read = READ_BYTES_PER_POLL - self.read_bytes_left;
        (read, WRITTEN_BYTES_PER_POLL - self.written_bytes_left)
    }

    /// The kernel has all that the connection had to write.
    fn all_is_sent(&self) {
        if let Some(account) = &self.account {
            account.heads_are_sent();
        }
    }

    fn send_gathered(&mut self, cx: &mut Context<'_>, mut rest: &[u8]) -> Poll<io::Result<()>> {
        while !rest.is_empty() {
            match Pin::new(&mut self.transport).poll_write(cx, rest)? {
                Poll::Ready(count) => rest = &rest[not_zero(count)?..],
                Poll::Pending => {
                    self.unsent = rest.to_vec();
                    let account = self.account.as_ref();
                    self.held = account.map(|account| account.hold_piece(rest.len()));
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl SharedSocket {
    /// Sends GOAWAY, and says that nothing follows.
    fn poll_last_words(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What the kernel has no room for may end inside of a frame: then nothing more is said.
        if self.unsent.is_empty() && !self.has_said_last_words {
            let last_stream = self.frames.as_ref().map_or(0, FrameBudget::last_stream);
            self.gathered.extend_from_slice(&goaway(last_stream));
        }
        self.has_said_last_words = true;
        ready!(self.send(cx))?;
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }

    /// Reads some bytes and drops them; 0 at the end.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bytes = [0; 4 << 10];
        self.transport.allow_encrypted(bytes.len());
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.transport).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

/// The frame that says that the client makes too much work (RFC 9113, section 6.8).
fn goaway(last_stream: u32) -> Vec<u8> {
    let head = [0, 0, 8, 7, 0, 0, 0, 0, 0];
    [&head[..], &last_stream.to_be_bytes(), &[0, 0, 0, ENHANCE_YOUR_CALM]].concat()
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
        if self.first.replay(buffer) {
            return Poll::Ready(Ok(()));
        }
        self.shared.borrow_mut().read(cx, buffer)
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
        paced: Paced,
        metrics: ConnectionMetrics,
    }
}

impl<C> SentAfterPoll<C> {
    pub(super) fn connection(self: Pin<&mut Self>) -> Pin<&mut C> {
        self.project().connection
    }

    /// Whether the connection has ended because of too many frames.
    pub(super) fn is_flooded(&self) -> bool {
        self.socket.borrow().is_flooded
    }

    /// Tells the client of a connection that has ended why, if the kernel has taken all before.
    pub(super) async fn last_words(self: Pin<&mut Self>) {
        let socket = self.project().socket;
        let said = async {
            poll_fn(|cx| socket.borrow_mut().poll_last_words(cx)).await?;
            let mut read_bytes = 0;
            while read_bytes < LAST_WORDS_READ_BYTES_MAX {
                match poll_fn(|cx| socket.borrow_mut().poll_discard(cx)).await? {
                    0 => return Ok(()),
                    more => read_bytes += more,
                }
            }
            // Closing now could take the last words back.
            std::future::pending::<io::Result<()>>().await
        };
        // Whether it listened does not matter.
        let _ = timeout(LAST_WORDS_TIME, said).await;
    }
}

impl<C: Future<Output = hyper::Result<()>>> Future for SentAfterPoll<C> {
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let (connection, socket) = (this.connection, &*this.socket);
        let polled = this.paced.run(cx, |cx| {
            let mut shared = socket.borrow_mut();
            shared.begin_to_read();
            shared.written_bytes_left = WRITTEN_BYTES_PER_POLL;
            shared.has_left_bytes = false;
            drop(shared);
            let polled = connection.poll(cx).map_err(io::Error::other);
            let (read, written) = socket.borrow().moved();
            this.metrics.moved(read, written);
            let has_read = socket.borrow().has_read();
            // A connection that has ended has shut the socket down, or it is broken.
            if polled.is_pending() {
                let mut shared = socket.borrow_mut();
                match shared.send(cx) {
                    Poll::Ready(Err(error)) => return (Poll::Ready(Err(error)), has_read),
                    // Otherwise the connection may have more to write, in its next turn.
                    Poll::Ready(Ok(())) if shared.written_bytes_left > 0 => shared.all_is_sent(),
                    Poll::Ready(Ok(())) => {}
                    Poll::Pending => {}
                }
            }
            (polled, has_read)
        });
        if polled.is_pending() && std::mem::take(&mut socket.borrow_mut().has_left_bytes) {
            this.paced.wait(cx);
        }
        polled
    }
}
