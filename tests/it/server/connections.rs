//! Who may connect, and how long a connection may take to begin: those that say nothing, too many
//! of them, and a machine that has no more sockets to give.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use whimbrel::client::Client;

use crate::api::bad_input::publish;
use crate::harness::wire::{PUBLISH, Wire, frame};
use crate::harness::{TestServer, eventually, within};
use crate::server::process::ServerProcess;

/// What an HTTP/2 client begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection that says nothing, or breaks off in the middle of the first words, is closed after
/// a while; one that was there before and spoke is not.
#[tokio::test]
async fn a_silent_connection_is_closed() {
    let server =
        TestServer::limited(|limits| limits.preface_time_max = Duration::from_millis(50)).await;
    let good = Wire::connect(server.address()).await;
    good.call(PUBLISH, &[], frame(&publish("before"))).await.expect("it is taken");
    for said in [&b""[..], &PREFACE[..1], &PREFACE[..PREFACE.len() - 1]] {
        let mut silent = TcpStream::connect(server.address()).await.unwrap();
        silent.write_all(said).await.unwrap();
        closed(silent).await;
    }
    good.call(PUBLISH, &[], frame(&publish("after"))).await.expect("it is taken");
}

/// What is no HTTP/2 is closed at once.
#[tokio::test]
async fn another_protocol_is_closed_at_once() {
    let server =
        TestServer::limited(|limits| limits.preface_time_max = Duration::from_secs(3_600)).await;
    for said in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01", b"PRI * HTTP/1.1"] {
        let mut other = TcpStream::connect(server.address()).await.unwrap();
        other.write_all(said).await.unwrap();
        closed(other).await;
    }
}

/// The first words may come in pieces.
#[tokio::test]
async fn a_slow_beginning_is_no_fault() {
    let server = TestServer::start().await;
    let mut slow = TcpStream::connect(server.address()).await.unwrap();
    slow.set_nodelay(true).unwrap();
    for byte in PREFACE {
        slow.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    // An empty SETTINGS frame, and the server's own in return.
    slow.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    let mut answer = [0; 9];
    within("the server's settings", slow.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer[3], 4);
}

/// One address has so many connections, and another's do not count.
#[tokio::test]
async fn connections_of_one_address_are_limited() {
    let server = TestServer::limited(|limits| limits.connections_per_address_max = 2).await;
    let first = calls_from(1, server.address()).await.expect("there is room");
    let second = calls_from(1, server.address()).await.expect("there is room");
    assert!(calls_from(1, server.address()).await.is_none(), "a third was taken");
    let other = calls_from(2, server.address()).await.expect("another address has room");

    drop(first);
    eventually("the place to be free", async || calls_from(1, server.address()).await).await;
    still_works(&second).await;
    still_works(&other).await;
}

/// All together have so many.
#[tokio::test]
async fn connections_of_all_are_limited() {
    let server = TestServer::limited(|limits| limits.connections_max = 2).await;
    let first = calls_from(1, server.address()).await.expect("there is room");
    let second = calls_from(2, server.address()).await.expect("there is room");
    assert!(calls_from(3, server.address()).await.is_none(), "a third was taken");

    drop(first);
    eventually("the place to be free", async || calls_from(3, server.address()).await).await;
    still_works(&second).await;
}

/// A machine that has no more files to give is waited for: who is connected is served meanwhile,
/// and so are new ones later. The log says it.
#[tokio::test]
async fn a_machine_without_sockets_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start_with_few_files(folder.path(), 64);
    let address = server.address().to_string();
    let inside = Client::connect(&address).await.unwrap();
    inside.check_health().await.unwrap();
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(within("a connection", TcpStream::connect(server.address())).await.unwrap());
    }
    inside.check_health().await.expect("who is inside is served");
    // The last of them wait outside.
    let outside = TcpStream::connect(server.address()).await.unwrap();
    drop(crowd);
    drop(outside);
    let anew = within("a connection", Client::connect(&address)).await.unwrap();
    within("an answer", anew.check_health()).await.unwrap();

    let (code, said) = server.terminated().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("cannot accept a connection"), "{said}");
}

/// Refusals are told in the log, and not each: a flood of them is a line or two.
#[tokio::test]
async fn refusals_do_not_flood_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start_for_few(folder.path(), 1);
    let inside = Client::connect(&server.address().to_string()).await.unwrap();
    inside.check_health().await.unwrap();
    for _ in 0..200 {
        closed(TcpStream::connect(server.address()).await.unwrap()).await;
    }
    inside.check_health().await.expect("who is inside is served");

    let (code, said) = server.terminated().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("refused a connection from 127.0.0.1"), "{said}");
    assert!(said.lines().count() < 20, "{said}");
}

/// A connection from 127.0.0.`host` over which a call was answered; `None` if it was refused.
async fn calls_from(host: u8, to: SocketAddr) -> Option<Wire> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, host], 0).into()).unwrap();
    let socket = within("the machine to connect", socket.connect(to)).await.unwrap();
    let wire = Wire::over(socket, to).await?;
    let answer = wire.answer(PUBLISH, &[], frame(&publish("hi"))).await.ok()?;
    answer.expect("it is taken");
    Some(wire)
}

async fn still_works(wire: &Wire) {
    wire.call(PUBLISH, &[], frame(&publish("hi"))).await.expect("it is taken");
}

/// Waits until the server has closed `socket`.
async fn closed(mut socket: TcpStream) {
    let mut said = Vec::new();
    // It may be reset where the server has not read all.
    let _ = within("the server to close it", socket.read_to_end(&mut said)).await;
}
