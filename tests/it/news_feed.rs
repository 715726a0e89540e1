//! Reading the feed in pages: filled, without a repeat or a hole, to the true end.

use crate::harness::TestServer;

/// Every page but the last is full, and only the end of the feed has no token.
#[tokio::test]
async fn pages_are_filled_to_the_true_end() {
    let server = TestServer::start().await;
    server.user("bob").publishes_many("post ", 10).await;
    let bob = server.user("bob");
    assert_eq!(bob.feed_in_pages_of(3).await.page_sizes(), [3, 3, 3, 1]);
    assert_eq!(bob.feed_in_pages_of(5).await.page_sizes(), [5, 5], "no empty page at the end");
    assert_eq!(bob.feed_in_pages_of(10).await.page_sizes(), [10]);
}
