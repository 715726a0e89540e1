//! The collector of traces: what of it is refused at the start, TLS to it, and its headers.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use whimbrel::api::v1::feed_service_client::FeedServiceClient;
use whimbrel::config::Tracing;
use whimbrel::server::{Error, Server};

use super::news_feed;
use crate::harness::admin::scrape;
use crate::harness::collector::{Collector, tracing_to};
use crate::harness::tls::{TestAuthority, write_key};
use crate::harness::{Setup, TestServer, eventually};

const ID: &str = "x-request-id";

/// How traces are sent to `endpoint`.
fn sent_to(endpoint: &str) -> Tracing {
    Tracing { endpoint: endpoint.to_owned(), ..tracing_to(([127, 0, 0, 1], 1).into()) }
}

/// The error of a server that starts so.
async fn refusal(tracing: Tracing) -> String {
    let folder = tempfile::tempdir().unwrap();
    let config = Setup::new().tracing(tracing).config(folder.path());
    match Server::open(config).await {
        Err(Error::Traces(error)) => error.to_string(),
        other => panic!("not refused: {:?}", other.map(drop)),
    }
}

/// A file with headers, with this mode.
fn headers_file(folder: &TempDir, headers: &str, mode: u32) -> Option<PathBuf> {
    let file = folder.path().join("headers");
    let _ = fs::remove_file(&file);
    write_key(&file, headers, mode);
    Some(file)
}

async fn call(server: &TestServer, id: &str) {
    let mut feeds = FeedServiceClient::new(server.channel());
    feeds.news_feed(news_feed("alice", &[(ID, id)])).await.unwrap();
}

/// At the start, and without a password that may be in it.
#[tokio::test]
async fn an_endpoint_that_is_no_url_is_refused() {
    for (endpoint, why) in [
        ("collector:4317", "no scheme"),
        ("ftp://collector", "no scheme"),
        ("http://", "no URL"),
        ("", "no"),
        ("http://collector:4317/v1/traces", "must end with the port"),
        ("http://me:hunter2@collector", "no password"),
    ] {
        let refused = refusal(sent_to(endpoint)).await;
        assert!(refused.contains(why) && !refused.contains("hunter2"), "{endpoint}: {refused}");
    }
    let missing = Path::new("/missing/ca.pem").to_owned();
    let tracing = Tracing { authorities: Some(missing), ..sent_to("https://localhost:1") };
    assert!(refusal(tracing).await.contains("/missing/ca.pem"));
}

/// Headers of a collector are secrets.
#[tokio::test]
async fn headers_that_are_not_kept_secret_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let many = "a: b\n".repeat(17);
    for (endpoint, text, mode, why) in [
        ("http://localhost:1", "key: hunter2", 0o644, "chmod 600"),
        ("http://localhost:1", "a: b\n\nkey hunter2", 0o600, "line 3 of"),
        ("http://localhost:1", "k y: hunter2", 0o600, "line 1 of"),
        ("http://localhost:1", &many, 0o600, "line 17 of"),
        ("http://collector:4317", "key: hunter2", 0o600, "clear text"),
        ("http://192.0.2.1:4317", "key: hunter2", 0o600, "clear text"),
    ] {
        let headers = headers_file(&folder, text, mode);
        let refused = refusal(Tracing { headers, ..sent_to(endpoint) }).await;
        assert!(refused.contains(why) && !refused.contains("hunter2"), "{why}: {refused}");
    }
}

/// By TLS, each request has the headers.
#[tokio::test]
async fn a_collector_gets_spans_by_tls_with_its_headers() {
    let (authority, folder) = (TestAuthority::new(), tempfile::tempdir().unwrap());
    let collector = Collector::start_with_tls(&authority.signs_server()).await;
    let tracing = Tracing {
        endpoint: collector.tracing().endpoint.replace("http:", "https:"),
        authorities: Some(authority.file()),
        headers: headers_file(&folder, "Authorization: Bearer one\nx-tenant: birds\n", 0o600),
        ..collector.tracing()
    };
    let server = Setup::new().tracing(tracing).start().await;
    call(&server, "by-tls").await;
    collector.span_of("by-tls").await;
    let headers = collector.headers();
    assert_eq!(headers.get("authorization").unwrap(), "Bearer one");
    assert_eq!(headers.get("x-tenant").unwrap(), "birds");
}

/// Who answers there may be anybody.
#[tokio::test]
async fn a_collector_of_another_authority_gets_nothing() {
    let (authority, other) = (TestAuthority::new(), TestAuthority::new());
    let collector = Collector::start_with_tls(&other.signs_server()).await;
    let tracing = Tracing {
        endpoint: collector.tracing().endpoint.replace("http:", "https:"),
        authorities: Some(authority.file()),
        ..collector.tracing()
    };
    let server = Setup::new().tracing(tracing).admin().start().await;
    call(&server, "to-nobody").await;
    let failed = async || {
        let it = scrape(server.admin_address()).await;
        let failed = it.sum("whimbrel_traced_calls_total", &[("outcome", "failed")]);
        (failed > 0.0).then_some(())
    };
    eventually("the spans to be given up", failed).await;
    assert!(collector.spans().is_empty());
}
