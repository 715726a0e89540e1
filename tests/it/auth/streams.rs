//! Streams end with their caller, say so before, and resume with a new token without a hole.

use std::time::Duration;

use tempfile::TempDir;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Code, Request};
use whimbrel::api::v1::feed_service_client::FeedServiceClient;
use whimbrel::api::v1::watch_feed_request::Start;
use whimbrel::api::v1::watch_feed_response::Kind;
use whimbrel::api::v1::{
    ErrorReason, FollowRequest, PublishRequest, WatchFeedRequest, WatchNotificationsRequest,
    notification_service_client::NotificationServiceClient,
};
use whimbrel::auth::{ApiKeys, NewKey, Options, Role};
use whimbrel::client::{Client, ConnectOptions, TokenSource, Watch, WatchMessage, WatchStart};
use whimbrel::model::UserId;
use whimbrel::runtime::Clock;

use super::command_line::write_token;
use super::issuer::{NOW, SigningKey, claims, settings};
use crate::harness::watching::Watching;
use crate::harness::{Setup, TestServer, connect, event_in_short, refused, within};

/// A server that asks who calls, whose clock stands at [`NOW`], with an issuer whose only key is
/// `key`.
async fn server_with(key: &SigningKey) -> (TestServer, Clock, TempDir) {
    let files = tempfile::tempdir().unwrap();
    let settings = settings(files.path(), &[key], "leeway_seconds = 0");
    let clock = Clock::held_at(Duration::from_secs(NOW));
    let setup = Setup::new().clock(&clock);
    let setup = setup.authentication(Options { settings, development: false });
    (setup.start().await, clock, files)
}

/// A token of `sub` that ends at `exp`, in seconds since 1970.
fn token_until(key: &SigningKey, sub: &str, exp: u64) -> String {
    let mut claims = claims(sub, NOW);
    claims["exp"] = exp.into();
    key.sign(&claims)
}

fn with_token<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value: AsciiMetadataValue = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

async fn publish(server: &TestServer, token: &str, text: &str) {
    let mut client = FeedServiceClient::new(connect(server.address()));
    let post = PublishRequest { text: text.to_owned(), ..Default::default() };
    within("a publish", client.publish(with_token(token, post))).await.expect("it is published");
}

async fn watch(server: &TestServer, token: &str, start: Option<Start>) -> Watching {
    let mut client = FeedServiceClient::new(connect(server.address()));
    // No bookmark wakes the stream before its end does.
    let heartbeat = Some(prost_types::Duration { seconds: 300, nanos: 0 });
    let request = WatchFeedRequest { start, heartbeat, ..Default::default() };
    let stream = within("a stream", client.watch_feed(with_token(token, request))).await;
    let mut watching = Watching::new(stream.expect("the stream opens").into_inner());
    watching.opened().await;
    watching
}

/// Reads a stream to its end. Returns its events, the reason of its `closing`, and its last cursor.
async fn read_to_end(watching: Watching, reason: &str) -> (Vec<String>, ErrorReason, String) {
    // As a whole, because a stream without an end has bookmarks now and then.
    within("the end of a stream", messages_to_end(watching, reason)).await
}

async fn messages_to_end(
    mut watching: Watching,
    reason: &str,
) -> (Vec<String>, ErrorReason, String) {
    let (mut events, mut closing) = (Vec::new(), None);
    loop {
        match watching.next().await {
            Ok(Kind::Batch(batch)) => events.extend(batch.events.iter().map(event_in_short)),
            Ok(Kind::Closing(message)) => closing = Some(message.reason()),
            Ok(_) => {}
            Err(status) => {
                refused::<()>(Err(status)).with(Code::Unauthenticated, reason);
                let closing = closing.expect("`closing` comes before the end");
                return (events, closing, watching.cursor().to_owned());
            }
        }
    }
}

/// A token's end ends its stream; a new one goes on where the stream was.
#[tokio::test]
async fn a_stream_ends_with_its_token_and_resumes_with_another() {
    let key = SigningKey::new(jsonwebtoken::Algorithm::EdDSA, "a");
    let (server, clock, _files) = server_with(&key).await;
    let token = |sub: &str, exp: u64| token_until(&key, sub, exp);
    let (short, long) = (token("alice", NOW + 60), token("alice", NOW + 3_600));
    let bob = token("bob", NOW + 7_200);
    let mut alice = FeedServiceClient::new(connect(server.address()));
    let follow = FollowRequest { followee_id: "bob".to_owned(), ..Default::default() };
    alice.follow(with_token(&short, follow)).await.expect("alice follows bob");

    let (ending, lasting) = (watch(&server, &short, None).await, watch(&server, &long, None).await);
    publish(&server, &bob, "before").await;
    clock.pass(Duration::from_secs(60));
    let (events, reason, cursor) = read_to_end(ending, "TOKEN_EXPIRED").await;
    assert_eq!((events, reason), (vec!["bob: before".to_owned()], ErrorReason::TokenExpired));
    publish(&server, &bob, "between").await;
    let again = alice.watch_feed(with_token(&short, WatchFeedRequest::default())).await;
    refused(again).with(Code::Unauthenticated, "TOKEN_EXPIRED");

    let resumed = watch(&server, &long, Some(Start::AfterCursor(cursor))).await;
    publish(&server, &bob, "after").await;
    clock.pass(Duration::from_secs(3_600));
    let (events, ..) = read_to_end(resumed, "TOKEN_EXPIRED").await;
    assert_eq!(events, ["bob: between", "bob: after"]);
    // The stream of the longer token saw all of it.
    let (events, ..) = read_to_end(lasting, "TOKEN_EXPIRED").await;
    assert_eq!(events, ["bob: before", "bob: between", "bob: after"]);
}

