//! Settings that are changed while the server runs: each that can be is seen by what the server does,
//! the others are named, and a broken file changes nothing.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;
use tempfile::TempDir;
use tonic::Code;
use whimbrel::api::v1::post_service_client::PostServiceClient;
use whimbrel::api::v1::{DeletePostRequest, Post};

use super::process::ServerProcess;
use crate::harness::{User, connect, eventually, refused};

/// A server process, its file with settings, and its log.
struct Configured {
    folder: TempDir,
    server: ServerProcess,
}

impl Configured {
    fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("whimbrel.toml"), with_data(settings)).unwrap();
        let (file, log) = (folder.path().join("whimbrel.toml"), folder.path().join("log.txt"));
        let server = ServerProcess::start_configured(&file, &log);
        Self { folder, server }
    }

    /// Writes the file, has it read, and waits until `logged` is logged once more.
    async fn sets(&self, settings: &str, logged: &str) -> String {
        self.writes(&with_data(settings), logged).await
    }

    async fn writes(&self, text: &str, logged: &str) -> String {
        let lines = |log: String| log.lines().filter(|line| line.contains(logged)).count();
        let before = lines(self.log());
        // In one step, as an operator should: so no half of it is read.
        let new = self.folder.path().join("new.toml");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.folder.path().join("whimbrel.toml")).unwrap();
        self.server.signal(Signal::HUP);
        eventually(logged, async || (lines(self.log()) > before).then(|| self.log())).await
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log.txt")).unwrap()
    }

    /// A user on a connection of their own.
    fn user(&self, name: &str) -> User {
        User::new(name, connect(self.server.address()))
    }

    fn segment(&self) -> PathBuf {
        self.folder.path().join("data/log/0000000000000001.seg")
    }
}

fn with_data(settings: &str) -> String {
    format!("data = 'data'\nlog_format = 'text'\n{settings}\n")
}

async fn deletes(it: &Configured, post: Post) {
    let request = DeletePostRequest { user_id: post.author_id, post_id: post.post_id };
    let mut posts = PostServiceClient::new(connect(it.server.address()));
    posts.delete_post(request).await.expect("it is deleted");
}

const CHANGED: &str = "the setting is changed";

/// The limits of follows and streams, and the free space that changes need.
#[tokio::test]
async fn limits_that_are_changed_hold_at_once() {
    let it = Configured::start("follows_max = 1");
    let alice = it.user("alice");
    alice.follows("bob").await;
    let too_many = refused(alice.tries_to_follow("carol").await);
    too_many.with(Code::ResourceExhausted, "TOO_MANY_FOLLOWS");
    it.sets("follows_max = 2", CHANGED).await;
    alice.follows("carol").await;

    let first = alice.watches().await;
    it.sets("user_streams_max = 1", "user_streams_max").await;
    refused(alice.tries_to_watch(Default::default()).await)
        .with(Code::ResourceExhausted, "TOO_MANY_STREAMS");
    it.user("bob").watches().await;
    it.sets("streams_max = 1", "\"streams_max\"").await;
    refused(it.user("bob").tries_to_watch(Default::default()).await)
        .with(Code::ResourceExhausted, "TOO_MANY_STREAMS");
    it.sets("streams_max = 3", CHANGED).await;
    it.user("bob").watches().await;
    drop(first);

    it.sets("disk_free_min = 1073741824", CHANGED).await;
    refused(alice.tries_to_publish("no room", "").await).with(Code::ResourceExhausted, "DISK_FULL");
    it.sets("disk_free_min = 0", CHANGED).await;
    alice.publishes("there is room again").await;
    it.sets("disk_free_min = 0", "no setting has changed").await;
}

/// The limits of connections.
#[tokio::test]
async fn limits_of_connections_that_are_changed_hold_at_once() {
    for (setting, other) in [
        ("connections_max", "address_connections_max = 9"),
        ("address_connections_max", "connections_max = 9"),
    ] {
        let it = Configured::start(other);
        let alice = it.user("alice");
        alice.feed().await;
        it.sets(&format!("{other}\n{setting} = 1"), CHANGED).await;
        assert!(it.user("bob").tries_to_read(Default::default()).await.is_err(), "{setting}");
        alice.feed().await;
        it.sets(&format!("{other}\n{setting} = 2"), CHANGED).await;
        it.user("bob").feed().await;
    }
}

