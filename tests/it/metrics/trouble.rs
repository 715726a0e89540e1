//! Trouble, and what a scrape shows of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tonic::transport::Channel;
use whimbrel::api::v1::feed_service_client::FeedServiceClient;
use whimbrel::api::v1::post_service_client::PostServiceClient;
use whimbrel::api::v1::{DeletePostRequest, GetPostsRequest, NewsFeedRequest};
use whimbrel::live::{Start, StreamMessage};
use whimbrel::model::{Event, Revision};
use whimbrel::runtime::Clock;
use whimbrel::runtime::metrics::{MetricValue, Scrape};
use whimbrel::server::Server;
use whimbrel::storage::{self, LocalLog, Log};

use super::moved::reaches;
use crate::harness::admin::{Scraped, scrape};
use crate::harness::core::{Core, step};
use crate::harness::{
    Alter, AlteredLog, HookedLog, LOG_OPTIONS, Setup, TestServer, User, Valve, connect, eventually,
    within,
};
use crate::server::process::ServerProcess;
use crate::storage::index_trouble::while_serving::server_with_damaged_index;

/// Deletes a post.
pub(super) async fn deletes(server: &TestServer, user_id: &str, post_id: &str) {
    let request = DeletePostRequest { user_id: user_id.to_owned(), post_id: post_id.to_owned() };
    let mut posts = PostServiceClient::new(server.channel());
    within("the deletion", posts.delete_post(request)).await.expect("its own post");
}

/// An index that is found to be damaged, and is rebuilt.
pub(super) async fn a_damaged_index() -> Scraped {
    let reads = Valve::default();
    let (server, whole) = server_with_damaged_index(&reads).await;
    reads.shut();
    server.user("bob").tries_to_read(whole).await.unwrap_err();
    reads.holds_one().await;
    let lost = scrape(server.admin_address()).await;
    assert_eq!(lost.sum("whimbrel_index_usable", &[]), 0.0);
    reads.open();
    reaches(&server, "whimbrel_index_repairs_total", &[], 1.0).await
}

/// A worker that is stuck while events for its streams come.
pub(super) async fn a_blocked_worker() -> Scraped {
    let folder = tempfile::tempdir().unwrap();
    let valve = Valve::default();
    let hook = valve.clone();
    let log: Arc<dyn Log> = Arc::new(LocalLog::open(folder.path(), LOG_OPTIONS).unwrap());
    let log = HookedLog::before(log, move || hook.pass());
    let setup = Setup::new().limits(|limits| limits.undispatched_batches_max = 1).admin();
    let server = Server::with_log(setup.config(folder.path()), log, Clock::system()).await.unwrap();
    let (address, admin) = (server.address(), server.admin_address().unwrap());
    let mut running = JoinSet::new();
    running.spawn(server.run(std::future::pending()));
    // Their connections are on different workers.
    let (reader, author) =
        (User::new("reader", connect(address)), User::new("author", connect(address)));
    reader.follows("author").await;
    let mut watching = reader.watches().await;
    watching.opened().await;
    watching.caught_up().await;
    let cursor = author.publishes_once("1", "").await.cursor;
    watching.events(1).await;
    valve.shut();
    let mut blocked = JoinSet::new();
    blocked.spawn(async move { reader.watches_after(&cursor).await });
    valve.holds_one().await;
    author.publishes_many("more ", 5).await;
    valve.open();
    let refilled = async || {
        let it = scrape(admin).await;
        let cause = [("cause", "shard_lag")];
        Some(it).filter(|it| it.sum("whimbrel_stream_refills_total", &cause) >= 1.0)
    };
    let it = eventually("the stream to be refilled", refilled).await;
    assert!(it.sum("whimbrel_shard_lags_total", &[]) >= 1.0);
    watching.events(5).await;
    it
}

