//! Each answer has the id of its call, and errors have it in their details, too.

use std::collections::HashSet;

use tonic::metadata::MetadataMap;
use tonic::{Request, Status};
use tonic_types::StatusExt;
use whimbrel::api::v1::WatchFeedRequest;
use whimbrel::api::v1::feed_service_client::FeedServiceClient;
use whimbrel::auth::{Options, Settings};

use super::{follow, news_feed, with_headers};
use crate::harness::wire::{FOLLOW, Wire};
use crate::harness::{Setup, TestServer, within};

const ID: &str = "x-request-id";

fn id(headers: &MetadataMap) -> String {
    let ids: Vec<_> = headers.get_all(ID).iter().collect();
    assert_eq!(ids.len(), 1, "one id: {headers:?}");
    ids[0].to_str().expect("a text").to_owned()
}

/// The id of a refused call, which is in its details, too.
fn id_of_refusal(refusal: &Status) -> String {
    let id = id(refusal.metadata());
    let details = refusal.get_error_details();
    assert_eq!(details.request_info().expect("it has the id").request_id, id);
    id
}

/// Success, a refusal by admission, an error of a service, and a stream.
#[tokio::test]
async fn the_id_of_the_caller_is_in_each_answer() {
    let server = TestServer::start().await;
    let mut feeds = FeedServiceClient::new(server.channel());
    let given = &[(ID, "shop.7:a_B-9")];
    let answer = within("a follow", feeds.follow(follow("alice", "bob", given))).await.unwrap();
    assert_eq!(id(answer.metadata()), given[0].1);
    let error = feeds.follow(follow("alice", "alice", given)).await.unwrap_err();
    assert_eq!(id_of_refusal(&error), given[0].1);
    let badly = &[(ID, "shop.8"), ("grpc-timeout", "soon")];
    let refusal = feeds.news_feed(news_feed("alice", badly)).await.unwrap_err();
    assert_eq!(id_of_refusal(&refusal), "shop.8");
    let watch = WatchFeedRequest { user_id: "alice".to_owned(), ..Default::default() };
    let stream = feeds.watch_feed(with_headers(watch, given)).await.unwrap();
    assert_eq!(id(stream.metadata()), given[0].1);
}

/// Without one, and with one that could not be part of a line of a log.
#[tokio::test]
async fn a_call_without_a_plain_id_gets_a_fresh_one() {
    let server = TestServer::start().await;
    let mut feeds = FeedServiceClient::new(server.channel());
    let long = "a".repeat(129);
    let calls = [&[][..], &[(ID, "")], &[(ID, "a b")], &[(ID, "a\"b")], &[(ID, &long)]];
    let twice = [&[(ID, "a"), (ID, "b")][..]];
    let mut seen = HashSet::new();
    for headers in calls.into_iter().chain(twice) {
        let answer = feeds.news_feed(news_feed("alice", headers)).await.unwrap();
        let id = id(answer.metadata());
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert!(seen.insert(id), "not fresh");
    }
    let longest = "a".repeat(128);
    let answer = feeds.news_feed(news_feed("alice", &[(ID, &longest)])).await.unwrap();
    assert_eq!(id(answer.metadata()), longest);
}

/// Callers that are not known, and requests that are no calls.
#[tokio::test]
async fn those_who_are_refused_at_the_door_get_it_as_well() {
    let server = Setup::new()
        .authentication(Options { settings: Settings::default(), development: false })
        .start()
        .await;
    let mut feeds = FeedServiceClient::new(server.channel());
    let refusal = feeds.news_feed(news_feed("alice", &[(ID, "stranger")])).await.unwrap_err();
    assert_eq!(id_of_refusal(&refusal), "stranger");
    let wire = Wire::connect(server.address()).await;
    let answer = wire.http("GET", FOLLOW, &[(ID, b"browser")], "").await;
    assert_eq!(answer.headers()[ID], "browser");
    let refusal = feeds.news_feed(Request::new(Default::default())).await.unwrap_err();
    assert_eq!(id_of_refusal(&refusal).len(), 32);
}
