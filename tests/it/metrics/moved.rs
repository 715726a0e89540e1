//! Each metric moves: servers are made to do one of each thing, and are scraped. A metric that nothing
//! here moves fails the test.

use std::time::Duration;

use tempfile::TempDir;
use whimbrel::auth::Options;
use whimbrel::config::{CallLogSettings, Limits};
use whimbrel::runtime::Clock;
use whimbrel::runtime::metrics::Kind;

use super::document::metrics;
use super::{cluster, connections, trouble};
use crate::api::bad_input::publish;
use crate::auth::issuer::{NOW, SigningKey, claims, settings};
use crate::harness::admin::{Scraped, scrape};
use crate::harness::collector::Collector;
use crate::harness::wire::{PUBLISH, Wire, frame};
use crate::harness::{Setup, TestServer, Valve, eventually};

/// Each family has a sample above zero in one of the scrapes.
#[tokio::test]
async fn each_metric_moves() {
    let shares_log = cluster::nodes().await;
    let has_postgres = shares_log.is_some();
    let scrapes = [
        shares_log.unwrap_or_default(),
        calls().await,
        bytes_that_wait().await,
        a_stalled_reader().await,
        callers().await,
        a_slow_call_that_is_traced().await,
        changes_that_wait().await,
        changes_that_are_not_applied().await,
        a_full_disk().await,
        the_index().await,
        an_erasure().await,
        trouble::a_damaged_index().await,
        trouble::a_blocked_worker().await,
        trouble::reads_that_wait().await,
        trouble::a_reader_of_the_log_who_takes_nothing().await,
        connections::refused_and_closed().await,
        connections::handshakes().await,
        connections::a_provider().await,
    ];
    let mut still = Vec::new();
    for metric in metrics().await {
        if !has_postgres && cluster::is_of_nodes(metric.name) {
            continue;
        }
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
pub(super) async fn reaches(
    server: &TestServer,
    name: &str,
    labels: &[(&str, &str)],
    value: f64,
) -> Scraped {
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
    watching.caught_up().await;
    server.user("bob").publishes_once("hi", "request").await;
    watching.events(1).await;
    alice.feed().await;
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
    assert_eq!(it.sum("whimbrel_streams_open", &[]), 1.0);
    assert_eq!(it.sum("whimbrel_log_head_revision", &[]), 2.0);
    assert_eq!(it.sum("whimbrel_applied_revision", &[]), 2.0);
    assert_eq!(it.sum("whimbrel_commit_batch_events_sum", &[]), 2.0);
    assert_eq!(it.sum("whimbrel_index_usable", &[]), 1.0);
    for (kind, count) in [("user", 2.0), ("follow", 1.0), ("request_id", 1.0), ("block", 0.0)] {
        assert_eq!(it.sum("whimbrel_state_items", &[("kind", kind)]), count, "{kind}");
    }
    assert_eq!(it.sum("whimbrel_memory_estimated_bytes", &[("kind", "user")]), 560.0);
    assert!(it.sum("whimbrel_deliveries_total", &[]) >= 1.0);
    let wire = Wire::connect(server.address()).await;
    wire.http("GET", "/no/call", &[], "").await;
    drop(watching);
    let it = reaches(&server, "whimbrel_streams_ended_total", &[("by", "client")], 1.0).await;
    assert_eq!(it.sum("whimbrel_calls_in_flight", &watch), 0.0);
    assert_eq!(it.sum("whimbrel_streams_open", &[]), 0.0);
    assert_eq!(it.sum("whimbrel_calls_total", &[("reason", "NOT_A_CALL")]), 1.0);
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

/// A call whose request does not arrive in time, and whose span is sent.
async fn a_slow_call_that_is_traced() -> Scraped {
    let collector = Collector::start().await;
    let slow_time = Duration::from_millis(1);
    let server = Setup::new()
        .tracing(collector.tracing())
        .call_log(CallLogSettings { slow_time, ..CallLogSettings::default() })
        .limits(|limits| limits.request_time_max = Duration::from_millis(100))
        .admin()
        .start()
        .await;
    let wire = Wire::connect(server.address()).await;
    wire.leave_unfinished(PUBLISH, &b"\0\0\0\0\x05abc"[..]).await.refusal().await;
    let slow = [("rpc", "whimbrel.v1.FeedService/Publish")];
    reaches(&server, "whimbrel_slow_calls_total", &slow, 1.0).await;
    reaches(&server, "whimbrel_traced_calls_total", &[("outcome", "exported")], 1.0).await
}

/// A client that takes nothing, which closes its connection.
async fn a_stalled_reader() -> Scraped {
    let limits = |limits: &mut Limits| limits.stall_time_max = Duration::from_millis(100);
    let server = Setup::new().limits(limits).admin().start().await;
    let stalled = Wire::taking_only(server.address(), 1).await;
    let answer = stalled.leave_unread(PUBLISH, &publish("hi")).await;
    stalled.closed().await;
    drop(answer);
    reaches(&server, "whimbrel_connections_closed_total", &[("reason", "limit")], 1.0).await;
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
    publishes(&key.sign(&claims("alice", NOW - 100_000))).await.unwrap_err();
    wire.call(PUBLISH, &[], frame(&publish("hi"))).await.unwrap_err();
    let it = scrape(server.admin_address()).await;
    let quota = [("quota", "user_changes")];
    assert_eq!(it.sum("whimbrel_quota_refusals_total", &quota), 1.0);
    for outcome in ["verified", "seen_before", "malformed", "expired", "no_token"] {
        let outcome = [("outcome", outcome)];
        assert_eq!(it.sum("whimbrel_authentications_total", &outcome), 1.0, "{outcome:?}");
    }
    assert_eq!(it.sum("whimbrel_authentications_total", &[]), 5.0);
    it
}

/// Changes in the queue, while the disk is slow.
async fn changes_that_wait() -> Scraped {
    let appends = Valve::default();
    let server = Setup::new().appends_through(&appends).admin().start().await;
    appends.shut();
    let mut publishing = tokio::task::JoinSet::new();
    let publish = |publishing: &mut tokio::task::JoinSet<_>| {
        let user = server.user("alice");
        publishing.spawn(async move { user.publishes("hi").await });
    };
    publish(&mut publishing);
    appends.holds_one().await;
    publish(&mut publishing);
    publish(&mut publishing);
    let it = reaches(&server, "whimbrel_commit_queue_commands", &[], 2.0).await;
    appends.open();
    publishing.join_all().await;
    it
}

/// A change that is durable, and not shown.
async fn changes_that_are_not_applied() -> Scraped {
    let batches = Valve::default();
    let server = Setup::new().applies_through(&batches).admin().start().await;
    batches.shut();
    let user = server.user("alice");
    let mut publishing = tokio::task::JoinSet::new();
    publishing.spawn(async move { user.publishes("hi").await });
    let it = reaches(&server, "whimbrel_apply_lag_revisions", &[], 1.0).await;
    assert!(it.sum("whimbrel_apply_lag_seconds", &[]) > 0.0);
    batches.open();
    publishing.join_all().await;
    let later = scrape(server.admin_address()).await;
    assert_eq!(later.sum("whimbrel_apply_lag_seconds", &[]), 0.0);
    assert_eq!(later.sum("whimbrel_apply_lag_revisions", &[]), 0.0);
    it
}

/// Changes that are refused for lack of space.
async fn a_full_disk() -> Scraped {
    let limits = |limits: &mut Limits| limits.disk_free_bytes_min = 1 << 50;
    let server = Setup::new().limits(limits).admin().start().await;
    server.user("alice").tries_to_publish("hi", "").await.unwrap_err();
    let it = scrape(server.admin_address()).await;
    assert_eq!(it.sum("whimbrel_commit_batches_refused_total", &[]), 1.0);
    assert_eq!(it.sum("whimbrel_calls_total", &[("reason", "DISK_FULL")]), 1.0);
    assert_eq!(it.sum("whimbrel_apply_lag_seconds", &[]), 0.0);
    it
}

/// An index that is written.
async fn the_index() -> Scraped {
    let limits = |limits: &mut Limits| limits.index_write_delay_max = Duration::from_millis(1);
    let server = Setup::new().limits(limits).admin().start().await;
    server.user("alice").publishes("hi").await;
    let it = reaches(&server, "whimbrel_index_revision", &[], 1.0).await;
    assert_eq!(it.sum("whimbrel_index_lag_revisions", &[]), 0.0);
    reaches(&server, "whimbrel_index_writes_total", &[("outcome", "done")], 1.0).await
}

/// A deleted post, which is found, and then erased.
async fn an_erasure() -> Scraped {
    let limits = |limits: &mut Limits| limits.compaction_interval = Duration::from_secs(2);
    let server = Setup::new().limits(limits).admin().start().await;
    let post = server.user("alice").publishes("hi").await;
    trouble::deletes(&server, "alice", &post.post_id).await;
    let mut found = reaches(&server, "whimbrel_posts_to_erase", &[], 1.0).await;
    let done = [("outcome", "done")];
    let erased = reaches(&server, "whimbrel_erasures_total", &done, 1.0).await;
    assert_eq!(erased.sum("whimbrel_erased_posts_total", &[]), 1.0);
    assert_eq!(erased.sum("whimbrel_state_items", &[("kind", "retraction")]), 1.0);
    found.0.extend(erased.0.into_iter().filter(|(_, value)| *value > 0.0));
    found
}
