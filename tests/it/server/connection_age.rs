//! Old connections: their clients reconnect in order, and miss no event.

use std::time::Duration;

use prost::Message as _;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use whimbrel::api::v1::watch_feed_response::Kind;
use whimbrel::api::v1::{ErrorReason, PublishRequest, WatchFeedRequest, WatchFeedResponse};
use whimbrel::client::{Client, Retry, Watch, WatchMessage as Heard, WatchStart};

use crate::harness::wire::{self, Wire};
use crate::harness::{TestServer, event_in_short, refused, within};

const HEALTH_WATCH: &str = "/grpc.health.v1.Health/Watch";

/// A connection past its age sends `closing` with a cursor on its streams, and is then closed by a
/// GOAWAY without an error.
#[tokio::test]
async fn an_old_connection_is_ended_in_order() {
    let server = TestServer::limited(|limits| {
        limits.connection_age_max = Duration::from_millis(50);
        // Only a connection that is closed for its age is closed before this.
        limits.drain_time_max = Duration::from_secs(3_600);
    })
    .await;
    let wire = Wire::connect(server.address()).await;
    let request = WatchFeedRequest { user_id: "alice".to_owned(), ..WatchFeedRequest::default() };
    let (messages, status) = wire.stream(wire::WATCH_FEED, &request.encode_to_vec()).await;
    let messages: Vec<_> = messages
        .into_iter()
        .map(|bytes| WatchFeedResponse::decode(bytes).unwrap().kind.unwrap())
        .collect();
    let [Kind::Opened(_), Kind::CaughtUp(caught_up), Kind::Closing(closing)] = messages.as_slice()
    else {
        panic!("not opened, caught up and closed: {messages:?}")
    };
    assert_eq!(closing.reason(), ErrorReason::Draining);
    assert_eq!(closing.cursor, caught_up.cursor);
    refused(status).with(Code::Unavailable, "DRAINING").with_a_delay();
    wire.ended().await.expect("closed in order");
}

/// The watch and the calls of a client continue over the ends of its connections, without a gap or
/// a duplicate.
#[tokio::test]
async fn a_watch_outlives_its_connections() {
    let server =
        TestServer::limited(|limits| limits.connection_age_max = Duration::from_millis(30)).await;
    let address = server.address().to_string();
    let mut watch = Watch::new(Client::connect_lazily(&address).unwrap(), "alice", WatchStart::Now);
    let opened = within("the watch to open", watch.next(|_| ())).await.unwrap();
    assert!(matches!(opened, Heard::Opened(_)), "{opened:?}");

    let client = Client::connect_lazily(&address).unwrap();
    let (mut posted, mut got, mut ends) = (Vec::new(), Vec::new(), 0);
    let posting_and_watching = async {
        while ends < 3 {
            let text = (posted.len() + 1).to_string();
            Retry::for_ever().call(|| client.publish(post(&text))).await.unwrap();
            posted.push(format!("alice: {text}"));
            while got.len() < posted.len() {
                let next = watch.next(|error| assert!(error.retry_after().is_some(), "{error}"));
                match next.await.unwrap() {
                    Heard::Batch(batch) => got.extend(batch.events.iter().map(event_in_short)),
                    Heard::Closing(closing) => {
                        assert_eq!(closing.reason(), ErrorReason::Draining);
                        ends += 1;
                    }
                    _ => {}
                }
            }
            assert_eq!(got, posted);
        }
    };
    within("three ends of a connection", posting_and_watching).await;
}

/// A connection whose streams do not end is closed at the deadline.
#[tokio::test]
async fn an_old_connection_is_closed_at_its_deadline() {
    let server = TestServer::limited(|limits| {
        limits.connection_age_max = Duration::from_millis(20);
        limits.drain_time_max = Duration::from_millis(20);
    })
    .await;
    let wire = Wire::connect(server.address()).await;
    let request = HealthCheckRequest::default().encode_to_vec();
    let response = wire.leave_unread(HEALTH_WATCH, &request).await;
    wire.closed().await;
    drop(response);
}

/// A post of alice's with a request id.
fn post(text: &str) -> PublishRequest {
    let (user_id, request_id) = ("alice".to_owned(), text.to_owned());
    PublishRequest { user_id, text: text.to_owned(), request_id, ..PublishRequest::default() }
}
