//! Connections: silent ones, too many of them, and a machine without free sockets.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use whimbrel::client::Client;

use crate::api::bad_input::publish;
use crate::harness::wire::{PUBLISH, Wire, frame};
use crate::harness::{TestServer, eventually, within};
use crate::server::process::ServerProcess;

/// The connection preface of HTTP/2.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection that sends nothing, or only a part of the preface, is closed after a while.
/// Connections in use stay.
#[tokio::test]
async fn a_silent_connection_is_closed() {
    let server =
        TestServer::limited(|limits| limits.preface_time_max = Duration::from_millis(50)).await;
    let good = Wire::connect(server.address()).await;
    good.call(PUBLISH, &[], frame(&publish("before"))).await.expect("the call succeeds");
    for sent in [&b""[..], &PREFACE[..1], &PREFACE[..PREFACE.len() - 1]] {
        let mut silent = TcpStream::connect(server.address()).await.unwrap();
        silent.write_all(sent).await.unwrap();
        closed(silent).await;
    }
    good.call(PUBLISH, &[], frame(&publish("after"))).await.expect("the call succeeds");
}

/// An unknown protocol is closed at once.
#[tokio::test]
async fn another_protocol_is_closed_at_once() {
    let server =
        TestServer::limited(|limits| limits.preface_time_max = Duration::from_secs(3_600)).await;
    for sent in [&b"hello"[..], b"\x16\x03\x01", b"PRI * HTTP/2.0\n"] {
        let mut other = TcpStream::connect(server.address()).await.unwrap();
        other.write_all(sent).await.unwrap();
        closed(other).await;
    }
}

/// The preface may arrive in pieces.
#[tokio::test]
async fn a_preface_may_arrive_in_pieces() {
    let server = TestServer::start().await;
    let mut slow = TcpStream::connect(server.address()).await.unwrap();
    slow.set_nodelay(true).unwrap();
    for byte in PREFACE {
        slow.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    // An empty SETTINGS frame, and the server's own in response.
    slow.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    let mut answer = [0; 9];
    within("the server's settings", slow.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer[3], 4);
}

/// The limit of connections per address: connections of other addresses do not count.
#[tokio::test]
async fn connections_of_one_address_are_limited() {
    let server = TestServer::limited(|limits| limits.connections_per_address_max = 2).await;
    let first = calls_from(1, server.address()).await.expect("there is a free slot");
    let second = calls_from(1, server.address()).await.expect("there is a free slot");
    assert!(calls_from(1, server.address()).await.is_none(), "a third was accepted");
    let other = calls_from(2, server.address()).await.expect("another address has room");

    drop(first);
    eventually("the slot to be free", async || calls_from(1, server.address()).await).await;
    still_works(&second).await;
    still_works(&other).await;
}

/// The limit of connections of all addresses.
#[tokio::test]
async fn connections_of_the_server_are_limited() {
    let server = TestServer::limited(|limits| limits.connections_max = 2).await;
    let first = calls_from(1, server.address()).await.expect("there is a free slot");
    let second = calls_from(2, server.address()).await.expect("there is a free slot");
    assert!(calls_from(3, server.address()).await.is_none(), "a third was accepted");

    drop(first);
    eventually("the slot to be free", async || calls_from(3, server.address()).await).await;
    still_works(&second).await;
}

/// Without free file descriptors the server waits and logs it. Connected clients are served
/// meanwhile, and new ones later.
#[tokio::test]
async fn a_server_without_free_descriptors_waits() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start_with_few_files(folder.path(), 64, Some(200));
    let address = server.address().to_string();
    let inside = Client::connect(&address).await.unwrap();
    inside.check_health().await.unwrap();
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(within("a connection", TcpStream::connect(server.address())).await.unwrap());
    }
    inside.check_health().await.expect("a connected client is served");
    // The last of them are not accepted yet.
    let outside = TcpStream::connect(server.address()).await.unwrap();
    drop(crowd);
    drop(outside);
    let fresh = within("a connection", Client::connect(&address)).await.unwrap();
    within("an answer", fresh.check_health()).await.unwrap();

    let (code, output) = server.terminated().await;
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("fewer files may be open than connections"), "{output}");
    assert!(output.contains("cannot accept a connection"), "{output}");
}

/// Without a limit of connections the server takes as many as files may be open, besides its own.
#[tokio::test]
async fn connections_fit_the_limit_of_open_files() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start_with_few_files(folder.path(), 103, None);
    let mut taken = Vec::new();
    for _ in 0..3 {
        taken.push(calls_from(1, server.address()).await.expect("there is a free slot"));
    }
    assert!(calls_from(1, server.address()).await.is_none(), "a fourth was accepted");
    for wire in &taken {
        still_works(wire).await;
    }
    let (code, output) = server.terminated().await;
    assert_eq!(code, Some(0), "{output}");
    assert!(!output.contains("fewer files may be open"), "{output}");
}

/// The server raises its limit of open files itself, as far as it may.
#[tokio::test]
async fn a_low_limit_of_open_files_is_raised() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start_with_few_files_at_first(folder.path(), 64);
    let mut crowd = Vec::new();
    for _ in 0..100 {
        let client = Client::connect(&server.address().to_string()).await.unwrap();
        within("an answer", client.check_health()).await.unwrap();
        crowd.push(client);
    }
    drop(crowd);
    let (code, output) = server.terminated().await;
    assert_eq!((code, &*output), (Some(0), ""));
}

/// A flood of refusals makes one or two lines in the log.
#[tokio::test]
async fn refusals_do_not_flood_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start_for_few(folder.path(), 1);
    let inside = Client::connect(&server.address().to_string()).await.unwrap();
    inside.check_health().await.unwrap();
    for _ in 0..200 {
        closed(TcpStream::connect(server.address()).await.unwrap()).await;
    }
    inside.check_health().await.expect("a connected client is served");

    let (code, output) = server.terminated().await;
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("refused a connection from 127.0.0.1"), "{output}");
    assert!(output.lines().count() < 20, "{output}");
}

/// A connection from 127.0.0.`host` with an answered call; `None` if it was refused.
async fn calls_from(host: u8, to: SocketAddr) -> Option<Wire> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, host], 0).into()).unwrap();
    let socket = within("the machine to connect", socket.connect(to)).await.unwrap();
    let wire = Wire::over(socket, to).await?;
    let answer = wire.answer(PUBLISH, &[], frame(&publish("hi"))).await.ok()?;
    answer.expect("the call succeeds");
    Some(wire)
}

async fn still_works(wire: &Wire) {
    wire.call(PUBLISH, &[], frame(&publish("hi"))).await.expect("the call succeeds");
}

/// Waits until the server has closed `socket`.
async fn closed(mut socket: TcpStream) {
    let mut rest = Vec::new();
    // It may be a reset, as the server has not read everything.
    let _ = within("the server to close it", socket.read_to_end(&mut rest)).await;
}
