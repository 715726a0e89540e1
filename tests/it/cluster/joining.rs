//! A new node, and one whose disk is gone, get the log from another node, or from PostgreSQL, and have all of it when they
//! serve.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use whimbrel::storage::{Error, LocalLog, LogOptions, LogRestore, PostgresLog, check_log};

use super::know_each_other;
use crate::harness::admin::scrape;
use crate::harness::postgres::Postgres;
use crate::harness::{Setup, TestServer};

/// How many files of the log were read at `node`.
async fn files_read(node: &TestServer) -> f64 {
    let scrape = scrape(node.admin_address()).await;
    let rpc = [("rpc", "whimbrel.v1.AdminService/ReadSegment"), ("code", "OK")];
    scrape.sum("whimbrel_calls_total", &rpc)
}

/// A node with more of the log than one file has.
async fn full(setup: Setup) -> TestServer {
    let node = setup.admin().start().await;
    node.user("alice").follows("bob").await;
    let text = "x".repeat(280);
    node.user("bob").publishes_many(&text, 1_500).await;
    know_each_other(std::slice::from_ref(&node), 1).await;
    node
}

async fn has_all(node: &TestServer) {
    assert_eq!(node.user("alice").feed_in_pages_of(100).await.texts().len(), 1_500);
}

#[tokio::test]
async fn a_new_node_gets_the_log_from_another_one() {
    let Some(postgres) = Postgres::shared() else { return };
    let address = postgres.new_log();
    let setup = || Setup::new().store(&address);
    let there = full(setup()).await;
    let new = setup().start().await;
    let read = files_read(&there).await;
    assert!(read > 1.0, "{read} files were read");
    has_all(&new).await;
    // Its own copy goes on where that of the other one ended.
    there.user("bob").publishes("later").await;
    new.user("bob").publishes("later again").await;
    let folder = new.folder();
    new.stop().await;
    // Not again: it has a log.
    let again = setup().start_on(Arc::clone(&folder)).await;
    assert_eq!(files_read(&there).await, read);
    again.stop().await;
    drop(folder);
    let lost = setup().start().await;
    assert!(files_read(&there).await > read);
    assert_eq!(lost.user("alice").page(2, "").await.items.len(), 2);
    assert_eq!(lost.user("alice").feed_in_pages_of(100).await.texts().len(), 1_502);
}

/// A node that cannot be reached, or says that it has another log, is none to get it from.
#[tokio::test]
async fn without_another_node_the_log_comes_from_postgresql() {
    let Some(postgres) = Postgres::shared() else { return };
    let address = postgres.new_log();
    let there = full(Setup::new().store(&address).node_address("http://127.0.0.1:9")).await;
    let new = Setup::new().store(&address).start().await;
    assert_eq!(files_read(&there).await, 0.0);
    has_all(&new).await;
}

/// Zeros a page in the middle of the newest segment, as when a power cut lets only later ones reach the disk.
fn lose_a_page(log: &Path) {
    const PAGE: usize = 4096;
    let files = fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> =
        files.filter(|file| file.extension().is_some_and(|it| it == "seg")).collect();
    segments.sort();
    let is_written = |file: &&std::path::PathBuf| fs::read(file).unwrap()[0] != 0;
    let newest = segments.iter().rfind(is_written).unwrap();
    let mut content = fs::read(newest).unwrap();
    let end = content.iter().rposition(|&byte| byte != 0).unwrap();
    let page = end / 2 / PAGE * PAGE;
    assert!(page > 0 && page + 2 * PAGE < end, "it is one of several");
    content[page..page + PAGE].fill(0);
    fs::write(newest, content).unwrap();
}

#[tokio::test]
async fn what_a_power_cut_takes_from_a_copy_is_fetched_again() {
    let Some(postgres) = Postgres::shared() else { return };
    let address = postgres.new_log();
    let setup = || Setup::new().store(&address);
    let node = setup().start().await;
    node.user("alice").follows("bob").await;
    let (folder, log) = (node.folder(), node.log_folder());
    // Nothing is known to be flushed yet, or only this.
    let checkpoint = fs::read(log.join("checkpoint")).ok();
    let text = "x".repeat(280);
    node.user("bob").publishes_many(&text, 100).await;
    node.stop().await;
    lose_a_page(&log);
    let damaged = check_log(folder.path(), &mut |_| {}).unwrap_err();
    assert!(matches!(damaged, Error::EndsEarly { .. }), "{damaged}");
    let store = Postgres::options(&address);
    let options = LogOptions { disk_free_bytes_min: 0, segment_bytes_max: 1 << 20 };
    let open = || PostgresLog::open(folder.path(), options, store).map(drop);
    let refused = std::thread::scope(|scope| scope.spawn(open).join().unwrap()).unwrap_err();
    assert!(refused.to_string().contains("is damaged, but a later one"), "{refused}");
    match checkpoint {
        Some(checkpoint) => fs::write(log.join("checkpoint"), checkpoint).unwrap(),
        None => fs::remove_file(log.join("checkpoint")).unwrap(),
    }
    let torn = check_log(folder.path(), &mut |_| {}).unwrap();
    assert!(torn.torn_bytes > 0 && torn.head.get() > 1, "{torn:?}");
    let node = setup().start_on(Arc::clone(&folder)).await;
    assert_eq!(node.user("alice").feed_in_pages_of(100).await.texts().len(), 100);
    node.stop().await;
    let whole = check_log(folder.path(), &mut |_| {}).unwrap();
    assert_eq!((whole.head.get(), whole.torn_bytes), (101, 0));
}

/// A node that was killed while it copied the log from another one begins again, also if that one is gone; and what it had
/// by then is never taken for a log of its own.
#[tokio::test]
async fn an_interrupted_copy_is_begun_again() {
    let Some(postgres) = Postgres::shared() else { return };
    let address = postgres.new_log();
    let there = Setup::new().store(&address).start().await;
    there.user("bob").publishes("one").await;
    there.stop().await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    drop(LogRestore::begin_copy(folder.path()).unwrap());
    fs::write(folder.path().join("log.restore/0000000000000001.seg"), "a part").unwrap();
    let options = LogOptions { disk_free_bytes_min: 0, segment_bytes_max: 1 << 20 };
    let alone = LocalLog::open(folder.path(), options).unwrap_err();
    assert!(matches!(alone, Error::IsACopy { .. }), "{alone}");
    let node = Setup::new().store(&address).start_on(Arc::clone(&folder)).await;
    assert_eq!(node.user("bob").feed().await.texts(), ["one"]);
    assert!(!folder.path().join("log.restore").exists());
}

/// A node that starts before PostgreSQL waits for it: here the first connections are lost.
#[tokio::test]
async fn a_node_waits_for_postgresql() {
    let Some(postgres) = Postgres::shared() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = postgres.new_log();
    let (before, after) = there.split_once('@').unwrap();
    let (server, after) = after.split_once('/').unwrap();
    let address = format!("{before}@{}/{after}", listener.local_addr().unwrap());
    let server = server.to_owned();
    let mut forwarding = JoinSet::new();
    forwarding.spawn(async move {
        for _ in 0..3 {
            drop(listener.accept().await.unwrap());
        }
        let mut connections = JoinSet::new();
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut postgres = TcpStream::connect(&server).await.unwrap();
            connections.spawn(async move { copy_bidirectional(&mut socket, &mut postgres).await });
        }
    });
    let node = Setup::new().store(&address).start().await;
    assert_eq!(node.user("alice").feed().await.texts().len(), 0);
}
