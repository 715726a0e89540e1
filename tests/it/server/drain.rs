//! A stopping server: clients are notified in steps, load balancers before them, and no
//! acknowledged change is lost.
//!
//! Tests hold the time of this thread, to see which clients were not notified yet. The time of the
//! workers runs.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio::time;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use whimbrel::api::v1::{ErrorReason, NewsFeedRequest, PublishRequest};
use whimbrel::client::Client;

use crate::harness::{PATIENCE, TestServer, User, connect, within};
use crate::server::process::ServerProcess;

/// The interval between two steps, and the connections that each notifies.
const STEP: Duration = Duration::from_millis(10);
const AT_ONCE: usize = 10;
/// Timers are rounded up to whole milliseconds.
const TIMERS_ROUND_BY: Duration = Duration::from_millis(1);

/// Each stream gets `closing` with its cursor, ten connections at a time, the oldest first. The
/// others are still connected. The next server accepts the cursors.
#[tokio::test]
async fn clients_are_notified_in_steps() {
    let mut server = TestServer::start().await;
    let mut clients = Vec::new();
    for number in 0..25 {
        let channel = connect(server.address());
        let user = User::new(&format!("user{number}"), channel.clone());
        let mut stream = user.watches().await;
        stream.live().await;
        clients.push((channel, stream));
    }
    let held = HeldTime::now();
    server.begin_to_stop();
    let mut cursors = Vec::new();
    let mut waiting = clients.as_mut_slice();
    while !waiting.is_empty() {
        let (notified, others) = waiting.split_at_mut(AT_ONCE.min(waiting.len()));
        for (_, stream) in notified {
            let (closing, _) = stream.closing().await;
            assert_eq!(closing.reason(), ErrorReason::Draining);
            cursors.push(closing.cursor);
        }
        for (channel, _) in &*others {
            assert_eq!(health(channel).await, ServingStatus::NotServing);
        }
        waiting = others;
        held.advance(STEP).await;
    }
    held.release();

    server.restart().await;
    for (number, cursor) in cursors.iter().enumerate() {
        let user = server.user(&format!("user{number}"));
        user.publishes("after the stop").await;
        let got = user.watches_after(cursor).await.live().await;
        assert_eq!(got, [format!("user{number}: after the stop")]);
    }
}

/// Few clients are notified at once, however long a stop may take.
#[tokio::test]
async fn few_clients_are_notified_at_once() {
    let server =
        TestServer::limited(|limits| limits.drain_time_max = Duration::from_secs(3_600)).await;
    let mut streams = Vec::new();
    for number in 0..AT_ONCE {
        let mut stream = server.user_on_own_connection(&format!("user{number}")).watches().await;
        stream.live().await;
        streams.push(stream);
    }
    let held = HeldTime::now();
    server.begin_to_stop();
    for stream in &mut streams {
        stream.closing().await;
    }
    held.release();
    server.stop().await;
}

/// While load balancers get time to notice the stop, the server accepts calls and new connections.
#[tokio::test]
async fn calls_are_accepted_while_load_balancers_are_notified() {
    let notice = Duration::from_secs(3_600);
    let server = TestServer::limited(|limits| limits.drain_notice = notice).await;
    let channel = connect(server.address());
    let request = HealthCheckRequest::default();
    let mut watch = HealthClient::new(channel.clone()).watch(request).await.unwrap().into_inner();
    let mut status = async || {
        let status = within("the health", watch.message()).await;
        status.ok().flatten().map(|status| status.status())
    };
    assert_eq!(status().await, Some(ServingStatus::Serving));
    let mut stream = server.user("alice").watches().await;
    stream.live().await;

    let held = HeldTime::now();
    server.begin_to_stop();
    assert_eq!(status().await, Some(ServingStatus::NotServing));
    server.user_on_own_connection("alice").publishes("still accepted").await;
    assert_eq!(stream.events(1).await, ["alice: still accepted"]);
    held.advance(notice).await;
    stream.closing().await;
    assert_ne!(status().await, Some(ServingStatus::Serving));
    held.release();
    server.stop().await;
}

/// A program that is terminated while many publish ends in order, and keeps every acknowledged
/// post.
#[tokio::test]
async fn nothing_acknowledged_is_lost_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path());
    let address = server.address().to_string();
    let mut posting = JoinSet::new();
    for number in 0..16 {
        let client = Client::connect(&address).await.unwrap();
        posting.spawn(async move {
            let mut taken = Vec::new();
            loop {
                let text = format!("{number}.{}", taken.len());
                let request = PublishRequest {
                    user_id: "alice".to_owned(),
                    text: text.clone(),
                    ..PublishRequest::default()
                };
                match within("an answer", client.publish(request)).await {
                    Ok(_) => taken.push(text),
                    Err(_) => return taken,
                }
            }
        });
    }
    let onlooker = Client::connect(&address).await.unwrap();
    while read(&onlooker).await.len() < 100 {}
    assert_eq!(server.terminated().await, (Some(0), String::new()));
    let taken: Vec<_> = within("the load to end", posting.join_all()).await;

    let server = ServerProcess::start(folder.path());
    let client = Client::connect(&server.address().to_string()).await.unwrap();
    let kept = read(&client).await;
    let taken: BTreeSet<_> = taken.into_iter().flatten().collect();
    assert!(taken.len() >= 100 && taken.is_subset(&kept), "{} were acknowledged", taken.len());
    assert_eq!(server.terminated().await.0, Some(0));
}

/// The texts of alice's feed.
async fn read(client: &Client) -> BTreeSet<String> {
    let mut texts = BTreeSet::new();
    let mut request =
        NewsFeedRequest { user_id: "alice".to_owned(), page_size: 100, ..Default::default() };
    loop {
        let page = within("a page", client.news_feed(request.clone())).await.unwrap();
        texts.extend(page.items.into_iter().filter_map(|item| item.post).map(|post| post.text));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return texts;
        }
    }
}

async fn health(channel: &Channel) -> ServingStatus {
    let mut client = HealthClient::new(channel.clone());
    let answer = within("the health", client.check(HealthCheckRequest::default())).await;
    answer.expect("the connection is open").into_inner().status()
}

/// The time of this thread, which stands still until the test moves it.
struct HeldTime {
    end: mpsc::Sender<()>,
    _blocking: JoinHandle<()>,
}

impl HeldTime {
    fn now() -> Self {
        time::pause();
        // Held time advances by itself when the runtime is idle, unless a thread blocks. The thread
        // ends after `PATIENCE`, so that a wait in vain still panics.
        let (end, ended) = mpsc::channel();
        let blocking = tokio::task::spawn_blocking(move || {
            let _ = ended.recv_timeout(PATIENCE);
        });
        Self { end, _blocking: blocking }
    }

    /// Moves the time, until timers of this duration are due.
    async fn advance(&self, time: Duration) {
        time::advance(time + TIMERS_ROUND_BY).await;
    }

    fn release(self) {
        time::resume();
        drop(self.end);
    }
}
