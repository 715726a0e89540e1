//! Many live feeds on one connection, of which only the revisions are read: for benchmarks that
//! watch a hundred thousand feeds and should measure the server, not themselves. An ordinary client
//! takes longer to receive an event than the server to send it.
//!
//! ```text
//!   bytes ──▶ frames ──▶ messages of each feed ──▶ (feed, revision), …
//! ```
//!
//! Never decodes the content of events, or cursors, and never resumes.

mod frames;

use std::io;
use std::net::IpAddr;

use bytes::{Buf, BytesMut};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_util::either::Either;

use self::frames::{CallHead, Frame};
use super::tls::TlsSocket;
use super::{
    Address, CALLS_PER_CONNECTION_MAX, CONNECT_TIME_MAX, Client, ConnectOptions, Error,
    call_headers, parse, tls,
};
use crate::api::v1::WatchFeedRequest;

/// The path of the RPC.
const PATH: &str = "/whimbrel.v1.FeedService/WatchFeed";
/// Bytes of one read.
const READ_BYTES: usize = 256 << 10;
/// Feeds that are opened at once: a server refuses more calls than its limit.
const OPENING_MAX: usize = 128;
/// Bytes received after which the window is opened again: half of the largest.
const WINDOW_UPDATE_BYTES: u32 = 1 << 30;
/// Bytes before a message: a flag and the length.
const PREFIX_BYTES: usize = 5;

/// Open feeds. They close when it is dropped.
#[derive(Debug)]
pub struct RevisionFeeds {
    transport: Transport,
    received: BytesMut,
    to_send: BytesMut,
    feeds: Vec<OpenFeed>,
    /// Received while the other feeds were opened.
    early: Vec<(usize, u64)>,
    /// Since the last update of the connection's window.
    window_used: u32,
}

/// The bytes of the connection.
type Transport = Either<TcpStream, TlsSocket>;

/// What was received of one feed.
#[derive(Debug, Default)]
struct OpenFeed {
    is_open: bool,
    /// The beginning of a message whose rest is in the next frames.
    partial: BytesMut,
    window_used: u32,
}

/// The decoded parts of `WatchFeedResponse`. Decoding skips the rest. The tags are those of
/// `feed_service.proto`.
mod partial {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct RevisionResponse {
        #[prost(message, optional, tag = "2")]
        pub(super) batch: Option<RevisionBatch>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct RevisionBatch {
        #[prost(message, repeated, tag = "3")]
        pub(super) events: Vec<RevisionEvent>,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct RevisionEvent {
        #[prost(uint64, tag = "1")]
        pub(super) revision: u64,
    }
}

impl RevisionFeeds {
    /// Connects to `address`, in the form of an [`Address`], opens a feed for each of `requests`,
    /// and waits for their first messages: all later events are delivered.
    ///
    /// # Errors
    /// The address is invalid, no server answers there, or it refuses a feed.
    ///
    /// # Panics
    /// There are more requests than [`CALLS_PER_CONNECTION_MAX`].
    pub async fn open(address: &str, requests: &[WatchFeedRequest]) -> Result<Self, Error> {
        Self::open_with(None, address, &ConnectOptions::default(), requests).await
    }

    /// As [`RevisionFeeds::open`], with a token, or other authorities; and from an address of this
    /// machine, where one is given: between two addresses there are fewer ports than a server takes
    /// connections.
    ///
    /// # Errors
    /// As [`RevisionFeeds::open`]; or a file cannot be used, TLS does not come about, or this
    /// machine does not have the address.
    ///
    /// # Panics
    /// As [`RevisionFeeds::open`].
    pub async fn open_with(
        from: Option<IpAddr>,
        address: &str,
        options: &ConnectOptions,
        requests: &[WatchFeedRequest],
    ) -> Result<Self, Error> {
        assert!(requests.len() <= CALLS_PER_CONNECTION_MAX, "more feeds than a connection has");
        let addresses = parse(address)?;
        let headers = call_headers(&addresses, options)?;
        // Of several the first: what is measured is one server.
        let parsed = &addresses.all()[0];
        let authorization = headers.header();
        let head = CallHead {
            is_tls: parsed.is_tls(),
            authority: parsed.authority(),
            path: PATH,
            authorization: authorization.as_ref().and_then(|header| header.to_str().ok()),
        };
        let mut feeds = Self {
            transport: connect(from, parsed, options).await?,
            received: BytesMut::new(),
            to_send: BytesMut::new(),
            feeds: Vec::with_capacity(requests.len()),
            early: Vec::new(),
            window_used: 0,
        };
        let mut early = Vec::new();
        frames::put_preface(&mut feeds.to_send);
        for requests in requests.chunks(OPENING_MAX) {
            for request in requests {
                let stream = stream_of(feeds.feeds.len());
                let message = request.encode_to_vec();
                frames::put_call(&mut feeds.to_send, stream, head, &message);
                feeds.feeds.push(OpenFeed::default());
            }
            let opening = feeds.feeds.len() - requests.len();
            while let Some(feed) = feeds.feeds[opening..].iter().position(|feed| !feed.is_open) {
                if feeds.receive(|feed, revision| early.push((feed, revision))).await.is_err() {
                    return Err(refusal(address, options, &requests[feed]).await);
                }
            }
        }
        feeds.early = early;
        Ok(feeds)
    }

