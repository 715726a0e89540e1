//! Pages in browsers: those that an operator names may call, and no others.

use http::StatusCode;
use whimbrel::config::{Origins, Transport};

use super::{FOLLOW, NEWS_FEED, VERSIONS, http, json};
use crate::harness::{Setup, TestServer};

const APP: &str = "https://app.example.org";
const JSON: (&str, &str) = ("content-type", "application/json");

async fn server(origins: &str) -> TestServer {
    let origins = origins.parse().expect("origins");
    Setup::new().transport(Transport { origins, ..Transport::default() }).start().await
}

#[tokio::test]
async fn named_pages_may_call() {
    for origins in [APP, "https://other.example.org,https://app.example.org", "*"] {
        let server = server(origins).await;
        for version in VERSIONS {
            let mut http = http(&server, version).await;
            let asks = [("origin", APP), ("access-control-request-method", "POST")];
            let answer = http.send("OPTIONS", FOLLOW, &asks, "").await;
            assert_eq!(answer.status(), StatusCode::NO_CONTENT);
            assert_eq!(answer.headers()["access-control-allow-origin"], APP);
            assert_eq!(answer.headers()["access-control-allow-methods"], "GET, POST");
            let allowed = answer.headers()["access-control-allow-headers"].to_str().unwrap();
            for header in
                ["authorization", "content-type", "connect-protocol-version", "x-grpc-web"]
            {
                assert!(allowed.contains(header), "{allowed}");
            }

            let call = [JSON, ("origin", APP)];
            let answer = http.send("POST", NEWS_FEED, &call, r#"{"userId":"alice"}"#).await;
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!(answer.headers()["access-control-allow-origin"], APP);
            assert_eq!(answer.headers()["vary"], "origin");
            // Of an error as well: otherwise the page could not read it.
            let answer = http.send("POST", NEWS_FEED, &call, "{}").await;
            assert_eq!(json(answer.body())["code"], "invalid_argument");
            assert_eq!(answer.headers()["access-control-allow-origin"], APP);
        }
    }
}

/// Also those whose host leads here: their owner may have chosen that.
#[tokio::test]
async fn other_pages_change_nothing_and_read_nothing() {
    let server = server(APP).await;
    let port = server.address().port();
    let rebound = format!("http://rebound.example.org:{port}");
    let mut http = http(&server, http::Version::HTTP_11).await;
    server
        .unchanged_by(async {
            for origin in ["https://evil.example.org", "null", "http://app.example.org", &rebound] {
                let host = rebound.trim_start_matches("http://");
                let call = [JSON, ("origin", origin), ("host", host)];
                let follow = r#"{"userId":"alice","followeeId":"bob"}"#;
                let answer = http.send("POST", FOLLOW, &call, follow).await;
                assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{origin}");
                assert!(!answer.headers().contains_key("access-control-allow-origin"));
                let path =
                    format!("{NEWS_FEED}?encoding=json&message={{%22userId%22:%22alice%22}}");
                let answer = http.send("GET", &path, &[("origin", origin)], "").await;
                assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{origin}");
                let asks = [("origin", origin), ("access-control-request-method", "POST")];
                let answer = http.send("OPTIONS", FOLLOW, &asks, "").await;
                assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{origin}");
            }
        })
        .await;
}

/// The server's own pages need no setting.
#[tokio::test]
async fn its_own_pages_may_call() {
    let server = TestServer::start().await;
    for version in VERSIONS {
        let mut http = http(&server, version).await;
        let own = format!("http://{}", server.address());
        let answer =
            http.send("POST", NEWS_FEED, &[JSON, ("origin", &own)], r#"{"userId":"alice"}"#).await;
        assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    }
}

#[test]
fn what_no_browser_sends_is_no_origin() {
    for text in [
        "app.example.org",
        "https://app.example.org/",
        "https://app.example.org/path",
        "https://App.example.org",
        "https://app.example.org:443",
        "http://app.example.org:80",
        "https://name@app.example.org",
        "ftp://app.example.org",
        "https://",
        "null",
    ] {
        let error = text.parse::<Origins>().expect_err(text).to_string();
        assert!(error.contains(text) && error.contains("https://app.example.org"), "{error}");
    }
    for text in ["", "*", "http://localhost:5173", "https://[::1]:8443, https://a.example"] {
        text.parse::<Origins>().unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}
