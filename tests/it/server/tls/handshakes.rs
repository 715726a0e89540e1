//! Handshakes that do not end: they keep nobody from calling, and nobody from connecting.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::api::bad_input::publish;
use crate::harness::tls::TestAuthority;
use crate::harness::wire::{PUBLISH, Wire, frame};
use crate::harness::{Setup, TestServer, within};

/// The beginning of a ClientHello: its record has 512 bytes.
const HALF_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03half of it";

/// Starts a handshake with `server`, and sends no more than `sent`.
async fn begins(server: &TestServer, sent: &[u8]) -> TcpStream {
    begins_from([127, 0, 0, 1], server, sent).await
}

/// The same, from this address of the machine.
async fn begins_from(address: [u8; 4], server: &TestServer, sent: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address, 0).into()).unwrap();
    let mut socket = socket.connect(server.address()).await.unwrap();
    socket.write_all(sent).await.unwrap();
    socket
}

async fn closed(mut socket: TcpStream) {
    let mut rest = Vec::new();
    // Bytes that the server did not read may make a reset of the close.
    let _ = within("the server to close", socket.read_to_end(&mut rest)).await;
}

async fn calls(authority: &TestAuthority, server: &TestServer) {
    let stream = authority.shakes_hands(server.address(), rustls::ALL_VERSIONS, &["h2"]).await;
    let wire = Wire::over(stream.unwrap(), server.address()).await.unwrap();
    wire.call(PUBLISH, &[], frame(&publish("hi"))).await.expect("the call succeeds");
}

/// Hundreds of clients who stop in the middle of a handshake delay no call and no connection.
#[tokio::test]
async fn unfinished_handshakes_delay_nobody() {
    let authority = TestAuthority::new();
    let transport = authority.signs_server().transport();
    let limits = |limits: &mut whimbrel::config::Limits| {
        limits.handshake_time_max = Duration::from_secs(3_600);
    };
    let server = Setup::new().limits(limits).transport(transport).start().await;
    let stream = authority.shakes_hands(server.address(), rustls::ALL_VERSIONS, &["h2"]).await;
    let open = Wire::over(stream.unwrap(), server.address()).await.unwrap();
    let mut unfinished = Vec::new();
    for number in 0..300 {
        let sent = [&b""[..], &HALF_HELLO[..1], HALF_HELLO][number % 3];
        unfinished.push(begins(&server, sent).await);
        if number % 10 == 0 {
            open.call(PUBLISH, &[], frame(&publish("hi"))).await.expect("the call succeeds");
            calls(&authority, &server).await;
        }
    }
    drop(unfinished);
}

/// A handshake that takes too long is ended.
#[tokio::test]
async fn a_handshake_that_takes_too_long_is_ended() {
    let authority = TestAuthority::new();
    let transport = authority.signs_server().transport();
    let limits = |limits: &mut whimbrel::config::Limits| {
        limits.handshake_time_max = Duration::from_millis(50);
    };
    let server = Setup::new().limits(limits).transport(transport).start().await;
    for sent in [&b""[..], &HALF_HELLO[..1], HALF_HELLO, b"PRI * HTTP"] {
        closed(begins(&server, sent).await).await;
    }
}

/// When there are too many, the oldest one is ended for a new one: who never ends theirs keep
/// nobody out.
#[tokio::test]
async fn the_oldest_of_too_many_handshakes_is_ended() {
    let authority = TestAuthority::new();
    let transport = authority.signs_server().transport();
    let limits = |limits: &mut whimbrel::config::Limits| {
        limits.handshake_time_max = Duration::from_secs(3_600);
        limits.handshakes_max = 2;
    };
    let server = Setup::new().limits(limits).transport(transport).start().await;
    let first = begins(&server, HALF_HELLO).await;
    let second = begins(&server, b"").await;
    calls(&authority, &server).await;
    closed(first).await;
    let _third = begins(&server, HALF_HELLO).await;
    calls(&authority, &server).await;
    closed(second).await;
}

/// The one that is ended is of the address with most of them: who begins many ends their own, and not
/// those of others, however old these are.
#[tokio::test]
async fn the_handshake_that_is_ended_is_of_the_address_with_most() {
    let authority = TestAuthority::new();
    let transport = authority.signs_server().transport();
    let limits = |limits: &mut whimbrel::config::Limits| {
        limits.handshake_time_max = Duration::from_secs(3_600);
        limits.handshakes_max = 4;
    };
    let server = Setup::new().limits(limits).transport(transport).start().await;
    let mut slow = begins_from([127, 0, 0, 2], &server, HALF_HELLO).await;
    let mut many = VecDeque::new();
    for _ in 0..20 {
        many.push_back(begins(&server, HALF_HELLO).await);
        if many.len() > 3 {
            closed(many.pop_front().unwrap()).await;
        }
    }
    let open = tokio::time::timeout(Duration::ZERO, slow.read(&mut [0])).await;
    assert!(open.is_err(), "the slow one of another address was ended: {open:?}");
    calls(&authority, &server).await;
}
