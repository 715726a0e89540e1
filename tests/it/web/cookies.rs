//! A token in a cookie, for a browser's own `EventSource`, which sends no other: only for streams, and only for pages that
//! may call.

use std::time::Duration;

use http::{StatusCode, Version};
use whimbrel::auth::Options;
use whimbrel::config::Transport;
use whimbrel::runtime::Clock;

use super::{FOLLOW, NEWS_FEED, events, http, json};
use crate::auth::issuer::{NOW, SigningKey, claims, settings};
use crate::harness::http::Http;
use crate::harness::{Setup, TestServer};

const APP: &str = "https://app.example.org";
const EVENTS: &str = "/v1/feeds/alice/events";

/// A server that asks who calls, pages of `origins` among them, and a token of alice.
async fn asking(origins: &str) -> (TestServer, String) {
    let files = tempfile::tempdir().unwrap();
    let key = SigningKey::new(jsonwebtoken::Algorithm::ES256, "key");
    let options = Options { settings: settings(files.path(), &[&key], ""), development: false };
    let origins = origins.parse().unwrap();
    let setup = Setup::new().clock(&Clock::held_at(Duration::from_secs(NOW)));
    let setup =
        setup.authentication(options).transport(Transport { origins, ..Transport::default() });
    (setup.start().await, key.sign(&claims("alice", NOW)))
}

async fn status(http: &mut Http, path: &str, headers: &[(&str, &str)]) -> StatusCode {
    http.begins("GET", path, headers, "").await.status()
}

/// Of the server's own pages, and of those that are named.
#[tokio::test]
async fn a_stream_is_opened_by_a_cookie() {
    for version in super::VERSIONS {
        let (server, token) = asking(APP).await;
        let cookie = format!("theme=dark; whimbrel_token={token}");
        for page in [("sec-fetch-site", "same-origin"), ("origin", APP)] {
            let mut client = http(&server, version).await;
            let headers = [page, ("cookie", &cookie)];
            let answer = client.begins("GET", EVENTS, &headers, "").await;
            let named = answer.headers().get("access-control-allow-credentials").cloned();
            assert_eq!(named.is_some(), page.0 == "origin", "{named:?}");
            let opened = events::Events::of(answer).until("opened").await;
            assert!(opened.id.is_some());
        }
    }
}

/// A browser sends cookies also for a page that may not see the answer.
#[tokio::test]
async fn a_cookie_counts_for_no_other_page() {
    let (server, token) = asking(APP).await;
    let cookie = format!("whimbrel_token={token}");
    let mut client = http(&server, Version::HTTP_11).await;
    for site in ["cross-site", "same-site", "none"] {
        let headers = [("sec-fetch-site", site), ("cookie", &cookie)];
        assert_eq!(status(&mut client, EVENTS, &headers).await, StatusCode::UNAUTHORIZED, "{site}");
    }
    assert_eq!(status(&mut client, EVENTS, &[("cookie", &cookie)]).await, StatusCode::UNAUTHORIZED);
    let foreign = [("origin", "https://evil.example.org"), ("cookie", &cookie)];
    assert_eq!(status(&mut client, EVENTS, &foreign).await, StatusCode::FORBIDDEN);

    // Pages of all origins may call, but none with the cookies of its user.
    let (server, token) = asking("*").await;
    let cookie = format!("whimbrel_token={token}");
    let mut client = http(&server, Version::HTTP_11).await;
    let answer = client.begins("GET", EVENTS, &[("origin", APP), ("cookie", &cookie)], "").await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(!answer.headers().contains_key("access-control-allow-credentials"));
}

/// Whatever could change something, or is no stream, needs the header.
#[tokio::test]
async fn a_cookie_makes_no_call() {
    let (server, token) = asking(APP).await;
    let cookie = format!("whimbrel_token={token}");
    let mut client = http(&server, Version::HTTP_11).await;
    let page = [
        ("cookie", cookie.as_str()),
        ("sec-fetch-site", "same-origin"),
        ("content-type", "application/json"),
    ];
    for (path, message) in [(FOLLOW, r#"{"followeeId":"bob"}"#), (NEWS_FEED, "{}")] {
        let answer = client.send("POST", path, &page, message).await;
        assert_eq!(json(answer.body())["code"], "unauthenticated", "{path}");
    }
    let get = format!("{NEWS_FEED}?encoding=json&message=%7B%7D");
    assert_eq!(status(&mut client, &get, &page).await, StatusCode::UNAUTHORIZED);
    // A header goes before a cookie.
    let headers = [("authorization", "Bearer no-token"), page[0], page[1]];
    assert_eq!(status(&mut client, EVENTS, &headers).await, StatusCode::UNAUTHORIZED);
}
