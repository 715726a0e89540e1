//! `whimbrel check` and `whimbrel chain`: a data folder, alone and next to a server.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use whimbrel::storage::{LocalLog, Log, check_log};

use crate::harness::program::{Program, Ran};
use crate::harness::{LOG_OPTIONS, Setup, TestServer, copy_folder};

/// The report of a folder, for people and for machines, while its server runs and after it stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_checked_without_a_server() {
    let server = TestServer::start().await;
    server.user("alice").publishes_many("post ", 5).await;
    let folder = server.folder();
    let log = check_log(folder.path(), &mut |_| {}).unwrap();
    let (id, chain) = (log.id.to_string(), log.chain.to_string());
    let expected = [
        &format!("log {id}: no damage"),
        &format!("5 events in 1 segment, {} bytes, 1 epoch", grouped(log.bytes)),
        &format!("chain of revision 5: {chain}"),
    ];
    for _ in 0..2 {
        let ran = check(folder.path(), "");
        assert_eq!(ran.printed().lines().collect::<Vec<_>>(), expected);
        assert!(ran.stderr.contains("check-index"), "{}", ran.stderr);
        if let Ok(log) = LocalLog::open(folder.path(), LOG_OPTIONS) {
            panic!("the server has stopped: {log:?}");
        }
    }
    server.stop().await;

    let ran = Program::new()
        .with("WHIMBREL_DATA", folder.path().to_str().unwrap())
        .run("--json check --revision 3");
    let log = LocalLog::open(folder.path(), LOG_OPTIONS).unwrap();
    let at_3 = log.chain(whimbrel::model::Revision::new(3)).unwrap().unwrap().to_string();
    let mut line = ran.lines().remove(0);
    assert!(line["checked"]["index"]["rows"].take().as_u64().unwrap() > 5);
    assert!(line["checked"]["bytes"].take().as_u64().unwrap() > 1_000);
    let all = json!({
        "logId": id, "revision": 5, "chain": chain, "erasedUntil": 0, "segments": 1,
        "bytes": null, "epochs": 1, "tornBytes": 0, "index": { "revision": 5, "rows": null },
        "chainAt": { "revision": 3, "chain": at_3 },
    });
    assert_eq!((ran.code, line), (Some(0), json!({ "checked": all })));
    assert!(check(folder.path(), "--revision 3").printed().contains(&at_3));
    assert!(check(folder.path(), "--revision 5").printed().ends_with(&format!("{chain}\n")));
    check(folder.path(), "--revision 6").failed(1, "has no revision 6: its last is 5");
    check(folder.path(), "--revision 0").failed(2, "1 or more");
}

/// The folder of a running server, and a copy of it that is behind, are the same as the server's log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_behind_is_the_same() {
    let server = TestServer::start().await;
    server.user("alice").publishes_many("post ", 5).await;
    let backup = tempfile::tempdir().unwrap();
    copy_folder(&server.log_folder(), &backup.path().join("log"));
    compare(&server, server.folder().path(), [5, 5, 5]).printed();
    server.user("alice").publishes_many("later ", 3).await;
    compare(&server, server.folder().path(), [8, 8, 8]).printed();
    compare(&server, backup.path(), [8, 5, 5]).printed();
    let ran = Program::calling(server.address()).run_with(&arguments(backup.path(), ""));
    let last = "the server is at revision 8; the histories are the same up to revision 5";
    assert_eq!(ran.printed().lines().last(), Some(last));
}

/// A server on an older copy is the same, up to its own end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_ahead_is_the_same() {
    let mut server = TestServer::start().await;
    compare(&server, server.folder().path(), [0, 0, 0]).printed();
    let empty = server.restored_copy().await;
    server.user("alice").publishes_many("post ", 3).await;
    let older = server.restored_copy().await;
    server.user("alice").publishes_many("later ", 4).await;
    compare(&older, server.folder().path(), [3, 3, 3]).printed();
    compare(&empty, server.folder().path(), [0, 0, 0]).printed();
    compare(&server, empty.folder().path(), [7, 0, 0]).printed();
}

/// Two histories of one log: the last revision that they share is found, wherever they part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_common_revision_is_found() {
    for shared in [0, 1, 2, 6, 7, 20] {
        let mut server = TestServer::start().await;
        server.user("alice").publishes_many("shared ", shared).await;
        let copy = server.restored_copy().await;
        server.user("alice").publishes_many("here ", 8).await;
        copy.user("alice").publishes_many("there ", 5).await;
        let shared = shared as u64;
        for (server, newest, other) in [(&server, shared + 8, &copy), (&copy, shared + 5, &server)]
        {
            let ran = compare(server, other.folder().path(), [newest, shared + 5, shared]);
            ran.failed(1, &format!("the server has another history after revision {shared}"));
        }
    }
}

