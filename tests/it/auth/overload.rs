//! An overloaded server: which callers it refuses first, and what it says.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tempfile::TempDir;
use tokio::task::{JoinSet, yield_now};
use tonic::{Code, Status};
use whimbrel::api::v1::watch_feed_request::Start;
use whimbrel::api::v1::{
    GetPostsRequest, GetServerInfoRequest, GetServerInfoResponse, NewsFeedRequest, PublishRequest,
    PublishResponse, WatchFeedRequest,
};
use whimbrel::auth::Options;
use whimbrel::config::Limits;
use whimbrel::model::{Event, Revision};
use whimbrel::runtime::{self, Clock};
use whimbrel::server::{Error, Server};
use whimbrel::storage::{self, LocalLog, Log};

use super::issuer::{NOW, SigningKey, claims, settings};
use crate::harness::wire::{PUBLISH, WATCH_FEED, Wire, frame};
use crate::harness::{
    Alter, AlteredLog, HookedLog, LOG_OPTIONS, Setup, Valve, eventually, refused, within,
};

const NEWS_FEED: &str = "/whimbrel.v1.FeedService/NewsFeed";
const GET_POSTS: &str = "/whimbrel.v1.PostService/GetPosts";
const INFO: &str = "/whimbrel.v1.MetaService/GetServerInfo";

/// A server that asks who calls, over a log of the test.
struct Asking {
    address: SocketAddr,
    key: SigningKey,
    _served: JoinSet<Result<(), Error>>,
    _folder: TempDir,
}

impl Asking {
    async fn over(
        log: impl FnOnce(Arc<dyn Log>) -> Arc<dyn Log>,
        change: impl FnOnce(&mut Limits),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::new(jsonwebtoken::Algorithm::EdDSA, "a");
        let settings = settings(folder.path(), &[&key], "");
        let setup =
            Setup::new().limits(change).authentication(Options { settings, development: false });
        let local: Arc<dyn Log> = Arc::new(LocalLog::open(folder.path(), LOG_OPTIONS).unwrap());
        let clock = Clock::held_at(Duration::from_secs(NOW));
        let server = Server::with_log(setup.config(folder.path()), log(local), clock).await;
        let server = server.unwrap();
        let address = server.address();
        let mut served = JoinSet::new();
        served.spawn(server.run(std::future::pending()));
        Self { address, key, _served: served, _folder: folder }
    }

    /// A client of `user`, with a connection of its own.
    async fn client(&self, user: &str) -> Client {
        let token = self.key.sign(&claims(user, NOW));
        Client { wire: Wire::connect(self.address).await, bearer: format!("Bearer {token}") }
    }
}

struct Client {
    wire: Wire,
    bearer: String,
}

impl Client {
    async fn call(&self, path: &str, message: impl Message) -> Result<Bytes, Status> {
        let headers: [(&'static str, &[u8]); 1] = [("authorization", self.bearer.as_bytes())];
        self.wire.call(path, &headers, frame(&message.encode_to_vec())).await
    }

    async fn publish(&self) -> PublishResponse {
        let request = PublishRequest { text: "hi".to_owned(), ..Default::default() };
        let answer = self.call(PUBLISH, request).await.expect("a post");
        PublishResponse::decode(&answer[5..]).unwrap()
    }
}

/// Holds the reads of posts, and counts them.
#[derive(Default)]
struct HeldReads {
    begun: Arc<AtomicUsize>,
    valve: Valve,
}

impl fmt::Debug for HeldReads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeldReads")
    }
}

impl Alter for HeldReads {
    fn get_many(
        &self,
        log: &dyn Log,
        revisions: &[Revision],
    ) -> Result<Vec<Option<Event>>, storage::Error> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.valve.pass();
        log.get_many(revisions)
    }
}

