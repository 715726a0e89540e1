//! Clients that know several nodes: their calls and streams go on at another one, and see there what they saw before.

use std::time::Duration;

use tokio::task::JoinSet;
use whimbrel::api::v1::{FollowRequest, GetPostsRequest, NewsFeedRequest, PublishRequest};
use whimbrel::client::{Client, Error, Retry, Watch, WatchMessage, WatchStart};

use super::{know_each_other, nodes};
use crate::harness::admin::scrape;
use crate::harness::postgres::Postgres;
use crate::harness::{Setup, TestServer, eventually, within};

const TIME: Duration = Duration::from_secs(20);
const PUBLISH: &str = "whimbrel.v1.FeedService/Publish";

fn addresses(nodes: &[TestServer]) -> String {
    nodes.iter().map(|node| node.address().to_string()).collect::<Vec<_>>().join(",")
}

async fn publish(client: &Client, text: &str) -> Result<String, Error> {
    let request = PublishRequest {
        user_id: "bob".to_owned(),
        text: text.to_owned(),
        request_id: text.to_owned(),
        ..PublishRequest::default()
    };
    let answer = Retry::within(TIME).call(|| client.publish(request.clone())).await?;
    Ok(answer.post.unwrap().post_id)
}

/// The nodes stop one after the other. A client that publishes goes on at those that are left, and a stream has all posts
/// in order.
#[tokio::test]
async fn calls_and_streams_go_on_at_another_node() {
    const ROUNDS: usize = 20;
    let Some(postgres) = Postgres::shared() else { return };
    let (_, mut nodes) = nodes(postgres).await;
    let addresses = addresses(&nodes);
    let client = Client::connect(&addresses).await.unwrap();
    let follow = FollowRequest { user_id: "alice".into(), followee_id: "bob".into() };
    client.follow(follow).await.unwrap();
    let watcher = Client::connect(&addresses).await.unwrap();
    let mut watch = Watch::new(watcher, "alice", WatchStart::Now).retry(Retry::within(TIME));
    let opened = within("a stream", watch.next(|_| {})).await.unwrap();
    assert!(matches!(opened, WatchMessage::Opened(_)), "{opened:?}");
    let mut watching = JoinSet::new();
    watching.spawn(async move {
        let mut seen = Vec::new();
        while seen.len() < 3 * ROUNDS {
            if let WatchMessage::Batch(batch) = watch.next(|_| {}).await.unwrap() {
                seen.extend(batch.events.iter().map(|event| event.revision));
            }
        }
        seen
    });
    let mut posts = Vec::new();
    for stopped in 0..3 {
        for round in 0..ROUNDS {
            posts.push(publish(&client, &format!("{round} of {stopped}")).await.unwrap());
        }
        if nodes.len() > 1 {
            nodes.remove(0).stop().await;
        }
    }
    let seen = within("all events", watching.join_next()).await.unwrap().unwrap();
    let mut ordered = seen.clone();
    ordered.dedup();
    ordered.sort_unstable();
    assert_eq!(seen, ordered, "in order, each once");
    let found = client
        .get_posts(GetPostsRequest { user_id: "bob".into(), post_ids: posts, ..Default::default() })
        .await;
    assert_eq!(found.unwrap().posts.len(), 3 * ROUNDS);
}

/// What a client has seen at one node it sees at the next one, without giving a cursor.
#[tokio::test]
async fn a_client_reads_its_own_writes_at_the_next_node() {
    let Some(postgres) = Postgres::shared() else { return };
    let (_, nodes) = nodes(postgres).await;
    // Of which the second takes nothing from the log any more, until it may again.
    let pair = &nodes[..2];
    let client = loop {
        let client = Client::connect(&addresses(pair)).await.unwrap();
        let before = calls(&pair[1], "whimbrel_calls_total", PUBLISH).await;
        publish(&client, "before").await.unwrap();
        if calls(&pair[1], "whimbrel_calls_total", PUBLISH).await == before {
            break client;
        }
    };
    pair[1].reload(|limits| limits.disk_free_bytes_min = 1 << 50);
    publish(&client, "after").await.unwrap();
    pair[0].begin_to_stop();
    let mut reading = JoinSet::new();
    let reader = client.clone();
    reading.spawn(async move {
        let request = NewsFeedRequest { user_id: "bob".into(), ..NewsFeedRequest::default() };
        Retry::within(TIME).call(|| reader.news_feed(request.clone())).await
    });
    // It waits, instead of giving the page as it is there.
    let asked = "whimbrel.v1.FeedService/NewsFeed";
    eventually("the second node is asked", async || {
        (calls(&pair[1], "whimbrel_calls_in_flight", asked).await > 0.0).then_some(())
    })
    .await;
    pair[1].reload(|limits| limits.disk_free_bytes_min = 0);
    let page = within("a page", reading.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(page.items[0].post.as_ref().unwrap().text, "after");
}

async fn calls(node: &TestServer, metric: &str, rpc: &str) -> f64 {
    scrape(node.admin_address()).await.sum(metric, &[("rpc", rpc)])
}

/// Where nobody serves the error says so, and which address it was; a node that is not there is passed over.
#[tokio::test]
async fn a_node_that_is_not_there_is_passed_over() {
    let server = Setup::new().start().await;
    let address = format!("127.0.0.1:9,{}", server.address());
    for _ in 0..8 {
        let client = Client::connect(&address).await.unwrap();
        publish(&client, "hello").await.unwrap();
    }
    let nowhere = Client::connect("127.0.0.1:9,127.0.0.1:7").await.unwrap_err();
    assert!(nowhere.to_string().starts_with("cannot reach 127.0.0.1:"), "{nowhere}");
    for wrong in ["", "127.0.0.1:1,", "127.0.0.1:1,127.0.0.1:1", "127.0.0.1:1,host"] {
        let refused = Client::connect(wrong).await.unwrap_err();
        assert!(matches!(refused, Error::Address { .. }), "{wrong:?}: {refused}");
    }
}

/// A node that stops names another one to the clients of its streams, if that one has said where they reach it.
#[tokio::test]
async fn a_node_that_stops_names_another_one() {
    let Some(postgres) = Postgres::shared() else { return };
    let address = postgres.new_log();
    let setup = || Setup::new().store(&address);
    let stops = setup().public_address("http://127.0.0.1:1").start().await;
    let mut leaving = stops.user("alice").watches().await;
    leaving.live().await;
    let stays = setup().public_address("http://127.0.0.1:2").start().await;
    let pair = [stops, stays];
    know_each_other(&pair, 2).await;
    let [stops, stays] = pair;
    stops.begin_to_stop();
    assert_eq!(leaving.closing().await.0.other_address, "http://127.0.0.1:2");
    let mut last = stays.user("alice").watches().await;
    last.live().await;
    stops.stop().await;
    know_each_other(std::slice::from_ref(&stays), 1).await;
    stays.begin_to_stop();
    assert_eq!(last.closing().await.0.other_address, "", "there is none");
}