    /// Waits for more, and calls `receive` with the number of the feed, in the order of the
    /// requests, and the revision of each event, in the order of arrival. There may be none.
    ///
    /// # Errors
    /// A feed has ended, or the connection.
    pub async fn receive(&mut self, mut receive: impl FnMut(usize, u64)) -> Result<(), Error> {
        if !self.early.is_empty() {
            self.early.drain(..).for_each(|(feed, revision)| receive(feed, revision));
            return Ok(());
        }
        self.read().await.map_err(|_| Error::Ended)?;
        let mut received = std::mem::take(&mut self.received);
        while let Some((frame, length)) = frames::parse(&received) {
            self.take(&frame, &mut receive)?;
            received.advance(length);
        }
        self.received = received;
        Ok(())
    }

    /// Sends what has to be sent, and reads once.
    async fn read(&mut self) -> io::Result<()> {
        self.transport.write_all_buf(&mut self.to_send).await?;
        // TLS may keep what it has encrypted.
        self.transport.flush().await?;
        self.received.reserve(READ_BYTES);
        match self.transport.read_buf(&mut self.received).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn take(
        &mut self,
        frame: &Frame<'_>,
        receive: &mut impl FnMut(usize, u64),
    ) -> Result<(), Error> {
        match *frame {
            Frame::Data { stream, payload } => self.take_data(stream, payload, receive)?,
            Frame::Settings => frames::put_settings_ack(&mut self.to_send),
            Frame::Ping { payload } => frames::put_ping_ack(&mut self.to_send, payload),
            Frame::End { .. } | Frame::GoAway => return Err(Error::Ended),
            Frame::Other => {}
        }
        Ok(())
    }

    fn take_data(
        &mut self,
        stream: u32,
        payload: &[u8],
        receive: &mut impl FnMut(usize, u64),
    ) -> Result<(), Error> {
        let number = feed_of(stream).ok_or(Error::Ended)?;
        let feed = self.feeds.get_mut(number).ok_or(Error::Ended)?;
        for (used, stream) in [(&mut self.window_used, 0), (&mut feed.window_used, stream)] {
            *used += payload.len() as u32;
            if *used >= WINDOW_UPDATE_BYTES {
                frames::put_window_update(&mut self.to_send, stream, std::mem::take(used));
            }
        }
        // Nearly always a frame has whole messages, and nothing is copied.
        if feed.partial.is_empty() {
            let rest = feed.take_messages(number, payload, receive)?;
            feed.partial.extend_from_slice(rest);
        } else {
            feed.partial.extend_from_slice(payload);
            let all = feed.partial.split();
            let rest = feed.take_messages(number, &all, receive)?;
            feed.partial.extend_from_slice(rest);
        }
        Ok(())
    }
}

impl OpenFeed {
    /// Takes the whole messages in `bytes`, and gives the bytes after them.
    fn take_messages<'a>(
        &mut self,
        number: usize,
        mut bytes: &'a [u8],
        receive: &mut impl FnMut(usize, u64),
    ) -> Result<&'a [u8], Error> {
        while let Some(([_, length @ ..], rest)) = bytes.split_first_chunk::<PREFIX_BYTES>()
            && let Some(message) = rest.get(..u32::from_be_bytes(*length) as usize)
        {
            self.is_open = true;
            let decoded = partial::RevisionResponse::decode(message).map_err(|_| Error::Ended)?;
            for event in decoded.batch.unwrap_or_default().events {
                receive(number, event.revision);
            }
            bytes = &rest[message.len()..];
        }
        Ok(bytes)
    }
}

/// A connection to the server, with TLS if its address says so.
async fn connect(
    from: Option<IpAddr>,
    address: &Address,
    options: &ConnectOptions,
) -> Result<Transport, Error> {
    let connector = if address.is_tls() { Some(options.connector()?) } else { None };
    let connecting = async {
        let tcp = connect_tcp(from, address.authority()).await?;
        tcp.set_nodelay(true)?;
        Ok(match &connector {
            None => Either::Left(tcp),
            Some(connector) => {
                Either::Right(tls::shake_hands(connector, address.host(), tcp).await?)
            }
        })
    };
    let connected = timeout(CONNECT_TIME_MAX, connecting).await;
    connected.unwrap_or_else(|late| Err(late.into())).map_err(|error: io::Error| {
        let address = address.to_string();
        match tls::problem(&error) {
            Some(problem) => Error::Tls { address, problem },
            None => Error::Connect { address, source: Box::new(error) },
        }
    })
}

async fn connect_tcp(from: Option<IpAddr>, authority: &str) -> io::Result<TcpStream> {
    let Some(from) = from else { return TcpStream::connect(authority).await };
    let mut addresses = lookup_host(authority).await?;
    let to = addresses.find(|to| to.is_ipv4() == from.is_ipv4());
    let to = to.ok_or(io::ErrorKind::AddrNotAvailable)?;
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Without this option, the port of a connection that has just ended stays in use for a while.
    socket.set_reuseaddr(true)?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// The stream of a feed. A client's streams have odd numbers (RFC 9113, section 5.1.1).
fn stream_of(number: usize) -> u32 {
    2 * number as u32 + 1
}

/// The feed of a stream.
fn feed_of(stream: u32) -> Option<usize> {
    stream.checked_sub(1).map(|before| before as usize / 2)
}

/// Why a feed was refused: an ordinary client asks again, because its headers are not read here.
async fn refusal(address: &str, options: &ConnectOptions, request: &WatchFeedRequest) -> Error {
    let asked =
        async { Client::connect_with(address, options).await?.watch_feed(request.clone()).await };
    asked.await.err().unwrap_or(Error::Ended)
}
