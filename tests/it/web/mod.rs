//! Calls in Connect and gRPC-Web, and server-sent events, over HTTP/1.1 and HTTP/2.

mod connect;
mod console;
mod cookies;
mod cors;
mod events;
mod grpc_web;
mod http1;
mod http1_misuse;

use http::Version;
use serde_json::Value;

use crate::harness::TestServer;
use crate::harness::http::Http;

const FOLLOW: &str = "/whimbrel.v1.FeedService/Follow";
const PUBLISH: &str = "/whimbrel.v1.FeedService/Publish";
const NEWS_FEED: &str = "/whimbrel.v1.FeedService/NewsFeed";
const WATCH_FEED: &str = "/whimbrel.v1.FeedService/WatchFeed";
const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

async fn http(server: &TestServer, version: Version) -> Http {
    Http::connect(server.address(), version).await
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| panic!("no JSON: {bytes:?}"))
}

/// A message in a frame.
fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a message").to_be_bytes();
    [&[flag], &length[..], message].concat()
}

/// The frames in `bytes`, which are whole: their flags and messages.
fn frames(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut frames = Vec::new();
    while let Some((&[flag, ref length @ ..], rest)) = bytes.split_first_chunk::<5>() {
        let (message, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        frames.push((flag, message));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "a part of a frame");
    frames
}
