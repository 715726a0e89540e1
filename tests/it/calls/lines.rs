//! The lines of the log about calls, of the built program.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tonic::Code;
use whimbrel::api::v1::WatchFeedRequest;
use whimbrel::api::v1::feed_service_client::FeedServiceClient;

use super::{follow, news_feed, with_headers};
use crate::harness::wire::{FOLLOW, PUBLISH, Wire};
use crate::harness::{connect, eventually, within};
use crate::server::process::ServerProcess;

const ID: &str = "x-request-id";

/// A server process that logs JSON to a file.
struct Logging {
    folder: TempDir,
    server: ServerProcess,
}

impl Logging {
    fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, settings);
        let (file, log) = (folder.path().join("whimbrel.toml"), folder.path().join("log.txt"));
        Self { server: ServerProcess::start_configured(&file, &log), folder }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log.txt")
    }

    /// All lines of this part of the program.
    fn lines(&self, target: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.log()).unwrap();
        let whole = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        whole.filter(|line| line["target"] == target).collect()
    }

    /// Waits for the line of the access log about the call with this id.
    async fn access(&self, id: &str) -> Value {
        let line =
            async || self.lines("whimbrel::access").into_iter().find(|line| line["call_id"] == id);
        eventually(&format!("the line about {id}"), line).await
    }
}

fn write(folder: &TempDir, settings: &str) {
    let text = format!("data = 'data'\nlog_format = 'json'\n{settings}\n");
    fs::write(folder.path().join("whimbrel.toml"), text).unwrap();
}

