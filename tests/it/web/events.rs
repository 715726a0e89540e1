//! Server-sent events: what a browser's own `EventSource` gets, and how it resumes.

use bytes::Bytes;
use http::{Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use super::{VERSIONS, http, json};
use crate::harness::http::Http;
use crate::harness::{Setup, TestServer, eventually, within};

const EVENTS: &str = "/v1/feeds/alice/events";

/// An event: its kind, its id and its content.
#[derive(Debug)]
pub(super) struct Event {
    kind: String,
    pub(super) id: Option<String>,
    pub(super) data: Value,
}

/// The events of an answer, as they come.
pub(super) struct Events {
    body: Incoming,
    received: String,
    /// How long the browser waits before it connects again.
    retry_ms: Option<u64>,
}

impl Events {
    pub(super) fn of(answer: Response<Incoming>) -> Self {
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        Self { body: answer.into_body(), received: String::new(), retry_ms: None }
    }

    /// The next event; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.received.split_once("\n\n") {
                let retry = event.lines().find_map(|line| line.strip_prefix("retry: "));
                let retry_ms = retry.map(|ms| ms.parse().expect("a number")).or(self.retry_ms);
                let (event, rest) = (parse(event), rest.to_owned());
                self.retry_ms = retry_ms;
                self.received = rest;
                if event.is_some() {
                    return event;
                }
                continue;
            }
            let part = within("an event", self.body.frame()).await?;
            let bytes: Bytes = part.expect("the stream is whole").into_data().expect("data");
            self.received.push_str(std::str::from_utf8(&bytes).expect("a text"));
        }
    }

    /// The next event of this kind.
    pub(super) async fn until(&mut self, kind: &str) -> Event {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if event.kind == kind {
                return event;
            }
        }
    }

    /// The texts of the next posts, and the id of the last event with them.
    pub(super) async fn posts(&mut self, count: usize) -> (Vec<String>, String) {
        let (mut texts, mut last) = (Vec::new(), String::new());
        while texts.len() < count {
            let event = self.next().await.expect("the stream goes on");
            if event.kind == "batch" {
                last = event.id.expect("a cursor");
                let events = event.data["events"].as_array().expect("events");
                let text = |it: &Value| {
                    it["posted"]["item"]["post"]["text"].as_str().expect("a text").to_owned()
                };
                texts.extend(events.iter().map(text));
            }
        }
        (texts, last)
    }
}

/// The events of Alice's feed, as a browser asks for them that has this last event.
pub(super) async fn of_alice(client: &mut Http, last: Option<&str>) -> Events {
    let headers: Vec<_> = last.iter().map(|id| ("last-event-id", *id)).collect();
    Events::of(client.begins("GET", EVENTS, &headers, "").await)
}

/// An event; `None` if it is only a setting.
fn parse(text: &str) -> Option<Event> {
    let field = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
    };
    let kind = field("event")?;
    let data = field("data").expect("an event has data");
    Some(Event { kind, id: field("id"), data: json(data.as_bytes()) })
}

/// Live, and again from the last event: nothing is missing, and nothing comes twice.
#[tokio::test]
async fn a_browser_resumes_after_its_last_event() {
    for version in VERSIONS {
        let server = TestServer::start().await;
        server.user("alice").follows("bob").await;
        let bob = server.user("bob");
        bob.publishes("0").await;
        let mut client = http(&server, version).await;
        let path = format!("{EVENTS}?snapshot=5");
        let mut events = Events::of(client.begins("GET", &path, &[], "").await);
        let opened = events.next().await.expect("the first event");
        assert_eq!((opened.kind.as_str(), opened.id.is_some()), ("opened", true));
        let (texts, _) = events.posts(1).await;
        assert_eq!(texts, ["0"]);
        bob.publishes("1").await;
        let (texts, last) = events.posts(1).await;
        assert_eq!(texts, ["1"]);
        drop(events);
        drop(client);

        bob.publishes("2").await;
        bob.publishes("3").await;
        let mut client = http(&server, version).await;
        // The browser asks for the same address, which has a snapshot.
        let last = [("last-event-id", &*last)];
        let mut events = Events::of(client.begins("GET", &path, &last, "").await);
        assert_eq!(events.posts(2).await.0, ["2", "3"]);
    }
}

