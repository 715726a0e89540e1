//! Bad input whose rules take more than one field, and the bounds of good input. The fields one by
//! one are in `generated_input`.

use prost::Message as _;
use tonic::{Code, Status};
use whimbrel::api::v1::{FollowRequest, NewsFeedRequest, PublishRequest};

use crate::harness::{TestServer, refused};

/// Every id that the rule allows is accepted, up to the longest.
#[tokio::test]
async fn every_kind_of_user_id_is_accepted() {
    let server = TestServer::start().await;
    let longest = "x".repeat(128);
    for good in [
        "a",
        "7",
        "did:plc:z72i7hdynmk6r22z27h6tvur",
        "bob@example.org",
        "a.b_c~d-e",
        "-bob",
        "_bob",
        "bob_",
        "auth0|123",
        "google-oauth2|1",
        "samlp|idp|bob@example.org",
        "a+b@c.de",
        "AbC==",
        "q83vEjRWeJ+/AbC=",
        "bob_contoso.com#EXT#@fabrikam.onmicrosoft.com",
        "arn:aws:iam::123456789012:user/bob",
        "spiffe://example.org/ns/prod/sa/bob",
        "https://id.example/?id=1&x=%20",
        "CN=Bob,OU=birds;x",
        "!#$%&()*+,-./:;=?@[]^_{|}~0",
        &longest,
    ] {
        server.user(good).publishes("hi").await;
        assert_eq!(server.user(good).feed().await.texts(), ["hi"], "{good}");
    }
}

/// A text is refused for its bytes, its graphemes, a NUL, or without visible characters, and for no
/// other reason.
#[tokio::test]
async fn a_bad_text_is_refused() {
    let server = TestServer::start().await;
    let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}";
    let zalgo = format!("a{}", "\u{301}".repeat(10_000));
    let bad = [
        String::new(),
        "x".repeat(301),
        "\u{e9}".repeat(301),
        format!("{}x", "\u{1f426}\u{200d}\u{2b1b}".repeat(300)),
        format!("a{}", "\u{301}".repeat(1_500)),
        zalgo,
        "a\0b".to_owned(),
        "\0".to_owned(),
        "\n\t \u{7f}".to_owned(),
        "\u{200b}".to_owned(),
    ];
    server
        .unchanged_by(async {
            for text in &bad {
                let call = server.user("bob").tries_to_publish(text, "").await;
                blames(call.expect_err("a bad text"), "text");
            }
        })
        .await;

    let good = [
        "x".repeat(300),
        family.repeat(150),
        "\u{1f426}\u{200d}\u{2b1b}".repeat(300),
        format!("a{}", "\u{301}".repeat(1_499)),
        "\n\t.\u{7f}".to_owned(),
    ];
    for text in &good {
        server.user("bob").publishes(text).await;
    }
    let longest = good.iter().map(String::len).max();
    assert_eq!(longest, Some(3_000), "the limit itself is allowed");
}

/// A request id has at most 64 bytes and no control characters.
#[tokio::test]
async fn a_bad_request_id_is_refused() {
    let server = TestServer::start().await;
    let bob = server.user("bob");
    server
        .unchanged_by(async {
            for bad in ["x".repeat(65), "\u{e9}".repeat(33), "a\0b".to_owned(), "a\n".to_owned()] {
                blames(bob.tries_to_publish("hi", &bad).await.expect_err("bad"), "request_id");
            }
        })
        .await;
    for good in ["x".repeat(64), "\u{e9}".repeat(32), " ".to_owned()] {
        assert!(!bob.publishes_once("hi", &good).await.deduplicated);
        assert!(bob.publishes_once("hi", &good).await.deduplicated);
    }
}

#[track_caller]
fn blames(error: Status, field: &str) {
    let refusal = refused::<()>(Err(error)).with(Code::InvalidArgument, "INVALID_FIELD");
    assert_eq!(refusal.blaming(field).metadata()["field"], field);
}

/// A page token is valid only for its own listing: its user and its options.
#[tokio::test]
async fn a_page_token_of_another_listing_is_refused() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    alice.publishes_many("post ", 2).await;
    let token = alice.page(1, "").await.next_page_token;

    let of_another_user = server.user("bob").tries_to_read(with_token(token.clone())).await;
    let with_other_options =
        alice.tries_to_read(NewsFeedRequest { exclude_self: true, ..with_token(token) }).await;
    for call in [of_another_user, with_other_options] {
        refused(call).with(Code::InvalidArgument, "PAGE_TOKEN_MISMATCH").blaming("page_token");
    }
}

/// As after a restore from an older backup, also once the restored log has gone on beyond them.
#[tokio::test]
async fn positions_of_a_lost_history_are_refused() {
    let mut server = TestServer::start().await;
    server.user("alice").publishes("kept").await;
    let restored = server.restored_copy().await;
    server.user("alice").publishes_many("lost ", 3).await;
    let page = server.user("alice").page(1, "").await;
    positions_are_refused(&restored, &page).await;
    restored.user("alice").publishes_many("new ", 5).await;
    positions_are_refused(&restored, &page).await;
}

async fn positions_are_refused(server: &TestServer, page: &whimbrel::api::v1::NewsFeedResponse) {
    let alice = server.user("alice");
    let at_least_cursor = page.cursor.clone();
    let request = NewsFeedRequest { at_least_cursor, ..NewsFeedRequest::default() };
    refused(alice.tries_to_read(request).await).with(Code::FailedPrecondition, "HISTORY_LOST");
    let request = with_token(page.next_page_token.clone());
    refused(alice.tries_to_read(request).await).with(Code::FailedPrecondition, "HISTORY_LOST");
}

fn with_token(page_token: String) -> NewsFeedRequest {
    NewsFeedRequest { page_token, ..NewsFeedRequest::default() }
}

/// An encoded request whose bytes a test may change.
pub(crate) fn follow() -> Vec<u8> {
    FollowRequest { user_id: "alice".to_owned(), followee_id: "bob".to_owned() }.encode_to_vec()
}

/// See [`follow`].
pub(crate) fn publish(text: &str) -> Vec<u8> {
    let (user_id, text) = ("alice".to_owned(), text.to_owned());
    PublishRequest { user_id, text, ..PublishRequest::default() }.encode_to_vec()
}
