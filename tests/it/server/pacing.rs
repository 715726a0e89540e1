//! The connections of a worker share its time: those that want much of it wait for each other, and
//! others do not wait for them.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use whimbrel::config::Limits;

use crate::api::bad_input::publish;
use crate::harness::wire::{PUBLISH, Wire, frame};
use crate::harness::{TestServer, within};

pub(super) const HEADERS: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

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
    let mut busy = JoinSet::new();
    for _ in 0..BUSY {
        let mut raw = RawCalls::connect(server.address()).await;
        raw.headers(CALLS, END_STREAM);
        busy.spawn(raw.answered(CALLS));
    }
    calls_come_between(&server, busy).await;
}

/// Nor for calls that have begun, and whose messages come all at once.
#[tokio::test]
async fn a_call_goes_before_messages_that_come_at_once() {
    let limits = |limits: &mut Limits| {
        limits.worker_threads = 1;
        limits.request_time_max = Duration::from_secs(3_600);
        limits.call_time_max = Duration::from_secs(3_600);
    };
    let server = TestServer::limited(limits).await;
    let mut waiting = Vec::new();
    for _ in 0..BUSY {
        let mut raw = RawCalls::connect(server.address()).await;
        let streams = raw.headers(CALLS - 1, 0);
        for &stream in &streams {
            // All but the last byte of a message of two bytes that is no request.
            raw.frame(0, 0, stream, &[0, 0, 0, 0, 2, 0]);
        }
        // It is answered when those before it have begun.
        raw.headers(1, END_STREAM);
        waiting.push((raw.answered(1).await, streams));
    }
    let mut busy = JoinSet::new();
    for (mut raw, streams) in waiting {
        for stream in streams {
            raw.frame(0, END_STREAM, stream, &[0]);
        }
        busy.spawn(raw.answered(CALLS - 1));
    }
    calls_come_between(&server, busy).await;
}

/// Many calls of another connection are answered before those of `busy` ones are.
async fn calls_come_between(server: &TestServer, mut busy: JoinSet<RawCalls>) {
    let good = Wire::connect(server.address()).await;
    let mut between = 0;
    while !busy.is_empty() {
        tokio::select! {
            answered = within("the answers", busy.join_next()) => drop(answered.unwrap().unwrap()),
            answer = good.call(PUBLISH, &[], frame(&publish("hi"))) => {
                answer.expect("the call succeeds");
                between += 1;
            }
        }
    }
    assert!(between >= CALLS_BETWEEN, "{between} calls");
}

/// A connection whose frames are sent all at once.
struct RawCalls {
    socket: BufReader<TcpStream>,
    next_stream: u32,
    /// Frames that are not sent yet.
    frames: Vec<u8>,
}

impl RawCalls {
    async fn connect(to: SocketAddr) -> Self {
        let socket = BufReader::new(TcpStream::connect(to).await.unwrap());
        let frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        Self { socket, next_stream: 1, frames }
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.frames.extend([0, 0, payload.len() as u8, kind, flags]);
        self.frames.extend(stream.to_be_bytes());
        self.frames.extend(payload);
    }

    /// Begins so many calls. Gives their streams.
    fn headers(&mut self, calls: usize, flags: u8) -> Vec<u32> {
        let streams: Vec<_> = (self.next_stream..).step_by(2).take(calls).collect();
        for &stream in &streams {
            self.frame(HEADERS, END_HEADERS | flags, stream, &call_without_a_message());
            self.next_stream = stream + 2;
        }
        streams
    }

    /// Sends all, and reads until so many calls are answered.
    async fn answered(mut self, calls: usize) -> Self {
        self.socket.write_all(&std::mem::take(&mut self.frames)).await.unwrap();
        let mut answered = 0;
        while answered < calls {
            let mut head = [0; 9];
            self.socket.read_exact(&mut head).await.unwrap();
            let [a, b, c, kind, flags, ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.socket.read_exact(&mut payload).await.unwrap();
            if kind == HEADERS && flags & END_STREAM != 0 {
                answered += 1;
            }
        }
        self
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
