//! The Connect protocol: calls of one message, streams, GET, errors.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Response, StatusCode, Version};
use http_body_util::BodyExt;
use prost::Message;
use serde_json::{Value, json as value};
use std::io::Write as _;
use tonic_reflection::pb::v1;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use whimbrel::api::v1::{FollowRequest, NewsFeedRequest, NewsFeedResponse};
use whimbrel::auth::{Options, Settings};

use super::{FOLLOW, NEWS_FEED, PUBLISH, VERSIONS, WATCH_FEED, frame, frames, http, json};
use crate::harness::wire::Wire;
use crate::harness::{Setup, TestServer, within};

const JSON: (&str, &str) = ("content-type", "application/json");
const PROTO: (&str, &str) = ("content-type", "application/proto");
const STREAM: (&str, &str) = ("content-type", "application/connect+json");
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// The code, the reason and the first words of an error.
fn error(answer: &Response<bytes::Bytes>) -> (StatusCode, String, String) {
    assert_eq!(answer.headers()["content-type"], "application/json", "{answer:?}");
    let body = json(answer.body());
    let details = body["details"].as_array().expect("it has details");
    let info = details.iter().find(|it| it["type"] == "google.rpc.ErrorInfo").expect("a reason");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    (answer.status(), text(&body["code"]), text(&info["debug"]["reason"]))
}

