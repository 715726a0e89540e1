//! gRPC-Web: frames as in gRPC, with the trailers in the body; and the same in Base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use prost::Message;
use whimbrel::api::v1::{FollowRequest, FollowResponse};

use super::{FOLLOW, VERSIONS, frame, frames, http};
use crate::harness::TestServer;

const BINARY: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text";

fn follow(by: &str, followee: &str) -> Vec<u8> {
    let message = FollowRequest { user_id: by.to_owned(), followee_id: followee.to_owned() };
    frame(0, &message.encode_to_vec())
}

/// The bytes of parts in Base64, each of which may end with padding.
fn decoded(text: &[u8]) -> Vec<u8> {
    text.chunks(4).flat_map(|group| STANDARD.decode(group).expect("Base64")).collect()
}

#[tokio::test]
async fn the_trailers_are_in_the_body() {
    for version in VERSIONS {
        for media_type in [BINARY, TEXT] {
            let server = TestServer::start().await;
            let mut http = http(&server, version).await;
            let is_text = media_type == TEXT;
            let sent = follow("alice", "bob");
            // In two parts, each with padding, as browsers send it.
            let request = if is_text {
                let (first, second) = sent.split_at(7);
                Bytes::from(STANDARD.encode(first) + &STANDARD.encode(second))
            } else {
                sent.into()
            };
            let answer = http.send("POST", FOLLOW, &[("content-type", media_type)], request).await;
            assert_eq!(answer.status(), StatusCode::OK);
            let content_type = answer.headers()["content-type"].to_str().unwrap();
            assert!(content_type.starts_with(media_type), "{content_type}");
            let body = if is_text { decoded(answer.body()) } else { answer.body().to_vec() };
            let [(0, message), (0x80, trailers)] = frames(&body)[..] else { panic!("{body:?}") };
            assert!(FollowResponse::decode(message).expect("an answer").changed);
            assert_eq!(trailers, b"grpc-status:0\r\n");
        }
    }
}

/// An error without an answer has its status in the headers, as in gRPC.
#[tokio::test]
async fn an_error_is_in_the_headers() {
    let server = TestServer::start().await;
    for version in VERSIONS {
        let mut http = http(&server, version).await;
        let headers = [("content-type", BINARY)];
        let answer = http.send("POST", FOLLOW, &headers, follow("alice", "alice")).await;
        assert_eq!(answer.headers()["grpc-status"], "3", "{answer:?}");
        assert!(answer.headers().contains_key("grpc-status-details-bin"));
        let answer = http.send("POST", FOLLOW, &[("content-type", TEXT)], "AAAA!").await;
        assert_eq!(answer.headers()["grpc-status"], "3", "{answer:?}");
    }
}
