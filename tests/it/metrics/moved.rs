//! Each metric moves: servers are made to do one of each thing, and are scraped. A metric that nothing
//! here moves fails the test.

use std::time::Duration;

use tempfile::TempDir;
use whimbrel::auth::Options;
use whimbrel::config::Limits;
use whimbrel::runtime::Clock;
use whimbrel::runtime::metrics::Kind;

use super::document::metrics;
use crate::api::bad_input::publish;
use crate::auth::issuer::{NOW, SigningKey, claims, settings};
use crate::harness::admin::{Scraped, scrape};
use crate::harness::wire::{PUBLISH, Wire, frame};
use crate::harness::{Setup, TestServer, eventually};

/// Each family has a sample above zero in one of the scrapes.
#[tokio::test]
async fn each_metric_moves() {
    let mut scrapes = Vec::new();
    scrapes.push(calls().await);
    scrapes.push(bytes_that_wait().await);
    scrapes.push(a_stalled_reader().await);
    scrapes.push(callers().await);
    let mut still = Vec::new();
    for metric in metrics().await {
        let name = match metric.kind {
            Kind::Histogram => format!("{}_count", metric.name),
            Kind::Counter | Kind::Gauge => metric.name.to_owned(),
        };
        if !scrapes.iter().any(|scrape| scrape.sum(&name, &[]) > 0.0) {
            still.push(name);
        }
    }
    assert!(still.is_empty(), "nothing in this test moves {still:#?}");
}

/// Scrapes `server` until `name` with `labels` is `value` or more.
async fn reaches(server: &TestServer, name: &str, labels: &[(&str, &str)], value: f64) -> Scraped {
    let scraped = async || {
        let it = scrape(server.admin_address()).await;
        Some(it).filter(|it| it.sum(name, labels) >= value)
    };
    eventually(&format!("{name} {labels:?} to be {value}"), scraped).await
}

/// Calls that succeed and fail, and streams.
async fn calls() -> Scraped {
    let server = Setup::new().admin().start().await;
    let alice = server.user("alice");
    alice.follows("bob").await;
    let mut watching = alice.watches().await;
    watching.opened().await;
    server.user("bob").publishes("hi").await;
    watching.live().await;
    alice.tries_to_follow("alice").await.unwrap_err();
    let publish = [("rpc", "whimbrel.v1.FeedService/Publish")];
    let follow = ("rpc", "whimbrel.v1.FeedService/Follow");
    let watch = [("rpc", "whimbrel.v1.FeedService/WatchFeed")];
    let it = scrape(server.admin_address()).await;
    assert_eq!(it.sum("whimbrel_calls_total", &[publish[0], ("code", "OK")]), 1.0);
    let failed = [follow, ("code", "InvalidArgument"), ("reason", "SELF_FOLLOW")];
    assert_eq!(it.sum("whimbrel_calls_total", &failed), 1.0);
    assert_eq!(it.sum("whimbrel_calls_in_flight", &watch), 1.0);
    assert_eq!(it.sum("whimbrel_call_duration_seconds_count", &publish), 1.0);
    let wire = Wire::connect(server.address()).await;
    wire.http("GET", "/", &[], "").await;
    drop(watching);
    let it = reaches(&server, "whimbrel_streams_ended_total", &[("by", "client")], 1.0).await;
    assert_eq!(it.sum("whimbrel_calls_in_flight", &watch), 0.0);
    assert_eq!(it.sum("whimbrel_calls_total", &[("reason", "NOT_GRPC")]), 1.0);
    it
}

/// A request that has not arrived whole, and an answer that is not taken.
async fn bytes_that_wait() -> Scraped {
    let server = Setup::new().admin().start().await;
    let wire = Wire::taking_only(server.address(), 1).await;
    let _unfinished = wire.leave_unfinished(PUBLISH, &b"\0\0\0\0\x05abc"[..]).await;
    let _unread = wire.leave_unread(PUBLISH, &publish("hi")).await;
    reaches(&server, "whimbrel_unfinished_request_bytes", &[], 8.0).await;
    reaches(&server, "whimbrel_unsent_answer_bytes", &[], 1.0).await
}

/// A client that takes nothing, which closes its connection.
async fn a_stalled_reader() -> Scraped {
    let limits = |limits: &mut Limits| limits.stall_time_max = Duration::from_millis(100);
    let server = Setup::new().limits(limits).admin().start().await;
    let stalled = Wire::taking_only(server.address(), 1).await;
    let answer = stalled.leave_unread(PUBLISH, &publish("hi")).await;
    stalled.closed().await;
    drop(answer);
    let by = [("limit", "stall_time_max")];
    reaches(&server, "whimbrel_connections_closed_by_limit_total", &by, 1.0).await
}

/// A server that asks who calls, and allows few changes.
async fn asking(limits: impl FnOnce(&mut Limits)) -> (TestServer, SigningKey, TempDir) {
    let files = tempfile::tempdir().unwrap();
    let key = SigningKey::new(jsonwebtoken::Algorithm::EdDSA, "a");
    let settings = settings(files.path(), &[&key], "");
    let options = Options { settings, development: false };
    let clock = Clock::held_at(Duration::from_secs(NOW));
    let setup = Setup::new().limits(limits).authentication(options).clock(&clock).admin();
    (setup.start().await, key, files)
}

/// Callers who are known and who are not, and a quota that is used up.
async fn callers() -> Scraped {
    let (server, key, _files) = asking(|limits| {
        limits.user_changes_per_second_max = 1;
        limits.quota_burst_time = Duration::from_secs(1);
    })
    .await;
    let wire = Wire::connect(server.address()).await;
    let publishes = async |token: &str| {
        let bearer = format!("Bearer {token}");
        let headers: [(&'static str, &[u8]); 1] = [("authorization", bearer.as_bytes())];
        wire.call(PUBLISH, &headers, frame(&publish("hi"))).await
    };
    let token = key.sign(&claims("alice", NOW));
    publishes(&token).await.unwrap_or_else(|error| panic!("{error:?}"));
    publishes(&token).await.unwrap_err();
    publishes("nonsense").await.unwrap_err();
    wire.call(PUBLISH, &[], frame(&publish("hi"))).await.unwrap_err();
    reaches(&server, "whimbrel_quota_refusals_total", &[("quota", "user_changes")], 1.0).await
}
