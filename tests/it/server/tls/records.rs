//! Records of TLS that carry little: whoever sends many of them waits for turns, as whoever makes other
//! work does.

use std::io::Write as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use whimbrel::config::Limits;

use crate::api::bad_input::publish;
use crate::harness::tls::TestAuthority;
use crate::harness::wire::{PUBLISH, frame};
use crate::harness::{Setup, TestServer, within};
use crate::server::pacing::call_without_a_message;

/// Connections that send records of one byte.
const BUSY: usize = 3;
/// Bytes of the message that each of them sends: nearly as many as it may have.
const MESSAGE_BYTES: usize = 60_000;
/// Calls that another connection makes one after another meanwhile: more than twice as many as there would
/// be if a turn were of so many bytes as are read without TLS.
const CALLS_BETWEEN: usize = 40;

/// A call goes before the records of others, of which each byte has one.
#[tokio::test]
async fn a_call_goes_before_records_of_one_byte() {
    let authority = TestAuthority::new();
    let limits = |limits: &mut Limits| limits.worker_threads = 1;
    let transport = authority.signs_server().transport();
    let server = Setup::new().limits(limits).transport(transport).start().await;
    let good = authority.speaks(server.address(), None).await.unwrap();
    let mut busy = JoinSet::new();
    for _ in 0..BUSY {
        let (socket, records) = call_in_records(&authority, &server).await;
        busy.spawn(sent(socket, records));
    }
    let mut between = 0;
    while !busy.is_empty() {
        tokio::select! {
            ended = within("the end", busy.join_next()) => ended.unwrap().unwrap(),
            answer = good.call(PUBLISH, &[], frame(&publish("hi"))) => {
                answer.expect("the call succeeds");
                between += 1;
            }
        }
    }
    assert!(between >= CALLS_BETWEEN, "{between} calls");
}

/// A connection, and a call of it whose message is as large as it may be, with a record for each byte.
async fn call_in_records(authority: &TestAuthority, server: &TestServer) -> (TcpStream, Vec<u8>) {
    let tls =
        authority.shakes_hands(server.address(), rustls::ALL_VERSIONS, &["h2"]).await.unwrap();
    let (socket, mut client) = tls.into_inner();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    bytes.extend(http2_frame(1, 4, &call_without_a_message()));
    let message = frame(&vec![0xff; MESSAGE_BYTES]);
    for part in message.chunks(15_000) {
        bytes.extend(http2_frame(0, 0, part));
    }
    let mut records = Vec::new();
    for byte in bytes {
        client.writer().write_all(&[byte]).unwrap();
        client.write_tls(&mut records).unwrap();
    }
    client.send_close_notify();
    client.write_tls(&mut records).unwrap();
    (socket, records)
}

fn http2_frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
}

/// Sends all, and waits until the server has taken it and closes the connection.
async fn sent(mut socket: TcpStream, records: Vec<u8>) {
    socket.write_all(&records).await.unwrap();
    let mut answers = Vec::new();
    socket.read_to_end(&mut answers).await.unwrap();
}
