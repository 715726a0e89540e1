//! Errors on the wire, for every RPC: a status with details that name the error, and no effect.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use tonic::Code;

use crate::api::bad_input::{follow, publish};
use crate::harness::wire::{PUBLISH, WATCH_FEED, Wire, flagged_frame, frame};
use crate::harness::{TestServer, refused};

const CHECK: &str = "/grpc.health.v1.Health/Check";
const REFLECTION: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// The paths of all RPCs with one request message: those in the protos, and health.
fn rpcs() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/whimbrel/v1");
    let mut rpcs = vec![CHECK.to_owned(), "/grpc.health.v1.Health/Watch".to_owned()];
    for file in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let mut service = "";
        for line in text.lines() {
            let words: Vec<&str> = line.split([' ', '(']).filter(|word| !word.is_empty()).collect();
            match words.as_slice() {
                ["service", name, ..] => service = *name,
                ["rpc", name, ..] => rpcs.push(format!("/whimbrel.v1.{service}/{name}")),
                _ => {}
            }
        }
    }
    assert!(rpcs.len() > 30, "the protos were not found");
    rpcs
}

type Headers = &'static [(&'static str, &'static [u8])];

/// Every RPC answers every bad form in the same way.
#[tokio::test]
async fn every_bad_form_has_its_details() {
    let server = TestServer::start().await;
    let wire = Wire::connect(server.address()).await;
    let two = [frame(b""), frame(b"")].concat();
    let gzip: Headers = &[("grpc-encoding", b"gzip")];
    let forms: [(Headers, Bytes, Code, &str, &str); 17] = [
        (&[], Bytes::new(), Code::InvalidArgument, "MALFORMED_MESSAGE", "none was sent"),
        (&[], two.into(), Code::InvalidArgument, "MALFORMED_MESSAGE", "more than one"),
        (&[], frame(&[0xff; 20]), Code::InvalidArgument, "MALFORMED_MESSAGE", "Protobuf"),
        (&[], frame(b"x").slice(..4), Code::InvalidArgument, "MALFORMED_MESSAGE", "in the middle"),
        (&[], frame(b"x").slice(..5), Code::InvalidArgument, "MALFORMED_MESSAGE", "in the middle"),
        (&[], flagged_frame(2, b""), Code::InvalidArgument, "MALFORMED_MESSAGE", "begins with 2"),
        (&[], flagged_frame(1, b""), Code::InvalidArgument, "MALFORMED_MESSAGE", "grpc-encoding"),
        (gzip, flagged_frame(1, b"x"), Code::InvalidArgument, "MALFORMED_MESSAGE", "gzip"),
        (
            &[],
            frame(&vec![0; (64 << 10) + 1]),
            Code::ResourceExhausted,
            "MESSAGE_TOO_LARGE",
            "65536",
        ),
        (
            &[("grpc-encoding", b"br")],
            frame(b""),
            Code::Unimplemented,
            "UNSUPPORTED",
            "\"br\"; use gzip",
        ),
        (
            &[("grpc-encoding", b"gzip"), ("grpc-encoding", b"gzip")],
            frame(b""),
            Code::InvalidArgument,
            "INVALID_METADATA",
            "grpc-encoding is there more than once",
        ),
        (
            &[("content-type", b"application/grpc+json")],
            frame(b""),
            Code::Unimplemented,
            "UNSUPPORTED",
            "\"json\"",
        ),
        (
            &[("grpc-timeout", b"-1S")],
            frame(b""),
            Code::InvalidArgument,
            "INVALID_METADATA",
            "2500m",
        ),
        (
            &[("grpc-timeout", b"1x")],
            frame(b""),
            Code::InvalidArgument,
            "INVALID_METADATA",
            "2500m",
        ),
        (
            &[("grpc-timeout", b"1S"), ("grpc-timeout", b"1S")],
            frame(b""),
            Code::InvalidArgument,
            "INVALID_METADATA",
            "more than once",
        ),
        (
            &[("grpc-timeout", b"0S")],
            frame(b""),
            Code::DeadlineExceeded,
            "DEADLINE_EXCEEDED",
            "time",
        ),
        (
            &[("grpc-timeout", b"0n")],
            frame(b""),
            Code::DeadlineExceeded,
            "DEADLINE_EXCEEDED",
            "time",
        ),
    ];
    server
        .unchanged_by(async {
            for rpc in rpcs() {
                for (headers, body, code, reason, expected) in &forms {
                    let call = wire.call(&rpc, headers, body.clone()).await;
                    let message = call.as_ref().err().map(|status| status.message().to_owned());
                    refused(call).with(*code, reason);
                    let message = message.unwrap_or_default();
                    assert!(message.contains(expected), "{rpc}: {message}");
                }
            }
            // Reflection accepts no message or many. Its other errors are the same.
            for rpc in REFLECTION {
                for (headers, body, code, reason, expected) in &forms[2..] {
                    let call = wire.call(rpc, headers, body.clone()).await;
                    let message = call.as_ref().err().map(|status| status.message().to_owned());
                    refused(call).with(*code, reason);
                    let message = message.unwrap_or_default();
                    assert!(message.contains(expected), "{rpc}: {message}");
                }
            }
        })
        .await;
}

