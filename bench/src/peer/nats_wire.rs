//! The part of the NATS client protocol that the bench needs: text lines, and payloads by length. A
//! library would make the load generator more expensive than the server that it measures.
//!
//! ```text
//!   ▶ CONNECT {…}   PUB subject [reply] bytes␍␊payload␍␊   SUB subject sid␍␊   PING␍␊
//!   ◀ INFO {…}   MSG subject sid [reply] bytes␍␊payload␍␊   HMSG … headers bytes␍␊…   PONG␍␊
//! ```
//!
//! Never reconnects: the deliveries that a closed connection misses are counted as lost.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use crate::error::Error;
use crate::load::lock;

/// Bytes of one read.
const READ_BYTES: usize = 256 << 10;
const CONNECT: &[u8] =
    br#"CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}
PING
"#;

/// A message of the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    Ping,
    Pong,
    /// `body` begins with `headers` bytes of headers.
    Message {
        subject: &'a str,
        sid: usize,
        reply: Option<&'a str>,
        headers: usize,
        body: &'a [u8],
    },
    Refused(&'a str),
    Other,
}

/// The first frame in `bytes` and its length; `None` if it is incomplete.
pub(super) fn parse(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let line = std::str::from_utf8(&bytes[..end]).unwrap_or_default().trim_end();
    let after = end + 1;
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let has_headers = match verb {
        "MSG" => false,
        "HMSG" => true,
        "PING" => return Some((Frame::Ping, after)),
        "PONG" => return Some((Frame::Pong, after)),
        "-ERR" => return Some((Frame::Refused(rest), after)),
        _ => return Some((Frame::Other, after)),
    };
    let mut words = [""; 5];
    let mut count = 0;
    for word in rest.split(' ').take(words.len()) {
        words[count] = word;
        count += 1;
    }
    let words = &words[..count];
    let lengths = if has_headers { 2 } else { 1 };
    let total: usize = words.last()?.parse().ok()?;
    let headers = if has_headers { words.get(count - 2)?.parse().ok()? } else { 0 };
    let reply = (count == 3 + lengths).then(|| words[2]);
    let body = bytes.get(after..after + total)?;
    // The line end after the payload.
    bytes.get(after + total + 1)?;
    let (subject, sid) = (words[0], words.get(1)?.parse().ok()?);
    Some((Frame::Message { subject, sid, reply, headers, body }, after + total + 2))
}

/// Connects, and waits until the server has answered.
pub(super) async fn connect(address: &str) -> Result<(OwnedReadHalf, OwnedWriteHalf), Error> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut reading, mut writing) = stream.into_split();
    writing.write_all(CONNECT).await?;
    wait_for_pong(&mut reading).await?;
    Ok((reading, writing))
}

/// Reads until the PONG of the server; frames before it are ignored.
pub(super) async fn wait_for_pong(reading: &mut OwnedReadHalf) -> Result<(), Error> {
    let mut bytes = BytesMut::with_capacity(READ_BYTES);
    loop {
        while let Some((frame, length)) = parse(&bytes) {
            match frame {
                Frame::Pong => return Ok(()),
                Frame::Refused(why) => return Err(Error::Failed(why.to_owned())),
                _ => bytes.advance(length),
            }
        }
        read_more(reading, &mut bytes).await?;
    }
}

/// Reads the bytes that are available, or waits for some.
pub(super) async fn read_more(
    reading: &mut OwnedReadHalf,
    bytes: &mut BytesMut,
) -> Result<(), Error> {
    bytes.reserve(READ_BYTES);
    if reading.read_buf(bytes).await? == 0 {
        return Err(Error::Failed("the server closed the connection".to_owned()));
    }
    Ok(())
}

/// A connection that many callers share.
#[derive(Debug)]
pub(super) struct Connection {
    shared: Arc<Shared>,
    next_inbox: AtomicU64,
    /// Read and write until they are dropped.
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    to_write: Mutex<BytesMut>,
    has_written: Notify,
    waiting: Mutex<Waiting>,
}

/// The senders for waiting callers. They are dropped when the connection ends, which wakes the
/// callers.
#[derive(Debug, Default)]
struct Waiting {
    pongs: VecDeque<oneshot::Sender<()>>,
    replies: HashMap<u64, oneshot::Sender<Vec<u8>>>,
}

