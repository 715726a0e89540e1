//! Bad bytes on the wire: frames and headers that no client library sends.

use tonic::{Code, Status};

use crate::api::bad_input::{follow, publish};
use crate::harness::wire::{FOLLOW, PUBLISH, Wire, flagged_frame, frame};
use crate::harness::{TestServer, refused};

/// The client of the other tests works.
#[tokio::test]
async fn a_good_frame_is_accepted() {
    let server = TestServer::start().await;
    let wire = Wire::connect(server.address()).await;
    wire.call(PUBLISH, &[], frame(&publish("hi"))).await.expect("the call succeeds");
    wire.call(FOLLOW, &[], frame(&follow())).await.expect("the call succeeds");
    assert_eq!(server.user("alice").feed().await.texts(), ["hi"]);
}

/// Unknown fields are skipped, as Protobuf requires.
#[tokio::test]
async fn an_unknown_field_is_skipped() {
    let server = TestServer::start().await;
    let wire = Wire::connect(server.address()).await;
    let unknown: &[u8] = &[0xa2, 0x06, 3, b'x', b'y', b'z'];
    let message = [publish("hi").as_slice(), unknown].concat();
    wire.call(PUBLISH, &[], frame(&message)).await.expect("the call succeeds");
    assert_eq!(server.user("alice").feed().await.texts(), ["hi"]);
}

/// A malformed or incomplete message has another error than an invalid one.
#[tokio::test]
async fn a_malformed_message_is_refused() {
    let server = TestServer::start().await;
    let wire = Wire::connect(server.address()).await;
    let whole = frame(&publish("hi"));
    let not_utf8 = frame(&[0x0a, 2, b'a', 0xff, 0x12, 1, b'x']);
    let bodies = [
        not_utf8,
        frame(&[0x12, 2, 0xc3, 0x28]),
        frame(&[0xff; 20]),
        frame(&[0x0a, 200, b'a']),
        frame(&[0x08, 1]),
        whole.slice(..0),
        whole.slice(..3),
        whole.slice(..whole.len() - 1),
        flagged_frame(7, &publish("hi")),
        flagged_frame(1, &publish("hi")),
    ];
    server
        .unchanged_by(async {
            for body in bodies {
                let call = wire.call(PUBLISH, &[], body).await;
                refused(call).with(Code::InvalidArgument, "MALFORMED_MESSAGE");
            }
        })
        .await;
}

/// An unknown compression is refused, and the response names the known one.
#[tokio::test]
async fn an_unknown_compression_is_refused() {
    let server = TestServer::start().await;
    let wire = Wire::connect(server.address()).await;
    server
        .unchanged_by(async {
            for encoding in ["zstd", "deflate", "GZIP", "gzip, gzip", "nonsense", ""] {
                let headers = [("grpc-encoding", encoding.as_bytes())];
                let call = wire.call(PUBLISH, &headers, flagged_frame(1, &publish("hi"))).await;
                let known = call.as_ref().err().and_then(|status| {
                    Some(
                        status.metadata().get("grpc-accept-encoding")?.to_str().unwrap().to_owned(),
                    )
                });
                assert_eq!(known.as_deref(), Some("identity,gzip"));
                let refusal = refused(call).with(Code::Unimplemented, "UNSUPPORTED");
                assert!(refusal.metadata()["detail"].contains(encoding));
            }
        })
        .await;
}

/// A message above the limit is refused by its announced size.
#[tokio::test]
async fn an_oversized_message_is_refused() {
    let server = TestServer::start().await;
    let wire = Wire::connect(server.address()).await;
    let largest = publish(&"x".repeat((64 << 10) - 20));
    assert!(largest.len() <= 64 << 10);
    let call = wire.call(PUBLISH, &[], frame(&largest)).await;
    refused(call).with(Code::InvalidArgument, "INVALID_FIELD").blaming("text");

    server
        .unchanged_by(async {
            let call = wire.call(PUBLISH, &[], frame(&vec![0; (64 << 10) + 1])).await;
            let refusal = refused(call)
                .with(Code::ResourceExhausted, "MESSAGE_TOO_LARGE")
                .for_quota_of("message");
            assert_eq!(refusal.metadata()["bytes_max"], "65536");
            // The announced bytes are never sent.
            let call = wire.call(PUBLISH, &[], vec![0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]).await;
            refused(call).with(Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
        })
        .await;
}

/// An unknown service or method gets UNIMPLEMENTED.
#[tokio::test]
async fn an_unknown_rpc_is_refused() {
    let server = TestServer::start().await;
    let wire = Wire::connect(server.address()).await;
    for path in ["/whimbrel.v1.FeedService/Delete", "/whimbrel.v2.FeedService/Follow", "/", "/x"] {
        let call = wire.call(path, &[], frame(&follow())).await;
        refused(call).with(Code::Unimplemented, "UNSUPPORTED");
    }
}

/// A call with a timeout of zero is not begun.
#[tokio::test]
async fn a_call_without_time_has_no_effect() {
    let server = TestServer::start().await;
    let wire = Wire::connect(server.address()).await;
    server
        .unchanged_by(async {
            for time in ["0n", "0S", "00000000H"] {
                let headers = [("grpc-timeout", time.as_bytes())];
                let call = wire.call(PUBLISH, &headers, frame(&publish("hi"))).await;
                refused(call).with(Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
            }
        })
        .await;
}

/// Unknown metadata has no effect, however odd or often repeated.
#[tokio::test]
async fn odd_metadata_is_ignored() {
    let server = TestServer::start().await;
    let wire = Wire::connect(server.address()).await;
    let oddities: [&[(&'static str, &[u8])]; 5] = [
        &[("grpc-accept-encoding", b"nonsense,,zstd"), ("accept-encoding", b"br")],
        &[("grpc-encoding", b"gzip"), ("user-agent", b"")],
        &[("x-odd-bin", b"!!! not base64"), ("x-odd", b"\xff\xfe")],
        &[("authorization", b"Bearer one"), ("authorization", b"Bearer two")],
        &[("x-odd", b"1"), ("x-odd", b"2"), ("te", b"trailers"), ("te", b"trailers")],
    ];
    for headers in oddities {
        let call = wire.call(PUBLISH, headers, frame(&publish("hi"))).await;
        call.unwrap_or_else(|status| panic!("{headers:?}: {status:?}"));
    }
    assert_eq!(server.user("alice").feed().await.texts().len(), oddities.len());
}

/// A MiB of headers is refused, and affects neither the server nor other connections.
#[tokio::test]
async fn huge_headers_are_refused() {
    let server = TestServer::start().await;
    let bystander = Wire::connect(server.address()).await;
    server
        .unchanged_by(async {
            let wire = Wire::connect(server.address()).await;
            let value = vec![b'x'; 1 << 20];
            let headers = [("x-large", value.as_slice())];
            let answer = wire.answer(PUBLISH, &headers, frame(&publish("hi"))).await;
            let taken: Result<_, Status> = answer.unwrap_or(Err(Status::unknown("closed")));
            assert!(taken.is_err(), "the call was accepted");
        })
        .await;
    bystander
        .call(PUBLISH, &[], frame(&publish("hi")))
        .await
        .expect("other connections are served");
    let fresh = Wire::connect(server.address()).await;
    fresh.call(PUBLISH, &[], frame(&publish("hi"))).await.expect("new connections are served");
}
