//! Publishing: durable and readable when it is answered, and safe to repeat.

use crate::harness::TestServer;

/// The post is in its author's feed and in those of the followers when the call returns.
#[tokio::test]
async fn a_post_is_in_every_feed_when_it_is_answered() {
    let server = TestServer::start().await;
    server.user("alice").follows("bob").await;
    server.user("bob").publishes("hi").await;
    assert_eq!(server.user("alice").feed().await.texts(), ["hi"]);
    assert_eq!(server.user("bob").feed().await.texts(), ["hi"]);
    assert!(server.user("carol").feed().await.texts().is_empty());
}
