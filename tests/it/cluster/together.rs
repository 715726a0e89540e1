//! The nodes are one server to their clients: what one acknowledged, all have, once and in one order, and a stream goes on
//! at another one.

use std::collections::HashSet;

use tokio::task::JoinSet;
use whimbrel::api::v1::meta_service_client::MetaServiceClient;
use whimbrel::api::v1::{GetLatestCursorRequest, NewsFeedRequest};

use super::{NODES, nodes};
use crate::harness::admin::scrape;
use crate::harness::postgres::Postgres;
use crate::harness::program::Program;
use crate::harness::{Setup, TestServer, eventually, within};

/// The feed of `name` at each node, once it has `posts` posts there.
async fn feeds(nodes: &[TestServer], name: &str, posts: usize) -> Vec<Vec<String>> {
    let mut feeds = Vec::new();
    for node in nodes {
        let user = node.user(name);
        let feed = eventually("the node has all posts", async || {
            let feed = user.feed_in_pages_of(100).await;
            (feed.posts().count() == posts).then_some(feed)
        })
        .await;
        feeds.push(feed.posts().map(|post| format!("{} {}", post.post_id, post.text)).collect());
    }
    feeds
}

/// What a client did at one node it finds at another one, by the cursor of the answer.
#[tokio::test]
async fn who_writes_here_reads_it_there() {
    let Some(postgres) = Postgres::shared() else { return };
    let (_, nodes) = nodes(postgres).await;
    for round in 0..20 {
        let (here, there) = (&nodes[round % NODES], &nodes[(round + 1) % NODES]);
        let text = format!("round {round}");
        let published = here.user("bob").publishes_once(&text, &text).await;
        let request = NewsFeedRequest {
            user_id: "bob".to_owned(),
            at_least_cursor: published.cursor,
            ..Default::default()
        };
        let page = there.user("bob").tries_to_read(request).await.unwrap();
        let newest = page.items[0].post.clone().unwrap();
        assert_eq!(Some(newest), published.post);
        // The same request at another node is the same post.
        let again = there.user("bob").publishes_once(&text, &text).await;
        assert!(again.deduplicated, "{again:?}");
    }
}

/// A cursor of now, from any node, is after all that any of them has acknowledged.
#[tokio::test]
async fn a_cursor_of_now_is_after_what_others_acknowledged() {
    let Some(postgres) = Postgres::shared() else { return };
    let (_, nodes) = nodes(postgres).await;
    for round in 0..50 {
        let (here, there) = (&nodes[round % NODES], &nodes[(round + 1) % NODES]);
        let text = format!("round {round}");
        let published = here.user("bob").publishes_once(&text, &text).await;
        assert_eq!(latest_cursor(there).await, published.cursor);
    }
}

async fn latest_cursor(node: &TestServer) -> String {
    let mut client = MetaServiceClient::new(node.channel());
    client.get_latest_cursor(GetLatestCursorRequest {}).await.unwrap().into_inner().cursor
}

/// All nodes write at once: every acknowledged post is there once, in one order everywhere, and a request id that several
/// nodes got at the same time is used for one post.
#[tokio::test]
async fn all_nodes_write_at_once() {
    const EACH: usize = 40;
    let Some(postgres) = Postgres::shared() else { return };
    let (_, nodes) = nodes(postgres).await;
    nodes[0].user("alice").follows("bob").await;
    let mut writers = JoinSet::new();
    for (number, node) in nodes.iter().enumerate() {
        let user = node.user("bob");
        writers.spawn(async move {
            let mut ids = Vec::new();
            for post in 0..EACH {
                user.publishes(&format!("{post} of {number}")).await;
                let text = format!("shared {post}");
                let answer = user.publishes_once(&text, &text).await;
                ids.push(answer.post.unwrap().post_id);
            }
            ids
        });
    }
    let ids = writers.join_all().await;
    assert_eq!(ids[0], ids[1], "a request id is one post");
    assert_eq!(ids[1], ids[2], "a request id is one post");
    let feeds = feeds(&nodes, "alice", (NODES + 1) * EACH).await;
    assert_eq!(feeds[0], feeds[1]);
    assert_eq!(feeds[1], feeds[2]);
    let different: HashSet<_> = feeds[0].iter().collect();
    assert_eq!(different.len(), feeds[0].len(), "no post is there twice");
}

