//! A log of one machine becomes one of several nodes and comes back: what clients hold stays valid, and nothing is copied
//! half, or onto something else.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::know_each_other;
use crate::harness::postgres::Postgres;
use crate::harness::program::{Program, Ran};
use crate::harness::{Setup, TestServer, copy_folder};

fn copy(from: &str, to: &str) -> Ran {
    let arguments = ["log", "copy", "--from", from, "--to", to, "--store-replicated-elsewhere"];
    Program::new().run_with(&[&arguments[..], &["--json"]].concat())
}

fn copied(from: &str, to: &str) -> serde_json::Value {
    let ran = copy(from, to);
    ran.printed();
    ran.lines()[0]["copied"].clone()
}

fn text(folder: &TempDir) -> &str {
    folder.path().to_str().unwrap()
}

/// A server with posts, of two epochs, which has stopped; the cursor between the two, and a page token.
async fn a_former_server() -> (Arc<TempDir>, String, String) {
    let mut server = TestServer::start().await;
    server.user("alice").follows("bob").await;
    server.user("bob").publishes_many("old ", 150).await;
    let post = server.user("bob").publishes("deleted").await;
    let user_id = "bob".to_owned();
    let delete = whimbrel::api::v1::DeletePostRequest { user_id, post_id: post.post_id };
    let channel = server.channel();
    let mut posts = whimbrel::api::v1::post_service_client::PostServiceClient::new(channel);
    posts.delete_post(delete).await.unwrap();
    let cursor = server.position().await;
    // What it appends from now on has another epoch.
    server.restart().await;
    server.user("bob").publishes_many("new ", 50).await;
    let token = server.user("alice").page(10, "").await.next_page_token;
    let folder = server.folder();
    server.stop().await;
    (folder, cursor, token)
}

/// All posts that are in Alice's feed.
fn all_posts() -> Vec<String> {
    let of = |prefix: &str, count: usize| {
        (1..=count).rev().map(|number| format!("{prefix}{number}")).collect::<Vec<_>>()
    };
    [of("new ", 50), of("old ", 150)].concat()
}

#[tokio::test]
async fn a_log_becomes_one_of_nodes_and_comes_back() {
    let Some(postgres) = Postgres::shared() else { return };
    let (folder, cursor, token) = a_former_server().await;
    let address = postgres.new_log();
    let first = copied(text(&folder), &address);
    assert_eq!(first["revision"], 203);
    copy(text(&folder), &address).failed(1, "has the log");

    let here = Setup::new().store(&address).start_on(Arc::clone(&folder)).await;
    let there = Setup::new().store(&address).start().await;
    let nodes = [here, there];
    know_each_other(&nodes, 2).await;
    for node in &nodes {
        let alice = node.user("alice");
        assert_eq!(alice.feed_in_pages_of(100).await.texts(), all_posts());
        let page = alice.page(10, &token).await;
        assert_eq!(page.items[0].post.as_ref().unwrap().text, "new 40");
        let mut watching = alice.watches_after(&cursor).await;
        assert_eq!(watching.events(50).await[49], "bob: new 50");
    }
    let running = copy(&address, text(&tempfile::tempdir().unwrap()));
    running.failed(1, "stop them first");
    let later = nodes[1].user("bob").publishes_once("by several", "id").await.cursor;
    let [here, there] = nodes;
    here.stop().await;
    there.stop().await;

    // Into a new folder, and into that of a node.
    let new = Arc::new(tempfile::tempdir().unwrap());
    let to_new = copied(&address, text(&new));
    assert_eq!(to_new, copied(&address, text(&folder)));
    assert_eq!(to_new["logId"], first["logId"]);
    for folder in [new, folder] {
        let mut expected = all_posts();
        expected.insert(0, "by several".to_owned());
        let server = Setup::new().start_on(folder).await;
        assert_eq!(server.user("alice").feed_in_pages_of(100).await.texts(), expected);
        let again = server.user("bob").publishes_once("by several", "id").await;
        assert!(again.deduplicated);
        server.user("bob").publishes("alone").await;
        let mut watching = server.user("alice").watches_after(&later).await;
        assert_eq!(watching.events(1).await, ["bob: alone"]);
    }
}

/// A folder that has the beginning of the log only, as one that was restored, is completed; it may end anywhere.
#[tokio::test]
async fn an_older_copy_of_the_folder_becomes_that_of_a_node() {
    let Some(postgres) = Postgres::shared() else { return };
    let server = TestServer::start().await;
    server.user("alice").follows("bob").await;
    server.user("bob").publishes_many("old ", 20).await;
    let older = Arc::new(tempfile::tempdir().unwrap());
    copy_folder(&server.log_folder(), &older.path().join("log"));
    server.user("bob").publishes_many("new ", 20).await;
    let folder = server.folder();
    server.stop().await;
    let address = postgres.new_log();
    copied(text(&folder), &address);
    let node = Setup::new().store(&address).start_on(older).await;
    assert_eq!(node.user("alice").feed_in_pages_of(100).await.texts().len(), 40);
}

/// An interrupted copy is gone on with, and is no log for nodes until it is whole.
#[tokio::test]
async fn an_interrupted_copy_goes_on() {
    let Some(postgres) = Postgres::shared() else { return };
    let (folder, ..) = a_former_server().await;
    let (interrupted, whole) = (postgres.new_log(), postgres.new_log());
    let expected = copied(text(&folder), &whole);
    copied(text(&folder), &interrupted);
    postgres.interrupt_copy(&interrupted, 153);
    let server = Setup::new().store(&interrupted).config(tempfile::tempdir().unwrap().path());
    let refused = whimbrel::server::Server::open(server).await.unwrap_err();
    assert!(refused.to_string().contains("run `whimbrel log copy` again"), "{refused}");
    let (other, ..) = a_former_server().await;
    copy(text(&other), &interrupted).failed(1, "has the log");
    assert_eq!(copied(text(&folder), &interrupted), expected);
    let server = Setup::new().store(&interrupted).start().await;
    assert_eq!(server.user("alice").feed_in_pages_of(100).await.texts(), all_posts());
}

/// What is not a log, is used, or went on after it was copied is refused, and says what to do.
#[tokio::test]
async fn what_cannot_be_copied_is_refused() {
    let Some(postgres) = Postgres::shared() else { return };
    let (folder, ..) = a_former_server().await;
    let address = postgres.new_log();
    let empty = tempfile::tempdir().unwrap();
    copy(text(&empty), &address).failed(1, "there is no log in");
    assert!(std::fs::read_dir(empty.path()).unwrap().next().is_none(), "nothing is made");
    copy(text(&empty), text(&folder)).failed(2, "one must be a folder");
    copy("ftp://x", text(&folder)).failed(2, "neither a folder");
    copied(text(&folder), &address);
    let server = Setup::new().start_on(Arc::clone(&folder)).await;
    copy(text(&folder), &postgres.new_log()).failed(1, "is in use");
    // It goes on alone: its log is another one than that in PostgreSQL from now on.
    server.user("bob").publishes("alone").await;
    server.stop().await;
    let config = Setup::new().store(&address).config(folder.path());
    let refused = whimbrel::server::Server::open(config).await.unwrap_err();
    assert!(refused.to_string().contains("which PostgreSQL does not have"), "{refused}");
    assert!(!Path::new(folder.path()).join("copy").exists(), "it stays a log of its own");
    Setup::new().start_on(folder).await.user("bob").publishes("still alone").await;
}
