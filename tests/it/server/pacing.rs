//! The connections of a worker share its time: those that want much of it wait for each other, and
//! others do not wait for them.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::api::bad_input::publish;
use crate::harness::wire::{PUBLISH, Wire, frame};
use crate::harness::{TestServer, within};

/// Connections that want more than there is.
const BUSY: usize = 10;
/// Calls that each of them makes at once: nearly as many as it may.
const CALLS: usize = 900;
/// Calls that another connection makes one after another, while all those are answered: many more than there
/// would be if each waited until each busy connection had what it asked for.
const CALLS_BETWEEN: usize = 60;

/// A call does not wait for all that others of its worker have asked for.
#[tokio::test]
async fn a_call_goes_before_those_of_busy_connections() {
    let server = TestServer::limited(|limits| limits.worker_threads = 1).await;
    let good = Wire::connect(server.address()).await;
    let mut busy = JoinSet::new();
    for _ in 0..BUSY {
        let socket = TcpStream::connect(server.address()).await.unwrap();
        busy.spawn(calls_at_once(socket));
    }
    let mut between = 0;
    while !busy.is_empty() {
        tokio::select! {
            answered = within("the answers", busy.join_next()) => answered.unwrap().unwrap(),
            answer = good.call(PUBLISH, &[], frame(&publish("hi"))) => {
                answer.expect("the call succeeds");
                between += 1;
            }
        }
    }
    assert!(between >= CALLS_BETWEEN, "{between} calls");
}

/// Makes the calls, and reads their answers.
async fn calls_at_once(mut socket: TcpStream) {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    let headers = call_without_a_message();
    for stream in (1_u32..).step_by(2).take(CALLS) {
        // HEADERS, with the flags END_STREAM and END_HEADERS.
        bytes.extend([0, 0, headers.len() as u8, 1, 5]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(&headers);
    }
    socket.write_all(&bytes).await.unwrap();
    let mut socket = BufReader::new(socket);
    let mut answered = 0;
    while answered < CALLS {
        let mut head = [0; 9];
        socket.read_exact(&mut head).await.unwrap();
        let [a, b, c, kind, flags, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        socket.read_exact(&mut payload).await.unwrap();
        if kind == 1 && flags & 1 != 0 {
            answered += 1;
        }
    }
}

/// The headers of a call, for HPACK without its tables.
pub(super) fn call_without_a_message() -> Vec<u8> {
    let headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "server"),
        (":path", PUBLISH),
        ("content-type", "application/grpc"),
    ];
    let literal = |(name, value): (&str, &str)| {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        [&[0, name.len() as u8], name, &[value.len() as u8], value].concat()
    };
    headers.map(literal).concat()
}
