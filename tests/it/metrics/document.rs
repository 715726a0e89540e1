//! What metrics are called, and that estimates of memory are those that docs/operations.md gives.

use std::fs;
use std::path::Path;

use whimbrel::api::v1::{BlockRequest, DeletePostRequest, FollowRequest, MuteRequest};
use whimbrel::client::Client;
use whimbrel::runtime::metrics::{Kind, Metric};
use whimbrel::server::Server;

use crate::harness::Setup;
use crate::harness::admin::scrape;

/// The metrics of a server, with all that it can have.
pub(crate) async fn metrics() -> Vec<&'static Metric> {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::open(Setup::new().config(folder.path())).await.unwrap();
    server.scrape().families().iter().map(|family| family.metric).collect()
}

/// Names are those that Prometheus recommends, and help is a sentence for people.
#[tokio::test]
async fn names_and_help_follow_the_rules() {
    for Metric { name, kind, labels, help } in metrics().await {
        let is_counter = *kind == Kind::Counter;
        assert_eq!(is_counter, name.ends_with("_total"), "{name}");
        assert!(name.starts_with("whimbrel_") || name.starts_with("process_"), "{name}");
        let is_word =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(is_word(name) && labels.iter().all(|label| is_word(label)), "{name}");
        for unit in ["_ms", "_milliseconds", "_mib", "_kb", "_micros"] {
            assert!(!name.contains(unit), "{name} has no base unit");
        }
        assert!(help.len() > 10 && !help.ends_with('.'), "{name}: {help}");
        assert!(help.starts_with(|first: char| first.is_uppercase()), "{name}: {help}");
    }
}

/// What an item is counted as is what the table of memory says.
#[tokio::test]
async fn estimates_of_memory_are_those_of_the_table() {
    let server = Setup::new().admin().start().await;
    let client = Client::connect(&server.address().to_string()).await.unwrap();
    let (user_id, followee_id) = ("alice".to_owned(), "bob".to_owned());
    client.follow(FollowRequest { user_id: user_id.clone(), followee_id }).await.unwrap();
    let blocked_id = "carol".to_owned();
    client.block(BlockRequest { user_id: user_id.clone(), blocked_id }).await.unwrap();
    let muted_id = "dan".to_owned();
    client.mute(MuteRequest { user_id: user_id.clone(), muted_id }).await.unwrap();
    let alice = server.user("alice");
    let post = alice.publishes_once("hi", "request").await.post.unwrap();
    client.delete_post(DeletePostRequest { user_id, post_id: post.post_id }).await.unwrap();
    let _watching = alice.watches().await;

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = fs::read_to_string(path).unwrap();
    let scraped = scrape(server.admin_address()).await;
    for (kind, row) in [
        ("user", "user"),
        ("follow", "follow"),
        ("block", "block or mute"),
        ("mute", "block or mute"),
        ("retraction", "deleted post, removed repost"),
        ("request_id", "request id"),
        ("streams", "watcher"),
    ] {
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("| {row} | ")));
        let each = line.and_then(|line| line.split_once(" B |")).expect("a row of bytes").0;
        let each: f64 = each.replace(',', "").parse().unwrap();
        let of_kind = [("kind", kind)];
        let items = match kind {
            "streams" => scraped.sum("whimbrel_streams_open", &[]),
            _ => scraped.sum("whimbrel_state_items", &of_kind),
        };
        let bytes = scraped.sum("whimbrel_memory_estimated_bytes", &of_kind);
        assert!(items > 0.0, "no {kind}");
        assert_eq!(bytes, items * each, "bytes of {kind}");
    }
}
