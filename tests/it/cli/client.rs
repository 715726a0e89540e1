//! The client library of the command line: its errors, and watches that resume by themselves.

use std::time::Duration;

use tokio::task::JoinSet;
use whimbrel::api::v1::{FollowRequest, PublishRequest};
use whimbrel::client::{Client, Error, Retry, Watch, WatchMessage, WatchStart};

use crate::harness::{Gate, Setup, TestServer, Valve, event_in_short, within};

/// A refusal has its reason and message, and is not retried.
#[tokio::test]
async fn a_refusal_has_its_reason() {
    let server = TestServer::start().await;
    let client = Client::connect(&server.address().to_string()).await.unwrap();
    let (user_id, followee_id) = ("alice".to_owned(), "alice".to_owned());
    let request = FollowRequest { user_id, followee_id };
    let error =
        Retry::for_ever().call(|| client.follow(request.clone())).await.expect_err("self-follow");
    let Error::Call(call) = error else { panic!("not refused: {error}") };
    assert_eq!((call.code, call.reason.as_str()), ("INVALID_ARGUMENT", "SELF_FOLLOW"));
    assert!(!call.is_transient && call.message.contains("alice"));
}

/// A transient refusal is retried.
#[tokio::test]
async fn an_overloaded_server_is_called_again() {
    let valve = Valve::default();
    let setup = Setup::new().appends_through(&valve).limits(|limits| limits.calls_max = 1);
    let server = setup.start().await;
    let client = Client::connect(&server.address().to_string()).await.unwrap();
    valve.shut();
    let mut inside = JoinSet::new();
    let user = server.user("bob");
    inside.spawn(async move { user.publishes("the one call").await });
    valve.holds_one().await;
    let mut tries = 0;
    let error = Retry::within(Duration::from_millis(300))
        .call(|| {
            tries += 1;
            client.publish(post("hi"))
        })
        .await
        .expect_err("no call is taken");
    assert!(error.is_transient() && error.retry_after().is_some(), "{error}");
    assert!(tries > 1);
    valve.open();
    within("the one call", inside.join_all()).await;
}

/// An unreachable server and a bad address are reported at once.
#[tokio::test]
async fn an_unreachable_server_is_reported() {
    let address = TestServer::start().await.address().to_string();
    let error =
        within("a refusal", Client::connect(&address)).await.expect_err("no server listens");
    assert!(matches!(error, Error::Connect { .. }) && error.is_transient(), "{error}");
    assert!(error.to_string().contains(&address), "{error}");
    let error = Client::connect("no address").await.expect_err("it is none");
    assert!(matches!(error, Error::Address { .. }) && !error.is_transient(), "{error}");
}

/// A watch continues over broken connections and a restart, without a gap or a duplicate.
#[tokio::test]
async fn a_watch_resumes_after_breaks() {
    let mut server = TestServer::start().await;
    let gate = Gate::before(server.address()).await;
    let client = Client::connect_lazily(&gate.address().to_string()).unwrap();
    let mut watch = Watch::new(client, "alice", WatchStart::Now);
    while !matches!(next(&mut watch).await, WatchMessage::CaughtUp(_)) {}

    server.user("alice").publishes("one").await;
    assert_eq!(next_event(&mut watch).await, "alice: one");
    gate.cut();
    server.user("alice").publishes("two").await;
    assert_eq!(next_event(&mut watch).await, "alice: two");
    server.restart().await;
    gate.leads_to(server.address());
    server.user("alice").publishes("three").await;
    assert_eq!(next_event(&mut watch).await, "alice: three");
}

async fn next(watch: &mut Watch) -> WatchMessage {
    within("a message", watch.next(|_| ())).await.expect("the watch resumes")
}

async fn next_event(watch: &mut Watch) -> String {
    loop {
        if let WatchMessage::Batch(batch) = next(watch).await {
            assert_eq!(batch.events.len(), 1, "{batch:?}");
            return event_in_short(&batch.events[0]);
        }
    }
}

fn post(text: &str) -> PublishRequest {
    let (user_id, text) = ("alice".to_owned(), text.to_owned());
    PublishRequest { user_id, text, ..PublishRequest::default() }
}