/// The log of another server is another one, even if both are empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_log_is_refused() {
    let (server, other) = (TestServer::start().await, TestServer::start().await);
    let own = check_log(other.folder().path(), &mut |_| {}).unwrap().id;
    for _ in 0..2 {
        let ran =
            Program::calling(server.address()).run_with(&arguments(other.folder().path(), ""));
        ran.failed(1, "the server has another log (").failed(1, &format!("this is {own})"));
        server.user("alice").publishes("one").await;
        other.user("alice").publishes("one").await;
    }
}

/// Damage, posts that are back, and a server that is not there: each ends with its exit code.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn problems_are_reported() {
    let server = TestServer::start().await;
    server.user("alice").publishes_many("post ", 5).await;
    let folder = server.folder();
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    let ran = Program::calling(nobody).run_with(&arguments(folder.path(), ""));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""));
    server.stop().await;

    let segment = folder.path().join("log/0000000000000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    // In the first frame.
    bytes[250] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let ran = check(folder.path(), "");
    ran.failed(1, "0000000000000001.seg is damaged: the frame of revision 1 at byte 128");
    assert_eq!(ran.stdout, "");
    let error: Value = serde_json::from_str(&check(folder.path(), "--json").stderr).unwrap();
    assert!(error["error"]["message"].as_str().unwrap().contains("is damaged"), "{error}");
    let missing = folder.path().join("missing");
    check(&missing, "").failed(1, "there is no log in ");
}

/// A segment of an older copy brings a deleted post back: the report says how many, and from where on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_that_are_back_are_reported() {
    let often = |limits: &mut whimbrel::config::Limits| {
        limits.compaction_interval = std::time::Duration::from_millis(1);
    };
    let mut server = TestServer::start().await;
    let post = server.user("alice").publishes("a secret").await.post_id;
    let call = |server: &TestServer, arguments: &str| {
        Program::calling(server.address()).run(arguments).printed().to_owned()
    };
    call(&server, &format!("delete alice {post}"));
    let older = server.restored_copy().await;
    let kept = older.folder();
    older.stop().await;
    let folder = server.folder();
    server.stop().await;
    let server = Setup::new().limits(often).start_on(Arc::clone(&folder)).await;
    crate::harness::eventually("the erasure", async || {
        let log = check_log(folder.path(), &mut |_| {}).unwrap();
        (log.erased_until.get() == 2).then_some(())
    })
    .await;
    server.stop().await;
    let ran = check(folder.path(), "");
    assert!(ran.printed().contains("posts that were deleted up to revision 2 are erased"));

    let name = "log/0000000000000001.seg";
    fs::copy(kept.path().join(name), folder.path().join(name)).unwrap();
    let ran = check(folder.path(), "--json");
    ran.failed(1, "1 deleted post should be erased").failed(1, "the first at revision 1");
    assert_eq!(ran.lines()[0]["checked"]["notErased"], json!({ "posts": 1, "first": 1 }));
}

/// The verb of the RPC.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chain_of_a_server_is_printed() {
    let server = TestServer::start().await;
    server.user("alice").publishes_many("post ", 2).await;
    let run = |arguments: &str| Program::calling(server.address()).run(arguments);
    let log = check_log(server.folder().path(), &mut |_| {}).unwrap();
    let text = format!("log {}, revision 2: {}\n", log.id, log.chain);
    assert_eq!(run("chain").printed(), text);
    assert_eq!(run("chain 2").printed(), text);
    assert_ne!(run("chain 1").printed(), text);
    run("chain 3").failed(1, "revision must be at most 2, the newest revision, not 3");
    run("chain -1").failed(2, "-1");
}

/// Verifies the folder without a server.
fn check(folder: &Path, more: &str) -> Ran {
    Program::new().run_with(&arguments(folder, more))
}

fn arguments<'a>(folder: &'a Path, more: &'a str) -> Vec<&'a str> {
    let mut arguments = vec!["check", "--data", folder.to_str().unwrap()];
    arguments.extend(more.split_whitespace());
    arguments
}

/// Compares the folder with the server, which must give the server's newest revision, the revision
/// that was compared, and the last that both have.
#[track_caller]
fn compare(server: &TestServer, folder: &Path, [newest, compared, same]: [u64; 3]) -> Ran {
    let address = server.address().to_string();
    let ran = check(folder, &format!("--json --addr {address}"));
    let mut lines = ran.lines();
    assert_eq!(lines.len(), 2, "{ran:?}");
    let log_id = lines[0]["checked"]["logId"].take();
    let expected = json!({
        "logId": log_id, "newestRevision": newest, "comparedRevision": compared,
        "isSame": compared == same, "sameUntil": same,
    });
    assert_eq!(lines[1], json!({ "compared": expected }));
    ran
}

fn grouped(number: u64) -> String {
    assert!((1_000..1_000_000).contains(&number));
    format!("{},{:03}", number / 1_000, number % 1_000)
}
