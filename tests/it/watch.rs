//! The live feed's contract. What breaks connections and servers is not here.

use crate::harness::TestServer;

/// The stream says that it is open before there is anything to tell.
#[tokio::test]
async fn a_stream_is_opened_at_once() {
    let server = TestServer::start().await;
    let mut watch = server.user("alice").watches().await;
    let opened = watch.opened().await;
    assert_eq!(opened.cursor, opened.head_cursor);
    assert_eq!(watch.caught_up().await.cursor, opened.cursor);

    server.user("alice").publishes("hi").await;
    assert_eq!(watch.events(1).await, ["alice: hi"]);
}