/// What is missing cannot be had: an event says so, and the browser forgets its cursor.
#[tokio::test]
async fn a_lost_position_is_an_event() {
    let other = TestServer::start().await;
    other.user("alice").follows("bob").await;
    let mut client = http(&other, Version::HTTP_11).await;
    let mut events = of_alice(&mut client, None).await;
    let of_another_log = events.next().await.and_then(|opened| opened.id).expect("a cursor");

    let server = TestServer::start().await;
    let mut client = http(&server, Version::HTTP_11).await;
    let mut events = of_alice(&mut client, Some(&of_another_log)).await;
    let reset = events.until("reset").await;
    assert_eq!(reset.id, None, "the browser forgets its cursor");
    assert!(reset.data["reason"].as_str().is_some_and(|it| it.starts_with("ERROR_REASON_")));
}

/// A browser gives up at once on any status but 200: so that is what comes if it may try again.
#[tokio::test]
async fn what_is_wrong_is_an_error_and_what_passes_is_an_event() {
    let server = TestServer::limited(|limits| limits.streams_max = 1).await;
    let mut first = http(&server, Version::HTTP_11).await;
    for path in [
        "/v1/feeds//events",
        "/v1/feeds/alice/events?after=x",
        "/v1/feeds/alice/events?snapshot=many",
        "/v1/feeds/alice/events?include_all_replies=perhaps",
    ] {
        let answer = first.send("GET", path, &[], "").await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(json(answer.body())["code"], "invalid_argument", "{path}");
    }
    let mut events = of_alice(&mut first, None).await;
    events.next().await.expect("it is open");
    let mut second = http(&server, Version::HTTP_11).await;
    let mut refused = of_alice(&mut second, None).await;
    let failure = refused.next().await.expect("an event");
    assert_eq!((failure.kind.as_str(), failure.id), ("failure", None));
    assert_eq!(failure.data["code"], "resource_exhausted", "{}", failure.data);
    assert!(refused.next().await.is_none(), "it ends");
    assert_eq!(refused.retry_ms, Some(10_000), "as long as the error says");
    let answer =
        second.send("POST", EVENTS, &[("content-type", "application/connect+json")], "").await;
    let is_unknown = answer.body().windows(13).any(|bytes| bytes == b"unimplemented");
    assert!(is_unknown, "the short path is for a GET: {answer:?}");
}

/// A browser that leaves gives its place back.
#[tokio::test]
async fn a_browser_that_leaves_is_noticed() {
    let server = Setup::new().limits(|limits| limits.streams_max = 1).start().await;
    let mut client = http(&server, Version::HTTP_11).await;
    let mut events = of_alice(&mut client, None).await;
    events.next().await.expect("it is open");
    drop(events);
    drop(client);
    eventually("a place for another", async || {
        let mut client = http(&server, Version::HTTP_11).await;
        let mut events = of_alice(&mut client, None).await;
        (events.next().await?.kind == "opened").then_some(())
    })
    .await;
}

/// Notifications come the same way.
#[tokio::test]
async fn notifications_are_events() {
    let server = TestServer::start().await;
    let mut client = http(&server, Version::HTTP_11).await;
    let path = "/v1/notifications/bob/events";
    let mut events = Events::of(client.begins("GET", path, &[], "").await);
    assert_eq!(events.next().await.expect("an event").kind, "opened");
    server.user("alice").follows("bob").await;
    let batch = events.until("batch").await;
    assert!(batch.data.to_string().contains("alice"), "{}", batch.data);
}
