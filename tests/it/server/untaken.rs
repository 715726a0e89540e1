//! Answers that their client does not take: their bytes are limited, and the connection is closed
//! when it takes nothing for too long.

use std::time::Duration;

use prost::Message as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::Code;
use whimbrel::api::v1::NewsFeedRequest;
use whimbrel::config::Limits;

use super::pacing::call_without_a_message;
use crate::api::bad_input::publish;
use crate::harness::wire::{NEWS_FEED, PUBLISH, Wire, frame};
use crate::harness::{TestServer, refused, within};

/// Eight thousand errors, which is the least that exceeds a limit, take half a minute unoptimised.
const ERRORS_TIME_MAX: Duration = Duration::from_secs(180);
/// Pages of so many bytes, about.
const PAGE_BYTES: usize = 300_000;

/// A server whose reader has a large page.
async fn server(change: impl FnOnce(&mut Limits)) -> TestServer {
    let server = TestServer::limited(|limits| {
        limits.unsent_answer_bytes_per_connection_max = 16 << 20;
        limits.unsent_answer_bytes_max = 64 << 20;
        change(limits);
    })
    .await;
    let text = "\u{1f426}\u{200d}\u{2b1b}".repeat(300);
    let mut posts = JoinSet::new();
    for _ in 0..100 {
        let (user, text) = (server.user("reader"), text.clone());
        posts.spawn(async move { user.publishes(&text).await });
    }
    within("the posts", posts.join_all()).await;
    server
}

fn page() -> Vec<u8> {
    page_of(100)
}

fn page_of(page_size: i32) -> Vec<u8> {
    let user_id = "reader".to_owned();
    NewsFeedRequest { user_id, page_size, ..NewsFeedRequest::default() }.encode_to_vec()
}

/// A unary answer that is not taken stalls its connection, as a stream does; however small it is.
#[tokio::test]
async fn an_answer_that_is_not_taken_stalls() {
    // Also on a busy machine the posts of the server are published by a client that takes its answers in
    // that time.
    let server = server(|limits| limits.stall_time_max = Duration::from_secs(2)).await;
    let good = Wire::connect(server.address()).await;
    for (path, message) in [(NEWS_FEED, page()), (PUBLISH, publish("hi"))] {
        let stalled = Wire::taking_only(server.address(), 1).await;
        let answer = stalled.leave_unread(path, &message).await;
        stalled.closed().await;
        drop(answer);
    }
    // A connection without an answer on its way is not stalled.
    good.call(PUBLISH, &[], frame(&publish("hi"))).await.expect("it is open");
}

/// Above the connection's share calls wait until answers are taken, and are refused if that takes too
/// long. Other connections are served.
#[tokio::test]
async fn a_call_waits_until_answers_are_taken() {
    let server = server(|limits| limits.call_time_max = Duration::from_millis(500)).await;
    let wire = Wire::taking_only(server.address(), 1).await;
    // An eighth of the limit, and one more.
    let mut untaken = Vec::new();
    for _ in 0..(2 << 20) / PAGE_BYTES + 1 {
        untaken.push(wire.leave_unread(NEWS_FEED, &page()).await);
    }
    let refusal = within("a refusal", wire.answer(NEWS_FEED, &[], frame(&page()))).await;
    refused(refusal.expect("the connection is open"))
        .with(Code::ResourceExhausted, "OVERLOADED")
        .for_quota_of("answers of the connection")
        .with_a_delay();
    let other = Wire::connect(server.address()).await;
    other.call(NEWS_FEED, &[], frame(&page_of(2))).await.expect("another connection is served");

    // Their streams are reset.
    untaken.clear();
    wire.leave_unread(NEWS_FEED, &page()).await;
}

/// Above the limit of all the connection that holds most is closed, and no other.
#[tokio::test]
async fn the_connection_that_holds_most_is_closed() {
    let server = server(|limits| {
        limits.unsent_answer_bytes_per_connection_max = 64 << 20;
        limits.unsent_answer_bytes_max = 16 << 20;
        limits.stall_time_max = Duration::from_secs(3_600);
    })
    .await;
    let good = Wire::connect(server.address()).await;
    // 7.5 MB, and three times 3.6 MB: without the first, the others are far below the limit.
    let mut holding = Vec::new();
    for pages in [25, 12, 12, 12] {
        let wire = Wire::taking_only(server.address(), 1).await;
        let mut untaken = Vec::new();
        for _ in 0..pages {
            untaken.push(wire.leave_unread(NEWS_FEED, &page()).await);
        }
        holding.push((wire, untaken));
    }
    let (largest, _untaken) = holding.remove(0);
    largest.closed().await;
    for (wire, _) in &holding {
        wire.leave_unread(NEWS_FEED, &page_of(1)).await;
    }
    good.call(NEWS_FEED, &[], frame(&page_of(2))).await.expect("a good call succeeds");
}

/// Errors without a body are answers as well: a client that makes many of them and takes none is closed.
#[tokio::test]
async fn errors_that_nobody_takes_close_their_connection() {
    let server = TestServer::limited(|limits| {
        limits.unsent_answer_bytes_per_connection_max = 16 << 20;
        limits.stall_time_max = Duration::from_secs(3_600);
        // More than fit.
        limits.streams_per_connection_max = 1 << 14;
    })
    .await;
    let good = Wire::connect(server.address()).await;
    let socket = TcpSocket::new_v4().unwrap();
    // So that the kernel takes few of them for the client.
    socket.set_recv_buffer_size(1_024).unwrap();
    let mut hostile = socket.connect(server.address()).await.unwrap();
    hostile.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let headers = call_without_a_message();
    let sends = async {
        for stream in (1_u32..).step_by(2) {
            let length = headers.len() as u8;
            // HEADERS, with the flags END_STREAM and END_HEADERS.
            let head = [&[0, 0, length, 1, 5][..], &stream.to_be_bytes()].concat();
            if hostile.write_all(&[&head[..], &headers].concat()).await.is_err() {
                return;
            }
        }
    };
    timeout(ERRORS_TIME_MAX, sends).await.expect("the server closes the connection");
    good.call(NEWS_FEED, &[], frame(&page_of(2))).await.expect("another connection is served");
}