/// A reader that is slower than its feed goes back to the log.
#[tokio::test]
async fn a_slow_reader_is_refilled() {
    let core = Core::limited(|limits| limits.channel_events_max = 1);
    let mut stream = core.watch("reader", Start::Now);
    core.follow("reader", "author").await;
    while !matches!(step(&mut stream).await, StreamMessage::CaughtUp { .. }) {}
    for number in 0..5 {
        core.publish("author", &format!("post {number}")).await;
    }
    while !matches!(step(&mut stream).await, StreamMessage::Batch { .. }) {}
    let mut scrape = Scrape::default();
    core.engine().collect(&mut scrape);
    let families = scrape.families();
    let refills = families.iter().find(|it| it.metric.name == "whimbrel_stream_refills_total");
    let samples = &refills.unwrap().samples;
    let slow = samples.iter().find(|sample| sample.labels == ["slow_reader"]).unwrap();
    assert_eq!(slow.value, MetricValue::Number(1.0));
}

/// A log whose reads of single events wait.
#[derive(Debug)]
struct SlowReads(Valve);

impl Alter for SlowReads {
    fn get_many(
        &self,
        log: &dyn Log,
        revisions: &[Revision],
    ) -> Result<Vec<Option<Event>>, storage::Error> {
        self.0.pass();
        log.get_many(revisions)
    }
}

/// Reads of the disk: one that runs, one that waits, and one too many.
pub(super) async fn reads_that_wait() -> Scraped {
    let folder = tempfile::tempdir().unwrap();
    let valve = Valve::default();
    let log: Arc<dyn Log> = Arc::new(LocalLog::open(folder.path(), LOG_OPTIONS).unwrap());
    let log = AlteredLog::new(log, SlowReads(valve.clone()));
    let limits = |limits: &mut whimbrel::config::Limits| {
        limits.post_cache_bytes_max = 1 << 10;
        limits.concurrent_reads_max = 1;
        limits.waiting_reads_max = 1;
        limits.call_time_max = Duration::from_secs(3_600);
    };
    let config = Setup::new().limits(limits).admin().config(folder.path());
    let server = Server::with_log(config, log, Clock::system()).await.unwrap();
    let (address, admin) = (server.address(), server.admin_address().unwrap());
    let mut running = JoinSet::new();
    running.spawn(server.run(std::future::pending()));
    let channel = connect(address);
    let alice = User::new("alice", channel.clone());
    let post = alice.publishes("hi").await.post_id;
    // Until the post is in memory no more.
    alice.publishes_many("more ", 60).await;
    valve.shut();
    let mut reads = JoinSet::new();
    let read = |channel: Channel| {
        let request = GetPostsRequest {
            user_id: "alice".to_owned(),
            post_ids: vec![post.clone()],
            ..Default::default()
        };
        async move { PostServiceClient::new(channel).get_posts(request).await }
    };
    reads.spawn(read(channel.clone()));
    valve.holds_one().await;
    reads.spawn(read(channel.clone()));
    let waiting = async || {
        let it = scrape(admin).await;
        let of = [("of", "calls")];
        Some(it).filter(|it| it.sum("whimbrel_disk_reads_waiting", &of) >= 1.0)
    };
    let mut it = eventually("a read to wait", waiting).await;
    assert_eq!(it.sum("whimbrel_disk_reads_running", &[]), 1.0);
    within("a refusal", read(channel)).await.unwrap_err();
    valve.open();
    within("the reads", reads.join_all()).await;
    let done = scrape(admin).await;
    assert_eq!(done.sum("whimbrel_disk_reads_refused_total", &[]), 1.0);
    assert!(done.sum("whimbrel_queries_total", &[("source", "disk")]) >= 2.0);
    it.0.extend(done.0.into_iter().filter(|(_, value)| *value > 0.0));
    it
}

/// Nobody takes the lines of the log, of which some are lost.
pub(super) async fn a_reader_of_the_log_who_takes_nothing() -> Scraped {
    let folder = tempfile::tempdir().expect("a folder");
    let server = ServerProcess::start_logging_calls(folder.path(), "trace");
    let mut feeds = FeedServiceClient::new(connect(server.address()));
    // More lines than the buffer of 4 MiB has room for, and a pipe.
    loop {
        let request = NewsFeedRequest { user_id: "alice".to_owned(), ..Default::default() };
        within("a read", feeds.news_feed(request)).await.expect("an empty feed");
        let scraped = scrape(server.admin_address()).await;
        if scraped.sum("whimbrel_log_lines_lost_total", &[]) > 0.0 {
            return scraped;
        }
    }
}