/// How soon deleted posts are erased, also of those that were deleted before.
#[tokio::test]
async fn posts_are_erased_by_the_interval_in_force() {
    let it = Configured::start("compact_every = 86400");
    let alice = it.user("alice");
    let post = alice.publishes("a text that is erased").await;
    deletes(&it, post).await;
    let has_text = || {
        let bytes = fs::read(it.segment()).unwrap();
        bytes.windows(21).any(|some| some == b"a text that is erased")
    };
    assert!(has_text());
    // Found by the compactor with this interval, in the time in which a changed file is noticed.
    it.sets("compact_every = 80000", CHANGED).await;
    let file = it.folder.path().join("whimbrel.toml");
    fs::write(file, with_data("compact_every = 80000\ndrain_notice = 1")).unwrap();
    eventually("the file to be read", async || it.log().contains("drain_notice").then_some(()))
        .await;
    assert!(has_text());
    it.sets("compact_every = 1", CHANGED).await;
    eventually("the text to be erased", async || (!has_text()).then_some(())).await;
}

/// The filter of the log, and how long a stop takes calls.
#[tokio::test]
async fn the_log_and_the_stop_follow_the_file() {
    let it = Configured::start("log = 'error'");
    assert!(!it.log().contains("log replayed"), "{}", it.log());
    it.sets("log = 'info'\ndrain_notice = 3600", "drain_notice").await;
    it.server.begin_to_terminate();
    eventually("the stop to begin", async || it.log().contains("stopping").then_some(())).await;
    // A new connection is still served.
    it.user("alice").feed().await;
    it.server.kill();
}

/// What cannot be changed is named each time, until it is as at the start; nothing of a broken file is
/// in force; and no signal is needed.
#[tokio::test]
async fn what_cannot_be_changed_is_named_and_a_broken_file_changes_nothing() {
    let it = Configured::start("follows_max = 1");
    let alice = it.user("alice");
    let log = it.sets("follows_max = 1\nthreads = 3\npost_cache = 9", "needs a restart").await;
    assert!(log.contains("setting=\"threads\"") || log.contains("threads"), "{log}");
    let issuer = "[[issuer]]\nissuer = 'a'\naudience = 'b'\njwks_file = 'none'";
    it.sets(&format!("follows_max = 1\n{issuer}"), "issuer, certificate").await;
    it.sets("follows_max = 1", "no setting has changed").await;

    for (broken, why) in [
        ("follows_max = 5\nfolows_max = 5", "whimbrel.toml:4: folows_max"),
        ("follows_max = 5\nstreams_max = 99999999999", "the limit streams_max"),
        ("follows_max = 5\n[", "whimbrel.toml:4"),
    ] {
        let log = it.sets(broken, "the former ones stay in force").await;
        assert!(log.contains(why), "{why}: {log}");
    }
    alice.follows("bob").await;
    refused(alice.tries_to_follow("carol").await).with(Code::ResourceExhausted, "TOO_MANY_FOLLOWS");
    fs::write(it.folder.path().join("whimbrel.toml"), with_data("follows_max = 2")).unwrap();
    eventually("the file to be read", async || {
        it.log().contains("the file has changed").then_some(())
    })
    .await;
    alice.follows("carol").await;
    fs::remove_file(it.folder.path().join("whimbrel.toml")).unwrap();
    eventually("its loss to be noticed", async || it.log().contains("No such file").then_some(()))
        .await;
    alice.feed().await;
}

/// A flag goes before what the file is changed to.
#[tokio::test]
async fn a_flag_goes_before_a_changed_file() {
    let it = Configured::start("");
    let before = it.server.address();
    // `--listen` is given, and the file is not asked.
    it.sets("listen = '127.0.0.1:1'\nfollows_max = 7", CHANGED).await;
    assert!(!it.log().contains("needs a restart"), "{}", it.log());
    assert_eq!(it.server.address(), before);
}
