//! Changes are forwarded to the node that decides: whoever asks for them, at whichever node, and whatever becomes of that
//! node.

use tokio::task::JoinSet;
use tonic::{Code, Request};
use whimbrel::api::v1::feed_service_client::FeedServiceClient;
use whimbrel::api::v1::graph_service_client::GraphServiceClient;
use whimbrel::api::v1::notification_service_client::NotificationServiceClient;
use whimbrel::api::v1::post_service_client::PostServiceClient;
use whimbrel::api::v1::{
    BlockRequest, DeletePostRequest, LikeRequest, MarkNotificationsSeenRequest, MuteRequest,
    PublishRequest, RepostRequest, UnblockRequest, UnlikeRequest, UnmuteRequest, UnrepostRequest,
};
use whimbrel::model::NodeKey;

use super::{know_each_other, nodes, seen_by};
use crate::harness::admin::scrape;
use crate::harness::postgres::Postgres;
use crate::harness::{Setup, TestServer, eventually, refused};

/// How many changes a node has forwarded, and how many batches it has appended.
async fn forwarded(node: &TestServer) -> (f64, f64) {
    let scrape = scrape(node.admin_address()).await;
    let forwards = scrape.sum("whimbrel_forwarded_changes_total", &[("outcome", "answered")]);
    (forwards, scrape.sum("whimbrel_commit_batch_events_count", &[]))
}

/// Each change is made by the node that decides, and shown by the one that was asked.
#[tokio::test]
async fn every_change_is_forwarded() {
    let Some(postgres) = Postgres::shared() else { return };
    let (_, nodes) = nodes(postgres).await;
    let node = &nodes[1];
    let alice = || "alice".to_owned();
    let post = node.user("bob").publishes("by another node").await;
    let channel = node.channel();
    let mut graph = GraphServiceClient::new(channel.clone());
    let mut posts = PostServiceClient::new(channel.clone());
    let mut notifications = NotificationServiceClient::new(channel.clone());

    assert!(node.user("alice").follows("bob").await.changed);
    assert!(!node.user("alice").follows("bob").await.changed, "a change that was made before");
    assert_eq!(node.user("alice").feed().await.texts(), ["by another node"]);
    let (user_id, post_id) = (alice(), post.post_id.clone());
    let like = LikeRequest { user_id: user_id.clone(), post_id: post_id.clone() };
    assert!(posts.like(like).await.unwrap().into_inner().changed);
    let repost = RepostRequest { user_id: user_id.clone(), post_id: post_id.clone() };
    assert!(posts.repost(repost).await.unwrap().into_inner().changed);
    let unlike = UnlikeRequest { user_id: user_id.clone(), post_id: post_id.clone() };
    assert!(posts.unlike(unlike).await.unwrap().into_inner().changed);
    let unrepost = UnrepostRequest { user_id: user_id.clone(), post_id: post_id.clone() };
    assert!(posts.unrepost(unrepost).await.unwrap().into_inner().changed);
    let muted_id = "carol".to_owned();
    let mute = MuteRequest { user_id: alice(), muted_id: muted_id.clone() };
    assert!(graph.mute(mute).await.unwrap().into_inner().changed);
    let unmute = UnmuteRequest { user_id: alice(), muted_id: muted_id.clone() };
    assert!(graph.unmute(unmute).await.unwrap().into_inner().changed);
    let block = BlockRequest { user_id: alice(), blocked_id: muted_id.clone() };
    assert!(graph.block(block).await.unwrap().into_inner().changed);
    let unblock = UnblockRequest { user_id: alice(), blocked_id: muted_id };
    assert!(graph.unblock(unblock).await.unwrap().into_inner().changed);
    let reply = PublishRequest {
        user_id: alice(),
        text: "a reply to @bob".to_owned(),
        reply_to_post_id: post_id.clone(),
        langs: vec!["en".to_owned()],
        ..PublishRequest::default()
    };
    let reply = FeedServiceClient::new(channel).publish(reply).await.unwrap().into_inner();
    let reply = reply.post.unwrap();
    // It came over as it was made: with what the deciding node found in it.
    assert_eq!((&reply.text[..], reply.facets.len()), ("a reply to @bob", 1));
    assert_eq!(Some(&reply), node.user("alice").page(1, "").await.items[0].post.as_ref());
    let user_id = "bob".to_owned();
    let seen = MarkNotificationsSeenRequest { user_id: user_id.clone(), ..Default::default() };
    let seen = notifications.mark_notifications_seen(seen).await.unwrap().into_inner();
    assert!(seen.changed);
    let deleted = posts.delete_post(DeletePostRequest { user_id, post_id }).await.unwrap();
    assert!(deleted.into_inner().changed);
    assert!(node.user("alice").unfollows("bob").await.changed);

    assert_eq!(forwarded(node).await, (15.0, 0.0), "all were forwarded, and none decided here");
    let (forwards, batches) = forwarded(&nodes[0]).await;
    assert_eq!(forwards, 0.0);
    assert!(batches > 0.0);
}