/// Also if other lines are not wanted.
#[tokio::test]
async fn each_call_has_a_line_once_it_has_ended() {
    let it = Logging::start("access_log = true\nlog = 'error'");
    let mut feeds = FeedServiceClient::new(connect(it.server.address()));
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    feeds.follow(follow("alice", "bob", &[(ID, "one"), ("traceparent", trace)])).await.unwrap();
    let line = it.access("one").await;
    assert_eq!(line["rpc"], "whimbrel.v1.FeedService/Follow");
    assert_eq!((&line["code"], &line["reason"]), (&"Ok".into(), &Value::Null));
    assert_eq!(line["peer"], "127.0.0.1");
    assert_eq!(line["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert!(line["seconds"].as_f64().unwrap() > 0.0);
    assert!(line["request_bytes"].as_u64().unwrap() > 5, "{line}");
    assert!(line["response_bytes"].as_u64().unwrap() > 5, "{line}");
    assert!(!line.to_string().contains("alice"), "{line}");

    feeds.follow(follow("alice", "alice", &[(ID, "self")])).await.unwrap_err();
    let line = it.access("self").await;
    assert_eq!(
        (&line["code"], &line["reason"]),
        (&"InvalidArgument".into(), &"SELF_FOLLOW".into())
    );

    let wire = Wire::connect(it.server.address()).await;
    wire.http("GET", FOLLOW, &[(ID, b"browser")], "").await;
    assert_eq!(it.access("browser").await["reason"], "NOT_A_CALL");

    let watch = WatchFeedRequest { user_id: "alice".to_owned(), ..Default::default() };
    let stream = feeds.watch_feed(with_headers(watch, &[(ID, "watch")])).await.unwrap();
    drop(stream);
    assert_eq!(it.access("watch").await["code"], "Cancelled");
    assert_eq!(it.lines("whimbrel::access").len(), 4, "one line for one call");
}

/// A caller who is not known is in it, without their token; a known one with what they are.
#[tokio::test]
async fn a_refused_caller_has_a_line_without_their_token() {
    let it = Logging::start("access_log = true\nauth = true");
    let mut feeds = FeedServiceClient::new(connect(it.server.address()));
    let headers = [(ID, "stranger"), ("authorization", "Bearer whimbrel_not_a_token")];
    let refused = feeds.news_feed(news_feed("alice", &headers)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let line = it.access("stranger").await;
    assert_eq!((&line["code"], &line["caller"]), (&"Unauthenticated".into(), &Value::Null));
    assert!(!fs::read_to_string(it.log()).unwrap().contains("not_a_token"));
}

/// While the server runs.
#[tokio::test]
async fn the_access_log_can_be_switched() {
    let it = Logging::start("");
    let mut feeds = FeedServiceClient::new(connect(it.server.address()));
    feeds.news_feed(news_feed("alice", &[(ID, "before")])).await.unwrap();
    write(&it.folder, "access_log = true");
    it.server.signal(Signal::HUP);
    let is_changed = |line: &Value| line["setting"] == "access_log";
    let changed = async || it.lines("whimbrel::cli::reload").iter().any(is_changed).then_some(());
    eventually("the setting to be changed", changed).await;
    feeds.news_feed(news_feed("alice", &[(ID, "after")])).await.unwrap();
    it.access("after").await;
    assert_eq!(it.lines("whimbrel::access").len(), 1, "the first call was not logged");
}

/// A request that does not arrive: the line says that this was what took the time.
#[tokio::test]
async fn a_slow_call_has_a_line_that_names_its_wait() {
    let it = Logging::start("");
    let wire = Wire::connect(it.server.address()).await;
    let unfinished = wire.leave_unfinished(PUBLISH, &b"\0\0\0\0\x05abc"[..]).await;
    unfinished.refusal().await;
    let slow = async || it.lines("whimbrel::slow_call").pop();
    let line = eventually("a line about a slow call", slow).await;
    assert_eq!(line["rpc"], "whimbrel.v1.FeedService/Publish");
    assert_eq!(line["level"], "WARN");
    let (request, seconds) = (line["request"].as_f64().unwrap(), line["seconds"].as_f64().unwrap());
    assert!(request > 1.0 && request <= seconds, "{line}");
    assert!(line.get("flush").is_none(), "{line}");
    assert_eq!(line["call_id"].as_str().unwrap().len(), 32);
}

/// More lines than are kept, and nobody takes them: no call waits, and the log says how many are missing. Of
/// the access log, and of all that the program can say.
#[tokio::test]
async fn a_reader_of_the_log_who_is_slow_delays_no_call() {
    // More than the buffer of 4 MiB, of which the access log has half, and a pipe of 64 KiB.
    let id = "a".repeat(128);
    for (filter, calls) in [("off", 10_000), ("trace", 500)] {
        let folder = tempfile::tempdir().unwrap();
        let mut server = ServerProcess::start_logging_calls(folder.path(), filter);
        let mut feeds = FeedServiceClient::new(connect(server.address()));
        for _ in 0..calls {
            let read = feeds.news_feed(news_feed("alice", &[(ID, &id)]));
            within("a read", read).await.unwrap();
        }
        let read = tokio::task::spawn_blocking(move || {
            server.wait_for_line("lines of the log were lost");
        });
        within("the line about lost lines", read).await.unwrap();
    }
}

/// The access log does not crowd out what matters more.
#[tokio::test]
async fn other_lines_are_kept_while_lines_about_calls_are_lost() {
    const CONNECTIONS: usize = 20;
    let folder = tempfile::tempdir().unwrap();
    let filter = "off,whimbrel::server::connection=debug";
    let server = ServerProcess::start_logging_calls(folder.path(), filter);
    let mut feeds = FeedServiceClient::new(connect(server.address()));
    let id = "a".repeat(128);
    // More than the buffer of 4 MiB, of which the access log has half.
    for _ in 0..20_000 {
        let read = feeds.news_feed(news_feed("alice", &[(ID, &id)]));
        within("a read", read).await.unwrap();
    }
    for _ in 0..CONNECTIONS {
        let mut feeds = FeedServiceClient::new(connect(server.address()));
        within("a read", feeds.news_feed(news_feed("alice", &[]))).await.unwrap();
    }
    drop(feeds);
    let (_, log) = server.terminated().await;
    assert_eq!(log.matches("a connection begins").count(), 1 + CONNECTIONS);
    assert!(log.matches("whimbrel::access").count() < 20_000, "nothing was lost");
}

/// The last lines are there when it has ended, also those about calls.
#[tokio::test]
async fn the_last_lines_are_written_at_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start_logging_calls(folder.path(), "info");
    let mut feeds = FeedServiceClient::new(connect(server.address()));
    // Nobody takes them up to the end, and they are more than a pipe holds.
    for _ in 0..1_000 {
        feeds.news_feed(news_feed("alice", &[])).await.unwrap();
    }
    feeds.news_feed(news_feed("alice", &[(ID, "the-last")])).await.unwrap();
    drop(feeds);
    let (code, log) = server.terminated().await;
    assert_eq!(code, Some(0));
    let at = |text: &str| log.find(text).unwrap_or_else(|| panic!("no {text} in {log}"));
    assert!(at("the-last") < at("stopped"), "{log}");
}

/// A reader who never takes the last lines does not hold up the end.
#[tokio::test]
async fn a_reader_of_the_log_who_is_stuck_delays_no_stop() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start_logging_calls(folder.path(), "off");
    let mut feeds = FeedServiceClient::new(connect(server.address()));
    // More than a pipe holds.
    for _ in 0..1_000 {
        within("a read", feeds.news_feed(news_feed("alice", &[]))).await.unwrap();
    }
    drop(feeds);
    let ended = tokio::task::spawn_blocking(move || server.terminate_unread());
    assert_eq!(within("the end", ended).await.unwrap(), Some(0));
}