/// Streams end when their API key is revoked, or the key that their token is signed with is taken
/// away; those of others go on.
#[tokio::test]
async fn a_stream_ends_with_its_key() {
    let key = SigningKey::new(jsonwebtoken::Algorithm::EdDSA, "a");
    let (server, _clock, files) = server_with(&key).await;
    let create = |name: &str| {
        let user = Some(UserId::parse("alice").unwrap());
        let new = NewKey { name: name.to_owned(), role: Role::User, user, expires: None };
        ApiKeys::create(server.folder().path(), new, NOW).unwrap()
    };
    let ((revoked, its_secret), (_, secret)) = (create("revoked"), create("kept"));
    let by_token = key.sign(&claims("alice", NOW));
    let ending = watch(&server, &its_secret, None).await;
    let kept = watch(&server, &secret, None).await;
    let signed = watch(&server, &by_token, None).await;
    let mut notifications = NotificationServiceClient::new(connect(server.address()));
    let request = with_token(&its_secret, WatchNotificationsRequest::default());
    let mut of_notifications =
        notifications.watch_notifications(request).await.expect("it opens").into_inner();

    ApiKeys::revoke(server.folder().path(), &revoked.id, NOW).unwrap();
    let (_, reason, _) = read_to_end(ending, "KEY_REVOKED").await;
    assert_eq!(reason, ErrorReason::KeyRevoked);
    let end = within("the end of the notifications", async {
        loop {
            match of_notifications.message().await {
                Ok(message) => assert!(message.is_some(), "a stream never ends with OK"),
                Err(status) => return status,
            }
        }
    });
    refused::<()>(Err(end.await)).with(Code::Unauthenticated, "KEY_REVOKED");

    let other = SigningKey::new(jsonwebtoken::Algorithm::EdDSA, "b");
    std::fs::write(files.path().join("jwks.json"), super::issuer::key_set(&[&other])).unwrap();
    let (_, reason, _) = read_to_end(signed, "KEY_REVOKED").await;
    assert_eq!(reason, ErrorReason::KeyRevoked);

    // The last one saw all that happened, and ends when the server stops.
    publish(&server, &secret, "still here").await;
    let mut kept = kept;
    loop {
        let message = kept.next().await.expect("the stream goes on");
        let Kind::Batch(batch) = message else { continue };
        if batch.events.iter().map(event_in_short).any(|it| it == "alice: still here") {
            break;
        }
    }
}

/// The client's watch goes on with the next token of its file, without a hole.
#[tokio::test]
async fn a_watch_goes_on_with_the_next_token_of_its_file() {
    let key = SigningKey::new(jsonwebtoken::Algorithm::EdDSA, "a");
    let (server, clock, files) = server_with(&key).await;
    let token = |sub: &str, exp: u64| token_until(&key, sub, exp);
    let file = files.path().join("token");
    write_token(&file, &token("alice", NOW + 60));
    let options =
        ConnectOptions { token: Some(TokenSource::File(file.clone())), ..Default::default() };
    let client = Client::connect_with(&server.address().to_string(), &options).await.unwrap();
    let mut watch = Watch::new(client, "alice", WatchStart::Now);
    let (mut events, mut breaks) = (Vec::new(), Vec::new());
    let mut step = 0;
    while events.len() < 2 {
        let message = watch.next(|error| breaks.push(error.to_string()));
        match within("a message of the watch", message).await.expect("the watch goes on") {
            WatchMessage::Opened(_) if step == 0 => {
                publish(&server, &token("alice", NOW + 3_600), "one").await;
                step = 1;
            }
            WatchMessage::Batch(batch) => {
                events.extend(batch.events.iter().map(event_in_short));
                if step == 1 {
                    // The next one is there before the first ends.
                    write_token(&file, &token("alice", NOW + 3_600));
                    clock.pass(Duration::from_secs(60));
                    publish(&server, &token("alice", NOW + 3_600), "two").await;
                    step = 2;
                }
            }
            _ => {}
        }
    }
    assert_eq!(events, ["alice: one", "alice: two"]);
    // The second may have come before the end of the first token was noticed.
    assert!(breaks.iter().all(|error| error.contains("TOKEN_EXPIRED")), "{breaks:?}");
}
