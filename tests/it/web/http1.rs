//! HTTP/1.1: how long a connection may say nothing, and how it ends.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{NEWS_FEED, events, http};
use crate::harness::{TestServer, within};

/// Reads until the server closes.
async fn rest(socket: &mut TcpStream) -> String {
    let mut text = String::new();
    within("the server to close", socket.read_to_string(&mut text)).await.expect("no reset");
    text
}

async fn hasty() -> TestServer {
    TestServer::limited(|limits| {
        limits.preface_time_max = Duration::from_millis(100);
        limits.request_time_max = Duration::from_millis(100);
    })
    .await
}

/// The head of a request that does not end, and a connection that makes no further call.
#[tokio::test]
async fn who_says_nothing_is_disconnected() {
    let server = hasty().await;
    let mut slow = TcpStream::connect(server.address()).await.unwrap();
    slow.write_all(format!("POST {NEWS_FEED} HTTP/1.1\r\nHost: x\r\n").as_bytes()).await.unwrap();
    rest(&mut slow).await;

    let mut idle = TcpStream::connect(server.address()).await.unwrap();
    let call = format!(
        "POST {NEWS_FEED} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: 18\r\n\r\n{}",
        r#"{"userId":"alice"}"#
    );
    idle.write_all(call.as_bytes()).await.unwrap();
    let answer = rest(&mut idle).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

/// The body of a request that does not end.
#[tokio::test]
async fn a_message_that_does_not_arrive_is_refused() {
    let server = hasty().await;
    let mut slow = TcpStream::connect(server.address()).await.unwrap();
    let call = format!(
        "POST {NEWS_FEED} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: 18\r\n\r\n{{\"userId\""
    );
    slow.write_all(call.as_bytes()).await.unwrap();
    let answer = rest(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 504 Gateway Timeout"), "{answer}");
    assert!(answer.contains("DEADLINE_EXCEEDED"), "{answer}");
}

/// A server that stops says so in each stream, and closes the connection. The browser asks the next one.
#[tokio::test]
async fn a_stop_ends_streams_with_their_cursor() {
    let mut server = TestServer::start().await;
    server.user("alice").follows("bob").await;
    let mut client = http(&server, ::http::Version::HTTP_11).await;
    let mut watching = events::of_alice(&mut client, None).await;
    server.user("bob").publishes("before the stop").await;
    let (texts, _) = watching.posts(1).await;
    assert_eq!(texts, ["before the stop"]);
    server.begin_to_stop();
    let closing = watching.until("closing").await;
    let last = closing.id.expect("a cursor");
    assert_eq!(watching.until("failure").await.data["code"], "unavailable");
    assert!(watching.next().await.is_none(), "the stream ends");

    server.restart().await;
    server.user("bob").publishes("after the stop").await;
    let mut client = http(&server, ::http::Version::HTTP_11).await;
    let mut resumed = events::of_alice(&mut client, Some(&last)).await;
    assert_eq!(resumed.posts(1).await.0, ["after the stop"]);
}
