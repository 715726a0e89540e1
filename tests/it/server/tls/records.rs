//! Records of TLS that carry little: whoever sends many of them waits for turns, as whoever makes other
//! work does.

use std::io::Write as _;

use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use tokio::io::{AsyncWriteExt as _, copy, sink};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use whimbrel::api::v1::{FollowRequest, NewsFeedRequest, PublishRequest};
use whimbrel::client::Client;
use whimbrel::config::Limits;

use crate::harness::tls::TestAuthority;
use crate::harness::wire::frame;
use crate::harness::{Feed, Setup, TestServer, eventually};
use crate::server::pacing::{END_HEADERS, END_STREAM, HEADERS, call_without_a_message};

const DATA: u8 = 0;

/// Connections that send records of one byte.
const BUSY: usize = 3;
/// Bytes that pad the post of each of them: its message is nearly as large as it may be.
const PADDING_BYTES: usize = 60_000;
/// A field that posts do not have.
const PADDING_FIELD: u32 = 1_000;
/// Posts of a connection that sends them all at once, before the others send anything.
const POSTS: usize = 900;
/// How many of them are published before the last post of the others: three times as many as there would be if
/// a turn were of so many bytes as are read without TLS.
const POSTS_BEFORE: usize = 200;
/// Bytes of the largest record.
const RECORD_BYTES_MAX: usize = 16_000;

/// Posts are published before those of others, each byte of which has a record of its own. The order is that
/// of the log, so it does not matter how much time this program has.
#[tokio::test]
async fn posts_go_before_records_of_one_byte() {
    let authority = TestAuthority::new();
    let limits = |limits: &mut Limits| limits.worker_threads = 1;
    let transport = authority.signs_server().transport();
    let server = Setup::new().limits(limits).transport(transport).start().await;
    let reader = authority.connects(server.address()).await.unwrap();
    for followee_id in ["alice", "bob"].map(str::to_owned) {
        let user_id = "carol".to_owned();
        reader.follow(FollowRequest { user_id, followee_id }).await.unwrap();
    }

    let short = post("alice").encode_to_vec();
    let mut padded = post("bob").encode_to_vec();
    encode_key(PADDING_FIELD, WireType::LengthDelimited, &mut padded);
    encode_varint(PADDING_BYTES as u64, &mut padded);
    padded.resize(padded.len() + PADDING_BYTES, 0);
    let posts = records(&authority, &server, &vec![short; POSTS], RECORD_BYTES_MAX).await;
    let mut all = vec![posts];
    for _ in 0..BUSY {
        all.push(records(&authority, &server, &[padded.clone()], 1).await);
    }
    let mut sending = JoinSet::new();
    for (socket, records) in all {
        sending.spawn(sent(socket, records));
    }

    let feed = eventually("all posts", async || {
        let feed = feed(&reader).await;
        (feed.posts().count() == POSTS + BUSY).then_some(feed)
    });
    let feed = feed.await;
    let later = feed.posts().position(|post| post.author_id == "bob").expect("posts of bob");
    let before = POSTS - later;
    assert!(before >= POSTS_BEFORE, "{before} posts");
}

fn post(author: &str) -> PublishRequest {
    PublishRequest { user_id: author.to_owned(), text: "hi".to_owned(), ..Default::default() }
}

/// All that carol's feed has.
async fn feed(reader: &Client) -> Feed {
    let mut request =
        NewsFeedRequest { user_id: "carol".to_owned(), page_size: 100, ..Default::default() };
    let mut feed = Feed::of(reader.news_feed(request.clone()).await.unwrap());
    while let Some(token) = feed.next_page_token() {
        request.page_token = token;
        feed.append(reader.news_feed(request.clone()).await.unwrap());
    }
    feed
}

/// Calls of a connection, as frames that are sent all at once.
struct RawCalls {
    frames: Vec<u8>,
    next_stream: u32,
}

impl RawCalls {
    fn new() -> Self {
        let frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        Self { frames, next_stream: 1 }
    }

    fn call(&mut self, message: &[u8]) {
        self.frame(HEADERS, END_HEADERS, &call_without_a_message());
        let message = frame(message);
        let mut parts = message.chunks(15_000).peekable();
        while let Some(part) = parts.next() {
            self.frame(DATA, if parts.peek().is_none() { END_STREAM } else { 0 }, part);
        }
        self.next_stream += 2;
    }

    fn frame(&mut self, kind: u8, flags: u8, payload: &[u8]) {
        self.frames.extend(&(payload.len() as u32).to_be_bytes()[1..]);
        self.frames.extend([kind, flags]);
        self.frames.extend(self.next_stream.to_be_bytes());
        self.frames.extend(payload);
    }
}

/// A connection, and the calls that are to be sent over it, in records of at most so many bytes.
async fn records(
    authority: &TestAuthority,
    server: &TestServer,
    messages: &[Vec<u8>],
    record_bytes_max: usize,
) -> (TcpStream, Vec<u8>) {
    let tls = authority.shakes_hands(server.address(), rustls::ALL_VERSIONS, &["h2"]);
    let (socket, mut client) = tls.await.unwrap().into_inner();
    let mut calls = RawCalls::new();
    messages.iter().for_each(|message| calls.call(message));
    let mut records = Vec::new();
    for part in calls.frames.chunks(record_bytes_max) {
        client.writer().write_all(part).unwrap();
        client.write_tls(&mut records).unwrap();
    }
    (socket, records)
}

/// Sends all, and drops what is answered.
async fn sent(mut socket: TcpStream, records: Vec<u8>) {
    let (mut answers, mut requests) = socket.split();
    let mut dropped = sink();
    let (sent, answered) =
        tokio::join!(requests.write_all(&records), copy(&mut answers, &mut dropped));
    sent.expect("the server takes all");
    answered.expect("the connection stays open");
}