/// The same calls by both versions of HTTP, in JSON and in Protobuf.
#[tokio::test]
async fn calls_of_one_message_are_answered() {
    for version in VERSIONS {
        let server = TestServer::start().await;
        let mut http = http(&server, version).await;
        let follow = r#"{"userId": "alice", "followee_id": "bob"}"#;
        let answer = http.send("POST", FOLLOW, &[JSON], follow).await;
        assert_eq!((answer.status(), answer.version()), (StatusCode::OK, version));
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert_eq!(json(answer.body())["changed"], true);

        let published = server.user("bob").publishes("first").await;
        let read = NewsFeedRequest { user_id: "alice".to_owned(), ..Default::default() };
        let answer = http.send("POST", NEWS_FEED, &[PROTO], read.encode_to_vec()).await;
        assert_eq!(answer.headers()["content-type"], "application/proto");
        let page = NewsFeedResponse::decode(answer.body().clone()).expect("a page");
        let ids = page.items.iter().map(|item| item.post.as_ref().expect("a post").post_id.clone());
        assert!(ids.eq([published.post_id.clone()]), "{page:?}");

        let answer = http.send("POST", NEWS_FEED, &[JSON], r#"{"userId":"alice"}"#).await;
        let page = json(answer.body());
        assert_eq!(page["items"][0]["post"]["postId"], published.post_id);
        assert_eq!(page["items"][0]["post"]["text"], "first");
        assert_eq!(answer.headers()["x-request-id"].len(), 32);
    }
}

/// A call that only reads, by GET: the message in JSON, or in Base64 with or without padding.
#[tokio::test]
async fn calls_that_only_read_may_be_gets() {
    let server = TestServer::start().await;
    server.user("alice").follows("bob").await;
    server.user("bob").publishes("first").await;
    let read = NewsFeedRequest { user_id: "alice".to_owned(), ..Default::default() };
    let base64 = URL_SAFE_NO_PAD.encode(read.encode_to_vec());
    let queries = [
        "connect=v1&encoding=json&message=%7B%22userId%22%3A%22alice%22%7D".to_owned(),
        "encoding=json&message={%22userId%22:%22alice%22}".to_owned(),
        format!("connect=v1&encoding=proto&base64=1&message={base64}"),
        format!("connect=v1&encoding=proto&base64=1&message={base64}%3D%3D"),
    ];
    for version in VERSIONS {
        let mut http = http(&server, version).await;
        for query in &queries {
            let answer = http.send("GET", &format!("{NEWS_FEED}?{query}"), &[], "").await;
            assert_eq!(answer.status(), StatusCode::OK, "{query}: {answer:?}");
            let has_post = answer.body().windows(5).any(|bytes| bytes == b"first");
            assert!(has_post, "{query}: {answer:?}");
        }
        let answer = http.send("GET", NEWS_FEED, &[], "").await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        for path in [PUBLISH, "/whimbrel.v1.AdminService/CheckIndex", "/no/call"] {
            let path = format!("{path}?encoding=json&message={{}}");
            let answer = http.send("GET", &path, &[], "").await;
            assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
            assert_eq!(answer.headers()["allow"], "POST");
        }
        for query in
            ["encoding=json&message=%ff", "encoding=json", "encoding=proto&base64=1&message=%"]
        {
            let answer = http.send("GET", &format!("{NEWS_FEED}?{query}"), &[], "").await;
            assert_eq!(error(&answer).2, "MALFORMED_MESSAGE", "{query}");
        }
        let answer = http.send("GET", NEWS_FEED, &[], "").await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        assert_eq!(json(answer.body())["code"], "invalid_argument");
    }
}

/// A path, further headers, a body, and the status, the code and the reason of its error.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, (u16, &'a str, &'a str));

/// Each error has its code, its reason and its status of HTTP, and changes nothing.
#[tokio::test]
async fn errors_are_json_with_their_reason() {
    let server = TestServer::limited(|limits| limits.request_bytes_max = 1_024).await;
    let mut http = http(&server, Version::HTTP_11).await;
    let large = format!(r#"{{"userId":"{}"}}"#, "a".repeat(2_000));
    let cases: [Case<'_>; 9] = [
        (
            FOLLOW,
            &[],
            r#"{"userId":"a","followeeId":"a"}"#,
            (400, "invalid_argument", "SELF_FOLLOW"),
        ),
        (FOLLOW, &[], r#"{"user":"a"}"#, (400, "invalid_argument", "MALFORMED_MESSAGE")),
        (FOLLOW, &[], r#"{"userId":"a""#, (400, "invalid_argument", "MALFORMED_MESSAGE")),
        (FOLLOW, &[], "{} {}", (400, "invalid_argument", "MALFORMED_MESSAGE")),
        (FOLLOW, &[], &large, (429, "resource_exhausted", "MESSAGE_TOO_LARGE")),
        ("/whimbrel.v1.FeedService/Nothing", &[], "{}", (404, "unimplemented", "UNSUPPORTED")),
        (
            FOLLOW,
            &[("connect-protocol-version", "2")],
            "{}",
            (400, "invalid_argument", "INVALID_METADATA"),
        ),
        (
            FOLLOW,
            &[("connect-timeout-ms", "soon")],
            "{}",
            (400, "invalid_argument", "INVALID_METADATA"),
        ),
        (FOLLOW, &[("content-encoding", "br")], "{}", (501, "unimplemented", "UNSUPPORTED")),
    ];
    server
        .unchanged_by(async {
            for (path, headers, body, (status, code, reason)) in cases {
                let headers = [&[JSON], headers].concat();
                let answer = http.send("POST", path, &headers, body.to_owned()).await;
                let expected =
                    (StatusCode::from_u16(status).unwrap(), code.to_owned(), reason.to_owned());
                assert_eq!(error(&answer), expected, "{path} {body}");
            }
        })
        .await;
}

/// A message that is compressed as a whole.
#[tokio::test]
async fn compressed_messages_are_read() {
    let server = TestServer::start().await;
    let mut http = http(&server, Version::HTTP_11).await;
    let follow = FollowRequest { user_id: "alice".to_owned(), followee_id: "bob".to_owned() };
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&follow.encode_to_vec()).unwrap();
    let headers = [PROTO, ("content-encoding", "gzip")];
    let answer = http.send("POST", FOLLOW, &headers, encoder.finish().unwrap()).await;
    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    let answer = http.send("POST", FOLLOW, &headers, "no gzip").await;
    assert_eq!(error(&answer).2, "MALFORMED_MESSAGE");
}

/// A stream that is live, in JSON: its frames come as they are published.
#[tokio::test]
async fn a_stream_is_live() {
    for version in VERSIONS {
        let server = TestServer::start().await;
        server.user("alice").follows("bob").await;
        let mut http = http(&server, version).await;
        let request = frame(0, br#"{"userId":"alice"}"#);
        let answer = http.begins("POST", WATCH_FEED, &[STREAM], request).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "application/connect+json");
        let mut body = answer.into_body();
        let mut received = Vec::new();
        let mut publishes = Some(server.user("bob"));
        loop {
            let part = within("a message", body.frame()).await.expect("the stream goes on");
            received.extend_from_slice(&part.unwrap().into_data().expect("data"));
            let messages: Vec<_> =
                frames(&received).iter().map(|(flag, it)| (*flag, json(it))).collect();
            assert!(messages.iter().all(|(flag, _)| *flag == 0), "{messages:?}");
            let has = |name: &str| messages.iter().any(|(_, it)| it.get(name).is_some());
            if has("caughtUp")
                && let Some(bob) = publishes.take()
            {
                bob.publishes("live").await;
            }
            if has("batch") {
                let (_, batch) = messages.last().unwrap();
                let event = &batch["batch"]["events"][0];
                assert_eq!(event["posted"]["item"]["post"]["text"], "live", "{batch}");
                break;
            }
        }
    }
}

/// A stream that is refused says so in its last frame; its status of HTTP is that of a stream.
#[tokio::test]
async fn a_refused_stream_ends_with_its_error() {
    let server = TestServer::start().await;
    let mut http = http(&server, Version::HTTP_11).await;
    for request in [frame(0, b"{}"), frame(0, br#"{"userId":""}"#)] {
        let answer = http.send("POST", WATCH_FEED, &[STREAM], request).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let [(2, end)] = frames(answer.body())[..] else { panic!("{answer:?}") };
        let end = json(end);
        assert_eq!(end["error"]["code"], "invalid_argument", "{end}");
        assert_eq!(end["error"]["details"][0]["debug"]["reason"], "INVALID_FIELD", "{end}");
    }
    let answer = http.send("POST", WATCH_FEED, &[STREAM], r#"{"userId":"alice"}"#).await;
    let [(2, end)] = frames(answer.body())[..] else { panic!("{answer:?}") };
    assert_eq!(json(end)["error"]["code"], "invalid_argument");
}

/// The form of a call is that of its RPC, and its format one of two.
#[tokio::test]
async fn other_formats_are_refused_in_plain_http() {
    let server = TestServer::start().await;
    let mut http = http(&server, Version::HTTP_11).await;
    for (path, media_type) in [
        (WATCH_FEED, "application/json"),
        (FOLLOW, "application/connect+json"),
        (FOLLOW, "application/xml"),
        (FOLLOW, "text/json"),
        (FOLLOW, ""),
    ] {
        let headers = [("content-type", media_type)];
        let answer = http.send("POST", path, &headers, value!({}).to_string()).await;
        assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path} {media_type}");
    }
    let answer = http.send("POST", FOLLOW, &[("content-type", "application/grpc")], "").await;
    assert_eq!(answer.status(), StatusCode::UPGRADE_REQUIRED);
    assert_eq!(answer.headers()["upgrade"], "h2c");
}

/// Reflection takes a stream of messages: each is answered before the next one comes, and the end is in Connect.
#[tokio::test]
async fn reflection_answers_a_stream_of_requests() {
    let server = TestServer::start().await;
    let mut client = http(&server, Version::HTTP_2).await;
    let question = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let asked = frame(0, &question.encode_to_vec());
    let headers = [("content-type", "application/connect+proto")];
    let answer = client.send("POST", REFLECTION, &headers, [asked.clone(), asked].concat()).await;
    assert_eq!(answer.headers()["content-type"], "application/connect+proto");
    let parts = frames(answer.body());
    assert_eq!(parts.iter().map(|(flag, _)| *flag).collect::<Vec<_>>(), [0, 0, 2]);
    assert_eq!(parts[0].1, parts[1].1);
    let listed = String::from_utf8_lossy(parts[0].1).into_owned();
    assert!(listed.contains("whimbrel.v1.FeedService"), "{listed}");
    assert_eq!(json(parts[2].1), value!({}));

    // A client that waits for the first answer before it says more gets it.
    let wire = Wire::connect(server.address()).await;
    let content_type = "application/connect+proto";
    let asked = frame(0, &question.encode_to_vec());
    let unfinished = wire.leave_unfinished_of(REFLECTION, content_type, asked).await;
    let first = unfinished.first_bytes().await;
    assert_eq!(first[..5], frame(0, parts[0].1)[..5]);
}

/// Where it cannot be had, no client waits for a refusal.
#[tokio::test]
async fn reflection_in_json_or_by_http_1_is_refused_at_once() {
    let server = TestServer::start().await;
    let wire = Wire::connect(server.address()).await;
    let asked = frame(0, b"{}");
    let asked = wire.leave_unfinished_of(REFLECTION, "application/connect+json", asked).await;
    let answer = asked.answer().await;
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("unimplemented") && text.contains("needs HTTP/2"), "{text}");

    let mut client = http(&server, Version::HTTP_11).await;
    let headers = [("content-type", "application/connect+proto")];
    let answer = client.send("POST", REFLECTION, &headers, frame(0, b"")).await;
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    assert!(text.contains("unimplemented") && text.contains("needs HTTP/2"), "{text}");
}

/// A stranger has nothing of theirs read, wherever it stands.
#[tokio::test]
async fn who_calls_is_found_out_before_their_message_is_read() {
    let options = Options { settings: Settings::default(), development: false };
    let server = Setup::new().authentication(options).start().await;
    let mut http = http(&server, Version::HTTP_11).await;
    let query = "encoding=json&message=no+message";
    for path in [NEWS_FEED, WATCH_FEED] {
        let answer = http.send("GET", &format!("{path}?{query}"), &[], "").await;
        assert_eq!(error(&answer).1, "unauthenticated", "{answer:?}");
    }
    let answer = http.send("POST", NEWS_FEED, &[JSON], "no message").await;
    assert_eq!(error(&answer).1, "unauthenticated", "{answer:?}");
}