impl Connection {
    /// Connects to `address`.
    pub(super) async fn open(address: &str) -> Result<Self, Error> {
        let (reading, writing) = connect(address).await?;
        let shared = Arc::new(Shared::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(write_all(Arc::clone(&shared), writing));
        tasks.spawn(read_all(Arc::clone(&shared), reading));
        let connection = Self { shared, next_inbox: AtomicU64::new(0), _tasks: tasks };
        connection.write(|bytes| bytes.extend_from_slice(b"SUB inbox.* 1\r\n"));
        Ok(connection)
    }

    /// Publishes, and waits for the PONG that follows: the server has the message then.
    pub(super) async fn publish(&self, subject: &str, body: &[u8]) -> Result<(), Error> {
        let (taken, when_taken) = oneshot::channel();
        lock(&self.shared.waiting).pongs.push_back(taken);
        self.write(|bytes| {
            put(bytes, subject, "", body);
            bytes.extend_from_slice(b"PING\r\n");
        });
        Ok(when_taken.await?)
    }

    /// Sends a PING and waits for its PONG.
    pub(super) async fn ping(&self) -> Result<(), Error> {
        let (taken, when_taken) = oneshot::channel();
        lock(&self.shared.waiting).pongs.push_back(taken);
        self.write(|bytes| bytes.extend_from_slice(b"PING\r\n"));
        Ok(when_taken.await?)
    }

    /// Publishes, and waits for the reply.
    pub(super) async fn request(&self, subject: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
        let inbox = self.next_inbox.fetch_add(1, Ordering::Relaxed);
        let (replied, when_replied) = oneshot::channel();
        lock(&self.shared.waiting).replies.insert(inbox, replied);
        self.write(|bytes| put(bytes, subject, &format!("inbox.{inbox} "), body));
        Ok(when_replied.await?)
    }

    fn write(&self, put: impl FnOnce(&mut BytesMut)) {
        put(&mut lock(&self.shared.to_write));
        self.shared.has_written.notify_one();
    }
}

fn put(bytes: &mut BytesMut, subject: &str, reply: &str, body: &[u8]) {
    bytes.extend_from_slice(format!("PUB {subject} {reply}{}\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(b"\r\n");
}

async fn write_all(shared: Arc<Shared>, mut writing: OwnedWriteHalf) {
    loop {
        shared.has_written.notified().await;
        let mut bytes = std::mem::take(&mut *lock(&shared.to_write));
        if writing.write_all_buf(&mut bytes).await.is_err() {
            return;
        }
    }
}

async fn read_all(shared: Arc<Shared>, mut reading: OwnedReadHalf) {
    let mut bytes = BytesMut::new();
    while read_more(&mut reading, &mut bytes).await.is_ok() {
        let mut waiting = lock(&shared.waiting);
        while let Some((frame, length)) = parse(&bytes) {
            match frame {
                Frame::Pong => {
                    let _ = waiting.pongs.pop_front().map(|taken| taken.send(()));
                }
                Frame::Message { subject, body, headers, .. } => {
                    let inbox = subject.strip_prefix("inbox.").and_then(|it| it.parse().ok());
                    let replied = inbox.and_then(|inbox: u64| waiting.replies.remove(&inbox));
                    let _ = replied.map(|replied| replied.send(body[headers..].to_vec()));
                }
                Frame::Ping => {
                    lock(&shared.to_write).extend_from_slice(b"PONG\r\n");
                    shared.has_written.notify_one();
                }
                Frame::Refused(_) | Frame::Other => {}
            }
            bytes.advance(length);
        }
    }
    *lock(&shared.waiting) = Waiting::default();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The aim: frames are parsed by the protocol's rules, and an incomplete one is none.
    #[test]
    fn frames_are_parsed_once_they_are_whole() {
        let message = b"MSG posts.1 7 5\r\nhello\r\nPING\r\n";
        let expected =
            Frame::Message { subject: "posts.1", sid: 7, reply: None, headers: 0, body: b"hello" };
        assert_eq!(parse(message), Some((expected, 24)));
        assert!((0..24).all(|end| parse(&message[..end]).is_none()));
        let with_headers = b"HMSG d.1 2 ack.me 12 14\r\nNATS/1.0\r\n\r\nhi\r\n";
        let expected = Frame::Message {
            subject: "d.1",
            sid: 2,
            reply: Some("ack.me"),
            headers: 12,
            body: b"NATS/1.0\r\n\r\nhi",
        };
        assert_eq!(parse(with_headers), Some((expected, with_headers.len())));
        assert_eq!(parse(b"PONG\r\n"), Some((Frame::Pong, 6)));
        assert_eq!(parse(b"-ERR 'no'\r\n"), Some((Frame::Refused("'no'"), 11)));
    }
}
