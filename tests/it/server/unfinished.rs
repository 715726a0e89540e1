//! Requests that do not arrive whole: they take no slot of a call, little memory, and end in time.

use std::time::Duration;

use tonic::Code;
use whimbrel::auth::{Options, Settings};
use whimbrel::config::Limits;

use crate::api::bad_input::publish;
use crate::harness::wire::{PUBLISH, Unfinished, WATCH_FEED, Wire, frame};
use crate::harness::{Setup, TestServer, refused};

/// A part of a message that never ends.
fn part(bytes: usize) -> Vec<u8> {
    frame(&[0; 64 << 10])[..bytes].to_vec()
}

/// Calls of all kinds without a message hold no slot, however many: others are answered.
#[tokio::test]
async fn a_call_without_its_message_takes_no_slot() {
    let server = TestServer::limited(|limits| limits.calls_max = 1).await;
    let hostile = Wire::connect(server.address()).await;
    let mut waiting = Vec::new();
    for number in 0..50 {
        let path = if number % 2 == 0 { PUBLISH } else { WATCH_FEED };
        waiting.push(hostile.leave_unfinished(path, part(number)).await);
    }
    for wire in [&hostile, &Wire::connect(server.address()).await] {
        wire.call(PUBLISH, &[], frame(&publish("hi"))).await.expect("the call succeeds");
    }
}

/// A message that does not come in time is refused, and the refusal says that nothing was done.
#[tokio::test]
async fn a_message_that_does_not_come_is_refused() {
    let server =
        TestServer::limited(|limits| limits.request_time_max = Duration::from_millis(50)).await;
    let wire = Wire::connect(server.address()).await;
    for path in [PUBLISH, WATCH_FEED] {
        let status = wire.leave_unfinished(path, part(10)).await.refusal().await;
        assert!(status.message().contains("did not arrive whole within 50ms"), "{status:?}");
        refused::<()>(Err(status)).with(Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    }
    wire.call(PUBLISH, &[], frame(&publish("hi"))).await.expect("the call succeeds");
}

/// Who may not call is refused by the headers: nobody waits for the message, or holds a byte of it.
#[tokio::test]
async fn a_stranger_is_refused_before_its_message() {
    let options = Options { settings: Settings::default(), development: false };
    let setup = Setup::new().authentication(options).limits(|limits| {
        limits.request_time_max = Duration::from_secs(3_600);
        limits.call_time_max = Duration::from_secs(3_600);
    });
    let server = setup.start().await;
    let wire = Wire::connect(server.address()).await;
    for path in [PUBLISH, WATCH_FEED] {
        let refusal = wire.leave_unfinished(path, part(10)).await.refusal().await;
        refused::<()>(Err(refusal)).with(Code::Unauthenticated, "NO_TOKEN");
    }
}

/// The smallest limits that are allowed, and requests that never end by themselves.
fn few_bytes(limits: &mut Limits) {
    limits.request_time_max = Duration::from_secs(3_600);
    limits.call_time_max = Duration::from_secs(3_600);
    limits.unfinished_request_bytes_per_connection_max = 6 << 20;
    limits.unfinished_request_bytes_per_address_max = 7 << 20;
    limits.unfinished_request_bytes_max = 8 << 20;
}

/// Bytes of requests that wait are limited for each connection and each address. Those that end make
/// room, and whole requests need none.
#[tokio::test]
async fn bytes_of_unfinished_requests_are_limited() {
    let server = TestServer::limited(few_bytes).await;
    let wire = Wire::connect(server.address()).await;
    let mut waiting = fill(&wire, 102).await;
    let refusal = wire.leave_unfinished(PUBLISH, part(64 << 10)).await.refusal().await;
    refused::<()>(Err(refusal))
        .with(Code::ResourceExhausted, "OVERLOADED")
        .for_quota_of("requests of the connection")
        .with_a_delay();

    let second = Wire::connect(server.address()).await;
    let _more = fill(&second, 17).await;
    let refusal = second.leave_unfinished(PUBLISH, part(64 << 10)).await.refusal().await;
    refused::<()>(Err(refusal))
        .with(Code::ResourceExhausted, "OVERLOADED")
        .for_quota_of("requests of the address");
    for wire in [&wire, &second] {
        wire.call(PUBLISH, &[], frame(&publish("hi"))).await.expect("a whole request needs none");
    }

    // The reset of the first ones makes room.
    waiting.clear();
    wire.call(PUBLISH, &[], frame(&publish("hi"))).await.expect("the resets have arrived");
    fill(&wire, 10).await;
}

/// `count` requests of 60 KB that wait, once the server has all of them.
async fn fill(wire: &Wire, count: usize) -> Vec<Unfinished> {
    let mut waiting = Vec::new();
    for _ in 0..count {
        waiting.push(wire.leave_unfinished(PUBLISH, part(57_000)).await);
    }
    // What is sent later on a connection is read later.
    wire.call(PUBLISH, &[], frame(&publish("hi"))).await.expect("the call succeeds");
    waiting
}
