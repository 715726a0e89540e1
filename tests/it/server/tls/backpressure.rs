//! Clients that read late, over TLS: what the kernel had no room for is sent when it has.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use prost::Message as _;
use tokio::task::JoinSet;
use tokio::time::timeout;
use whimbrel::api::v1::{NewsFeedRequest, NewsFeedResponse, PublishRequest};

use super::server_of;
use crate::harness::tls::TestAuthority;
use crate::harness::wire::frame;
use crate::harness::{Gate, TestServer, eventually, within};

/// Looks without a change after which the server is taken to write no more. Too few of them make the
/// test find less, and never fail.
const LOOKS: usize = 20;
/// Less than the interval of the server's PINGs, each of which would send what is left.
const UNTIL_PING_MAX: Duration = Duration::from_secs(25);

/// A feed of `POSTS` posts of 2,500 bytes, and a reader of it behind a gate.
struct LateReader<const POSTS: usize> {
    authority: TestAuthority,
    server: TestServer,
    gate: Gate,
    send: SendRequest<Bytes>,
    responses: Vec<ResponseFuture>,
    _driver: JoinSet<Result<(), h2::Error>>,
}

fn text(number: usize) -> String {
    // A grapheme of 25 bytes.
    let family = "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466}";
    format!("{number} {}", family.repeat(100))
}

impl<const POSTS: usize> LateReader<POSTS> {
    async fn new() -> Self {
        let authority = TestAuthority::new();
        let server = server_of(&authority).await;
        let client = authority.connects(server.address()).await.unwrap();
        for number in 0..POSTS {
            let (user_id, text) = ("bob".to_owned(), text(number));
            client.publish(PublishRequest { user_id, text, ..Default::default() }).await.unwrap();
        }
        let gate = Gate::before(server.address()).await;
        let stream = authority.shakes_hands(gate.address(), rustls::ALL_VERSIONS, &["h2"]).await;
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 30);
        let (send, connection) = builder.handshake(stream.unwrap()).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Self { authority, server, gate, send, responses: Vec::new(), _driver: driver }
    }

    /// Asks for the page, and does not wait for it.
    async fn asks(&mut self) {
        let request = NewsFeedRequest {
            user_id: "bob".to_owned(),
            page_size: POSTS as i32,
            ..Default::default()
        };
        let head = http::Request::post("https://localhost/whimbrel.v1.FeedService/NewsFeed")
            .header("content-type", "application/grpc")
            .body(());
        let mut ready = self.send.clone().ready().await.unwrap();
        let (response, mut sending) = ready.send_request(head.unwrap(), false).unwrap();
        sending.send_data(frame(&request.encode_to_vec()), true).unwrap();
        self.responses.push(response);
    }

    /// Reads all pages, which must be whole.
    async fn reads_all(&mut self) {
        let expected: Vec<_> = (0..POSTS).rev().map(text).collect();
        for response in self.responses.drain(..) {
            let mut body = within("a response", response).await.unwrap().into_body();
            let mut content = Vec::new();
            while let Some(part) = within("more of it", body.data()).await {
                let part = part.unwrap();
                body.flow_control().release_capacity(part.len()).unwrap();
                content.extend_from_slice(&part);
            }
            let page = NewsFeedResponse::decode(&content[5..]).unwrap();
            let texts: Vec<_> =
                page.items.into_iter().map(|item| item.post.unwrap().text).collect();
            assert!(texts == expected, "a page is not as it was written");
        }
    }

    /// Bytes in the kernel that were sent to readers, and bytes that were not yet. A byte that was
    /// not acknowledged yet is among both.
    fn queued_bytes(&self) -> [u64; 2] {
        let port = format!(":{:04X}", self.server.address().port());
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
        let own = rows.filter(|row| row[1].ends_with(&port) || row[2].ends_with(&port));
        own.fold([0, 0], |[received, unsent], row| {
            let (sending, receiving) = row[4].split_once(':').unwrap();
            let bytes = |digits| u64::from_str_radix(digits, 16).unwrap();
            [received + bytes(receiving), unsent + bytes(sending)]
        })
    }

    /// Bytes in the kernel once readers have been sent `enough`, or no more come.
    async fn queued_at_last(&self, enough: u64) -> u64 {
        let (mut last, mut looks) = ([0, 0], 0);
        eventually("the server to write, or to wait", async || {
            let queued = self.queued_bytes();
            looks = if queued == last { looks + 1 } else { 0 };
            last = queued;
            (queued[0] >= enough || looks == LOOKS).then_some(queued.iter().sum())
        })
        .await
    }
}

/// Responses that are far larger than the kernel takes at once arrive whole, and in order.
#[tokio::test]
async fn nothing_is_lost_when_a_client_reads_late() {
    let mut reader = LateReader::<100>::new().await;
    let other = reader.authority.connects(reader.server.address()).await.unwrap();
    reader.gate.hold();
    for _ in 0..90 {
        reader.asks().await;
        other.check_health().await.expect("others are served");
    }
    reader.gate.release();
    reader.reads_all().await;
}

/// The end of what was written is sent by itself when the kernel has room again, although nothing
/// is written after it.
#[tokio::test]
async fn the_last_bytes_are_sent_when_there_is_room_again() {
    let mut reader = LateReader::<20>::new().await;
    reader.gate.hold();
    reader.asks().await;
    let first = reader.queued_at_last(u64::MAX).await;
    reader.asks().await;
    let mut expected = reader.queued_at_last(u64::MAX).await;
    // The head of the first one was longer.
    let page_bytes = expected - first;
    loop {
        reader.asks().await;
        expected += page_bytes;
        if reader.queued_at_last(expected).await < expected {
            break;
        }
    }
    reader.gate.release();
    timeout(UNTIL_PING_MAX, reader.reads_all()).await.expect("all is sent without a PING");
}