/// An unknown service or method gets the same error, whatever the request is.
#[tokio::test]
async fn an_unknown_path_has_its_details() {
    let server = TestServer::start().await;
    let wire = Wire::connect(server.address()).await;
    let two = [frame(&follow()), frame(&follow())].concat();
    for path in [
        "/",
        "/x",
        "//",
        "/whimbrel.v1.FeedService",
        "/whimbrel.v1.FeedService/",
        "/whimbrel.v1.FeedService/follow",
        "/whimbrel.v1.FeedService/Follow/",
        "/whimbrel.v2.FeedService/Follow",
        "/grpc.health.v1.Health/List",
        "/grpc.reflection.v1.ServerReflection/No",
        "/grpc.reflection.v1alpha.ServerReflection/No",
        "/grpc.channelz.v1.Channelz/GetServers",
    ] {
        for body in [Bytes::new(), frame(&follow()), two.clone().into(), Bytes::from_static(b"x")] {
            refused(wire.call(path, &[], body).await).with(Code::Unimplemented, "UNSUPPORTED");
        }
    }
}

/// A malformed timeout is refused, not ignored, for streams and health too.
#[tokio::test]
async fn a_malformed_timeout_is_refused() {
    let server = TestServer::start().await;
    let wire = Wire::connect(server.address()).await;
    let bad: [&[u8]; 16] = [
        b"",
        b"S",
        b"1",
        b"-1S",
        b"+1S",
        b"1x",
        b"1s",
        b"1h",
        b"1.5S",
        b"1 S",
        b"1S1",
        b"0x1S",
        b"123456789S",
        b"soon",
        b"\xff",
        b"1\xe2\x82\xac",
    ];
    server
        .unchanged_by(async {
            for value in bad {
                for (path, message) in [
                    (PUBLISH, publish("hi")),
                    (WATCH_FEED, b"\x0a\x05alice".to_vec()),
                    (CHECK, Vec::new()),
                    (REFLECTION[0], vec![0x3a, 0]),
                ] {
                    let headers = [("grpc-timeout", value)];
                    let call = wire.call(path, &headers, frame(&message)).await;
                    let refusal = refused(call).with(Code::InvalidArgument, "INVALID_METADATA");
                    assert_eq!(refusal.metadata()["header"], "grpc-timeout");
                }
            }
        })
        .await;
    let good: [&[u8]; 6] =
        [b"99999999H", b"99999999M", b"00000100S", b"99999999m", b"99999999u", b"1H"];
    for value in good {
        let headers = [("grpc-timeout", value)];
        wire.call(PUBLISH, &headers, frame(&publish("hi"))).await.expect("the call is in time");
    }
    assert_eq!(server.user("alice").feed().await.texts().len(), good.len());
}

/// A request with a second message has no effect, however the frames arrive.
#[tokio::test]
async fn a_second_message_is_never_dropped_in_silence() {
    let server = TestServer::start().await;
    let wire = Wire::connect(server.address()).await;
    let (first, second) = (frame(&publish("one")), frame(&publish("two")));
    server
        .unchanged_by(async {
            for more in [second.clone(), second.slice(..1), frame(b""), frame(&vec![0; 1 << 20])] {
                let call = wire.call(PUBLISH, &[], [first.clone(), more].concat()).await;
                let refusal = refused(call).with(Code::InvalidArgument, "MALFORMED_MESSAGE");
                assert!(refusal.metadata()["detail"].contains("more than one"));
            }
            let apart = wire.call_in_frames(PUBLISH, [first.clone(), second.clone()]).await;
            refused(apart).with(Code::InvalidArgument, "MALFORMED_MESSAGE");
        })
        .await;
    // A single message may arrive in any number of pieces.
    wire.call_in_pieces(PUBLISH, &first).await.expect("one message in pieces");
    assert_eq!(server.user("alice").feed().await.texts(), ["one"]);
}
