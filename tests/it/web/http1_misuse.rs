//! HTTP/1.1 as careless and hostile clients speak it: heads and bodies that do not end, that are too large or that
//! contradict themselves, and answers that nobody takes. Each ends in an error or a closed connection, and other
//! callers are served.

use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::interval;

use super::{FOLLOW, NEWS_FEED, VERSIONS, http};
use crate::harness::{TestServer, within};

const BODY: &str = r#"{"userId":"alice"}"#;
/// More than a buffer of a connection, and less than the server reads of a request that it has refused.
const LARGE_BYTES: usize = 900_000;

async fn hasty() -> TestServer {
    TestServer::limited(|limits| {
        limits.preface_time_max = Duration::from_millis(100);
        limits.request_time_max = Duration::from_millis(100);
    })
    .await
}

async fn connect(server: &TestServer) -> TcpStream {
    TcpStream::connect(server.address()).await.expect("it listens")
}

/// A request with these further lines in its head, and a body.
fn post(path: &str, lines: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{lines}\r\n{body}"
    )
}

/// A call that is answered at once.
fn good(lines: &str) -> String {
    post(NEWS_FEED, &format!("Content-Length: {}\r\n{lines}", BODY.len()), BODY)
}

/// All that the server answers to `bytes`, until it closes.
async fn answers_to(server: &TestServer, bytes: &str) -> String {
    let mut socket = connect(server).await;
    within("the request to be taken", socket.write_all(bytes.as_bytes()))
        .await
        .expect("it is read");
    rest(&mut socket).await
}

/// Reads until the server closes.
async fn rest(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    within("the server to close", socket.read_to_end(&mut bytes)).await.expect("no reset");
    String::from_utf8(bytes).expect("a text")
}

/// The statuses of the answers in `text`.
fn statuses(text: &str) -> Vec<u16> {
    let begins = text.split("HTTP/1.1 ").skip(1);
    begins.map(|answer| answer[..3].parse().expect("a status")).collect()
}

/// Another caller is answered.
async fn serves_others(server: &TestServer) {
    for version in VERSIONS {
        let mut http = http(server, version).await;
        let headers = [("content-type", "application/json")];
        let answer = http.send("POST", NEWS_FEED, &headers, BODY).await;
        assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    }
}

/// The time of a head is that of all of it, and not of each byte.
#[tokio::test]
async fn a_head_that_comes_a_byte_at_a_time_has_no_more_time() {
    let server = hasty().await;
    let (mut reads, mut writes) = connect(&server).await.into_split();
    let dripping = async {
        let mut ticks = interval(Duration::from_millis(5));
        let begins = format!("POST {NEWS_FEED} HTTP/1.1\r\nX: ");
        for byte in begins.bytes().chain(std::iter::repeat(b'x')) {
            ticks.tick().await;
            if writes.write_all(&[byte]).await.is_err() {
                break;
            }
        }
    };
    let closed = async {
        let mut bytes = Vec::new();
        // The connection may be reset, as its client still sends.
        drop(reads.read_to_end(&mut bytes).await);
    };
    within("the server to close", async {
        tokio::select! {
            () = dripping => {}
            () = closed => {}
        }
    })
    .await;
    serves_others(&server).await;
}

/// A body that was announced and does not come, whole or in part.
#[tokio::test]
async fn a_body_that_does_not_come_is_refused() {
    let server = hasty().await;
    for (lines, part) in [
        ("Content-Length: 18\r\n", ""),
        ("Content-Length: 18\r\n", "{\"user"),
        ("Transfer-Encoding: chunked\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", "6\r\n{\"user"),
        ("Transfer-Encoding: chunked\r\n", "6\r\n{\"user\r\n"),
    ] {
        let answer = answers_to(&server, &post(NEWS_FEED, lines, part)).await;
        assert!(answer.starts_with("HTTP/1.1 504 "), "{lines}{part}: {answer}");
        assert!(answer.contains("DEADLINE_EXCEEDED"), "{answer}");
    }
    serves_others(&server).await;
}