/// The turns to read the disk are those of a user, on all connections: others have theirs. More calls
/// than may wait are refused at once, with what they wait for.
#[tokio::test]
async fn a_user_waits_behind_their_own_reads_only() {
    let held = HeldReads::default();
    let (begun, valve) = (Arc::clone(&held.begun), held.valve.clone());
    let altered = |log| AlteredLog::new(log, held) as Arc<dyn Log>;
    let server = Asking::over(altered, |limits| {
        limits.post_cache_bytes_max = 1 << 10;
        limits.user_changes_per_second_max = 1_000;
        limits.concurrent_reads_max = 2;
        limits.waiting_reads_max = 1;
    })
    .await;
    let alice = server.client("alice").await;
    let post = alice.publish().await.post.unwrap().post_id;
    let read = GetPostsRequest { post_ids: vec![post], ..Default::default() };
    for _ in 0..60 {
        // Until the post is in memory no more.
        alice.publish().await;
    }

    valve.shut();
    begun.store(0, Ordering::SeqCst);
    let begins = async |count| {
        let poll = async || (begun.load(Ordering::SeqCst) == count).then_some(());
        eventually("reads to begin", poll).await;
    };
    let mut reads = JoinSet::new();
    let begin = async |reads: &mut JoinSet<_>, user: &str| {
        let (client, read) = (server.client(user).await, read.clone());
        reads.spawn(async move { client.call(GET_POSTS, read).await });
    };
    begin(&mut reads, "alice").await;
    begins(1).await;
    begin(&mut reads, "alice").await;
    begin(&mut reads, "alice").await;
    // A turn is free, but alice has her share: one of the two waits.
    let ended = within("the call too many", reads.join_next()).await.unwrap().unwrap();
    refused(ended)
        .with(Code::ResourceExhausted, "OVERLOADED")
        .for_quota_of("waiting_reads")
        .with_a_delay();
    begin(&mut reads, "bob").await;
    begins(2).await;

    valve.open();
    for answer in within("all reads", reads.join_all()).await {
        answer.expect("who was let in is answered");
    }
}

/// Keeps a worker busy while it is wanted: from when a stream with a cursor is opened on it.
fn busy_worker(log: Arc<dyn Log>, is_busy: Arc<AtomicBool>) -> Arc<dyn Log> {
    HookedLog::before(log, move || {
        if runtime::current_shard() == 0 || !is_busy.load(Ordering::SeqCst) {
            return;
        }
        let is_busy = Arc::clone(&is_busy);
        runtime::spawn_local(async move {
            while is_busy.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
                yield_now().await;
            }
        });
    })
}

/// While a worker is late, tokens that it has not seen are not looked at, and a call of a user counts
/// as several. Then all is as before.
#[tokio::test]
async fn strangers_and_busy_users_are_refused_first() {
    let is_busy = Arc::new(AtomicBool::new(false));
    let server = Asking::over(
        |log| busy_worker(log, Arc::clone(&is_busy)),
        |limits| {
            limits.worker_threads = 1;
            limits.worker_lateness_max = Duration::from_millis(1);
            limits.user_reads_per_second_max = 100;
            limits.quota_burst_time = Duration::from_secs(10);
        },
    )
    .await;
    let (alice, bob) = (server.client("alice").await, server.client("bob").await);
    let cursor = alice.publish().await.cursor;
    let left = async || {
        let answer = alice.call(INFO, GetServerInfoRequest {}).await.expect("it is known");
        GetServerInfoResponse::decode(&answer[5..]).unwrap().quotas[0].left
    };
    let before = left().await;

    is_busy.store(true, Ordering::SeqCst);
    let start = Some(Start::AfterCursor(cursor));
    let watch = WatchFeedRequest { start, ..Default::default() }.encode_to_vec();
    let headers: [(&'static str, &[u8]); 1] = [("authorization", alice.bearer.as_bytes())];
    alice.wire.begins(WATCH_FEED, &headers, frame(&watch)).await.expect("a stream");
    // A token of its own each time: one that was let in would be known from then on.
    let mut number = 0;
    let refusal = eventually("the worker to be late", async || {
        number += 1;
        let stranger = server.client(&format!("stranger{number}")).await;
        stranger.call(NEWS_FEED, NewsFeedRequest::default()).await.err()
    });
    refused::<()>(Err(refusal.await))
        .with(Code::ResourceExhausted, "OVERLOADED")
        .for_quota_of("new_tokens")
        .with_a_delay();
    let used = before - left().await;
    assert_eq!(used, 4, "to ask what is left counts as four calls");

    is_busy.store(false, Ordering::SeqCst);
    let call = async || bob.call(NEWS_FEED, NewsFeedRequest::default()).await.ok();
    eventually("the worker to be on time", call).await;
}