/// A stream at one node has what others publish, and goes on at another node after its cursor.
#[tokio::test]
async fn a_stream_goes_on_at_another_node() {
    let Some(postgres) = Postgres::shared() else { return };
    let (_, nodes) = nodes(postgres).await;
    nodes[0].user("alice").follows("bob").await;
    let mut seen = Vec::new();
    let mut cursor = nodes[0].position().await;
    for round in 0..9 {
        let mut watching = nodes[round % NODES].user("alice").watches_after(&cursor).await;
        nodes[(round + 1) % NODES].user("bob").publishes(&format!("{round} a")).await;
        nodes[(round + 2) % NODES].user("bob").publishes(&format!("{round} b")).await;
        seen.extend(watching.events(2).await);
        cursor = watching.cursor().to_owned();
    }
    let expected: Vec<_> =
        (0..9).flat_map(|round| [format!("bob: {round} a"), format!("bob: {round} b")]).collect();
    assert_eq!(seen, expected);
}

/// Connections to PostgreSQL are cut all the time: writers only wait, and nothing is lost or repeated.
#[tokio::test]
async fn lost_connections_are_only_waited_for() {
    const EACH: usize = 60;
    let Some(postgres) = Postgres::shared() else { return };
    let (address, nodes) = nodes(postgres).await;
    let mut writers = JoinSet::new();
    for (number, node) in nodes.iter().enumerate() {
        let user = node.user("bob");
        writers.spawn(async move {
            for post in 0..EACH {
                let text = format!("{post} of {number}");
                user.publishes_once(&text, &text).await;
            }
        });
    }
    let mut cuts = 0;
    while !writers.is_empty() {
        cuts += postgres.cut_connections(&address);
        // The cuts are not faster than nodes connect again.
        let pause = std::time::Duration::from_millis(400);
        let done = tokio::time::timeout(pause, writers.join_next()).await;
        if let Ok(Some(done)) = done {
            done.unwrap();
        }
    }
    assert!(cuts > 0, "no connection was cut");
    let feeds = feeds(&nodes, "bob", NODES * EACH).await;
    assert_eq!(feeds[0], feeds[1]);
    assert_eq!(feeds[1], feeds[2]);
    let texts: HashSet<_> = feeds[0].iter().filter_map(|post| post.split_once(' ')).collect();
    assert_eq!(texts.len(), NODES * EACH);
}

/// Without PostgreSQL a node goes on to read, and stops in order: a change that waits is not acknowledged.
#[tokio::test]
async fn a_node_without_postgresql_reads_and_stops() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let server = Setup::new().store(&postgres.new_log()).start().await;
    let bob = server.user("bob");
    bob.publishes("before").await;
    let watching = server.user("bob").watches().await;
    drop(postgres);
    let mut waits = JoinSet::new();
    // On the connection of the reads below: once they are answered, it has arrived.
    let writer = server.user("bob");
    waits.spawn(async move { writer.tries_to_publish("meanwhile", "").await });
    for _ in 0..2 {
        assert_eq!(bob.feed().await.texts(), ["before"]);
    }
    drop(watching);
    within("a stop", server.stop()).await;
    let refused = waits.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(refused.message().contains("may or may not"), "{refused}");
}

/// What is published at one node is measured, and not lost, where it is watched at another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bench_watches_at_another_node() {
    let Some(postgres) = Postgres::shared() else { return };
    let (_, nodes) = nodes(postgres).await;
    let (here, there) = (nodes[0].address().to_string(), nodes[1].address().to_string());
    let watched_at = ["bench", "--json", "--only", "fan_out_shared", "--watch-addr", &there];
    let small = ["--watchers", "8", "--posts", "20"];
    Program::new().run_with(&[&watched_at[..], &small].concat()).failed(2, "give both");
    let ran = Program::new().run_with(&[&watched_at[..], &small, &["--addr", &here]].concat());
    ran.printed();
    let row = &ran.lines()[0]["measured"];
    assert_eq!(row["lost"], 0, "{row}");
    // Its streams were there.
    assert_eq!(
        scrape(nodes[0].admin_address()).await.sum("whimbrel_streams_opened_total", &[]),
        0.0
    );
}