/// What is too large is refused with its limit, however its length is given, and changes nothing.
#[tokio::test]
async fn a_body_above_the_limit_is_refused() {
    let server = TestServer::limited(|limits| limits.request_bytes_max = 1_024).await;
    let body = format!(r#"{{"userId":"alice","followeeId":"{}"}}"#, "b".repeat(2_000));
    let close = "Connection: close\r\n";
    let length = format!("{close}Content-Length: {}\r\n", body.len());
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let chunked = format!("{close}Transfer-Encoding: chunked\r\n");
    for request in [post(FOLLOW, &length, &body), post(FOLLOW, &chunked, &chunks)] {
        let answer = server.unchanged_by(answers_to(&server, &request)).await;
        assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
        assert!(answer.contains("MESSAGE_TOO_LARGE"), "{answer}");
    }
    // A length that no message has is not waited for.
    let endless = format!("{close}Content-Length: {}\r\n", u64::MAX / 4);
    let mut socket = connect(&server).await;
    socket.write_all(post(FOLLOW, &endless, &body).as_bytes()).await.expect("it is read");
    let answer = rest(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    serves_others(&server).await;
}

/// A request that is refused by its head is read to its end, so that its client gets the answer, and may use the
/// connection on.
#[tokio::test]
async fn a_refused_request_leaves_its_connection_usable() {
    let server = TestServer::start().await;
    let body = format!(r#"{{"userId":"{}"}}"#, "a".repeat(LARGE_BYTES));
    let length = format!("Content-Length: {}\r\n", body.len());
    let of_other_type = post(NEWS_FEED, &length, &body).replace("application/json", "text/xml");
    let too_large = post(NEWS_FEED, &length, &body);
    for (request, status) in [(of_other_type, 415), (too_large, 429)] {
        let requests = format!("{request}{}", good("Connection: close\r\n"));
        let answers = answers_to(&server, &requests).await;
        assert_eq!(statuses(&answers), [status, 200], "{answers}");
    }
}

/// A client that asks before it sends is refused at once, and sends nothing.
#[tokio::test]
async fn who_asks_before_the_body_is_refused_without_it() {
    let server = TestServer::limited(|limits| {
        // Longer than the test waits.
        limits.request_time_max = Duration::from_secs(3_600);
    })
    .await;
    let lines = "Expect: 100-continue\r\nConnection: close\r\nContent-Length: 18\r\n";
    let request = post(NEWS_FEED, lines, "").replace("application/json", "text/xml");
    let answers = answers_to(&server, &request).await;
    assert_eq!(statuses(&answers), [415], "{answers}");
    // And to go on otherwise.
    let mut socket = connect(&server).await;
    socket.write_all(post(NEWS_FEED, lines, "").as_bytes()).await.expect("it is read");
    let mut first = [0; 12];
    within("an answer", socket.read_exact(&mut first)).await.expect("it answers");
    assert_eq!(&first, b"HTTP/1.1 100");
    socket.write_all(BODY.as_bytes()).await.expect("it is read");
    assert_eq!(statuses(&rest(&mut socket).await), [200]);
}

/// Two lengths that contradict each other: no second request is found in the body of the first, whichever of
/// them a proxy goes by.
#[tokio::test]
async fn two_lengths_smuggle_nothing() {
    let server = TestServer::start().await;
    let follow = r#"{"userId":"alice","followeeId":"bob"}"#;
    let hidden = post(FOLLOW, &format!("Content-Length: {}\r\n", follow.len()), follow);
    let body = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n{hidden}", BODY.len());
    let length = format!("Content-Length: {}\r\n", body.len());
    let chunked = "Transfer-Encoding: chunked\r\n";
    for lines in [format!("{length}{chunked}"), format!("{chunked}{length}")] {
        let request = post(NEWS_FEED, &lines, &body);
        let answers = server.unchanged_by(answers_to(&server, &request));
        // By the chunks; then the connection is closed (RFC 9112, section 6.3).
        assert_eq!(statuses(&answers.await), [200], "{lines}");
    }
    for lines in [
        format!("{length}Content-Length: 1\r\n"),
        "Content-Length: +18\r\n".to_owned(),
        "Transfer-Encoding: gzip\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
    ] {
        let request = post(NEWS_FEED, &lines, &body);
        let answers = server.unchanged_by(answers_to(&server, &request));
        assert_eq!(statuses(&answers.await), [400], "{lines}");
    }
    serves_others(&server).await;
}

/// Requests that are sent at once are answered one after the other, each with its own answer.
#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    const REQUESTS: usize = 500;
    let server = TestServer::start().await;
    let mut requests = String::new();
    for number in 0..REQUESTS {
        let close = if number + 1 == REQUESTS { "Connection: close\r\n" } else { "" };
        requests += &good(&format!("X-Request-Id: number-{number:0>25}\r\n{close}"));
    }
    let (mut reads, mut writes) = connect(&server).await.into_split();
    let mut bytes = Vec::new();
    let (sent, read) = within("all answers", async {
        tokio::join!(writes.write_all(requests.as_bytes()), reads.read_to_end(&mut bytes))
    })
    .await;
    sent.expect("all is read");
    read.expect("no reset");
    let answers = String::from_utf8(bytes).expect("a text");
    assert_eq!(statuses(&answers), [200; REQUESTS]);
    let ids: Vec<_> = answers.lines().filter_map(|it| it.strip_prefix("x-request-id: ")).collect();
    let expected: Vec<_> = (0..REQUESTS).map(|number| format!("number-{number:0>25}")).collect();
    assert_eq!(ids, expected);
}

/// Heads with too many lines, and with lines that are too long.
#[tokio::test]
async fn a_head_above_the_limit_is_refused() {
    let server = TestServer::start().await;
    let many: String = (0..200).map(|number| format!("X-{number}: x\r\n")).collect();
    let long = format!("X: {}\r\n", "x".repeat(20_000));
    for lines in [many, long] {
        let answer = answers_to(&server, &post(NEWS_FEED, &lines, "")).await;
        assert_eq!(statuses(&answer), [431], "{answer}");
    }
    serves_others(&server).await;
}

/// A page that opens a stream of events and reads nothing is disconnected, as one of gRPC.
#[tokio::test]
async fn a_stream_that_nobody_reads_stalls() {
    let server = TestServer::limited(|limits| limits.stall_time_max = Duration::from_secs(2)).await;
    server.user("alice").follows("bob").await;
    // As little as the system allows, so that not much has to be sent.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(1).expect("it is set");
    let mut socket = socket.connect(server.address()).await.expect("it listens");
    let request = "GET /v1/feeds/alice/events HTTP/1.1\r\nHost: x\r\n\r\n";
    socket.write_all(request.as_bytes()).await.expect("it is read");
    let mut first = [0; 12];
    within("the stream", socket.read_exact(&mut first)).await.expect("it is opened");
    assert_eq!(&first, b"HTTP/1.1 200");
    let text = "\u{1f426}\u{200d}\u{2b1b}".repeat(300);
    within("the server to close", async {
        // Until the client, which reads nothing, learns that it was closed.
        while socket.write_all(b"\r\n").await.is_ok() {
            server.user("bob").publishes(&text).await;
        }
    })
    .await;
    serves_others(&server).await;
}

/// A client that says that it sends no more has its connection ended, and is no harm to others.
#[tokio::test]
async fn a_client_that_sends_no_more_ends_its_connection() {
    let server = TestServer::start().await;
    for request in [good(""), "GET /v1/feeds/alice/events HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()] {
        let mut socket = connect(&server).await;
        socket.write_all(request.as_bytes()).await.expect("it is read");
        socket.shutdown().await.expect("it is open");
        rest(&mut socket).await;
    }
    serves_others(&server).await;
}