/// What the node that decides refuses is refused with the same words, and changes nothing.
#[tokio::test]
async fn a_refusal_is_that_of_the_deciding_node() {
    let Some(postgres) = Postgres::shared() else { return };
    let (_, nodes) = nodes(postgres).await;
    nodes[0].user("carol").publishes_once("one", "id").await;
    for node in &nodes {
        let own = node.user("bob").tries_to_follow("bob").await;
        refused(own).with(Code::InvalidArgument, "SELF_FOLLOW").blaming("followee_id");
        let invalid = node.user("bob").tries_to_follow("").await;
        refused(invalid).with(Code::InvalidArgument, "INVALID_FIELD").blaming("followee_id");
        let reused = node.user("carol").tries_to_publish("two", "id").await;
        refused(reused).with(Code::AlreadyExists, "REQUEST_ID_REUSED");
    }
    assert_eq!(nodes[0].user("bob").feed().await.texts(), [""; 0]);
}

/// The node that decides stops, and then the next one, while users publish at all others: no call fails, and each post
/// is there once.
#[tokio::test]
async fn no_call_fails_when_the_deciding_node_stops() {
    const POSTS: usize = 120;
    let Some(postgres) = Postgres::shared() else { return };
    let (_, mut nodes) = nodes(postgres).await;
    let last = nodes.pop().unwrap();
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let user = last.user("bob");
        writers.spawn(async move {
            for post in 0..POSTS {
                // Without a request id: none of them is sent twice.
                user.publishes(&format!("{post} of {writer}")).await;
            }
        });
    }
    while let Some(first) = (!nodes.is_empty()).then(|| nodes.remove(0)) {
        // So that some were forwarded to it.
        let before = last.position().await;
        eventually("posts are published", async || (last.position().await != before).then_some(()))
            .await;
        first.stop().await;
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    know_each_other(std::slice::from_ref(&last), 1).await;
    let posts = last.user("bob").feed_in_pages_of(100).await.texts().len();
    assert_eq!(posts, 4 * POSTS);
    let seen = seen_by(&last).await;
    assert!(seen.iter().any(|node| node.answers && node.decides), "{seen:?}");
}

/// A node that others cannot reach decides itself, and they never forward to it.
#[tokio::test]
async fn a_node_without_the_way_to_the_deciding_one_decides_itself() {
    let Some(postgres) = Postgres::shared() else { return };
    let address = postgres.new_log();
    // Nobody listens there.
    let alone = Setup::new().store(&address).node_address("http://127.0.0.1:9").start().await;
    let other = Setup::new().store(&address).admin().start().await;
    know_each_other(std::slice::from_ref(&other), 2).await;
    for round in 0..3 {
        other.user("bob").publishes(&format!("{round}")).await;
        alone.user("bob").publishes(&format!("{round} again")).await;
    }
    eventually("all posts are there", async || {
        let posts = other.user("bob").feed().await.texts().len();
        (posts == 6).then_some(())
    })
    .await;
    let scrape = scrape(other.admin_address()).await;
    let outcomes = ["decided_here", "answered", "unknown"]
        .map(|it| scrape.sum("whimbrel_forwarded_changes_total", &[("outcome", it)]));
    assert_eq!(outcomes, [3.0, 0.0, 0.0]);
}

/// What the node that decides lacks is no reason for another one to refuse a change.
#[tokio::test]
async fn a_full_disk_of_the_deciding_node_stops_that_node_only() {
    let Some(postgres) = Postgres::shared() else { return };
    let (_, nodes) = nodes(postgres).await;
    nodes[0].reload(|limits| limits.disk_free_bytes_min = 1 << 50);
    let full = nodes[0].user("bob").tries_to_publish("full", "").await;
    refused(full).with(Code::ResourceExhausted, "DISK_FULL");
    nodes[1].user("bob").publishes("elsewhere").await;
    nodes[0].reload(|limits| limits.disk_free_bytes_min = 0);
    nodes[0].user("bob").publishes("again").await;
    assert_eq!(nodes[0].user("bob").feed().await.texts(), ["again", "elsewhere"]);
}

/// Nobody is taken for a node by a key that is none of this node, whether or not callers are asked who they are.
#[tokio::test]
async fn a_key_of_another_node_is_refused() {
    let Some(postgres) = Postgres::shared() else { return };
    let (_, nodes) = nodes(postgres).await;
    let key = NodeKey::new([7; 32]);
    let mut client = FeedServiceClient::new(nodes[0].channel());
    let mut request = Request::new(PublishRequest {
        user_id: "bob".into(),
        text: "hello".into(),
        ..Default::default()
    });
    let token = format!("Bearer {}", key.token()).parse().unwrap();
    request.metadata_mut().insert("authorization", token);
    let refused = client.publish(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(nodes[0].user("bob").feed().await.texts(), [""; 0]);
}
