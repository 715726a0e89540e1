//! The home feed in pages: full, without duplicates or gaps, to its end.

use std::time::Duration;

use proptest::prelude::*;
use tonic::Code;
use whimbrel::api::v1::NewsFeedRequest;
use whimbrel::query::{HomeFeed, PagePosition};

use crate::harness::core::{Core, user};
use crate::harness::{Feed, Setup, TestServer, Valve, one_later, refused};

/// Every page but the last is full, and only the last has no token.
#[tokio::test]
async fn pages_are_full_to_the_end_of_the_feed() {
    let server = TestServer::start().await;
    server.user("bob").publishes_many("post ", 10).await;
    let bob = server.user("bob");
    assert_eq!(bob.feed_in_pages_of(3).await.page_sizes(), [3, 3, 3, 1]);
    assert_eq!(bob.feed_in_pages_of(5).await.page_sizes(), [5, 5], "no empty page at the end");
    assert_eq!(bob.feed_in_pages_of(10).await.page_sizes(), [10]);
}

/// A page has 50 items by default, and at most 100.
#[tokio::test]
async fn a_page_has_the_requested_size_up_to_the_limit() {
    let server = TestServer::start().await;
    let bob = server.user("bob");
    bob.publishes_many("post ", 120).await;
    for (asked, given) in [(0, 50), (1, 1), (99, 99), (100, 100), (101, 100), (i32::MAX, 100)] {
        assert_eq!(bob.page(asked, "").await.items.len(), given, "asked for {asked}");
    }
    assert_eq!(bob.feed().await.page_sizes(), [50, 50, 20]);
}

/// An unknown user has an empty feed, with an end and a position.
#[tokio::test]
async fn an_unknown_user_has_an_empty_feed() {
    let server = TestServer::start().await;
    let page = server.user("nobody").page(0, "").await;
    assert!(page.items.is_empty() && page.next_page_token.is_empty());
    assert!(!page.cursor.is_empty());
}

/// Posts, follows and unfollows during a listing do not shift its pages.
#[tokio::test]
async fn new_posts_do_not_shift_a_listing_under_way() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.follows("bob").await;
    for number in 1..=5 {
        bob.publishes(&format!("of bob {number}")).await;
        alice.publishes(&format!("of alice {number}")).await;
    }
    let expected = alice.feed().await;

    let mut feed = Feed::of(alice.page(2, "").await);
    while let Some(token) = feed.next_page_token() {
        bob.publishes("new").await;
        alice.publishes("new").await;
        feed.append(alice.page(2, &token).await);
    }
    assert_eq!(feed.texts(), expected.texts());
    assert_eq!(
        feed.cursor(),
        expected.cursor(),
        "every page has the position at which the listing began"
    );
    assert_eq!(alice.feed().await.texts()[..2], ["new", "new"]);
}

/// The page size may change from page to page. The listing stays the same.
#[tokio::test]
async fn page_sizes_may_change_on_the_way() {
    let server = TestServer::start().await;
    let bob = server.user("bob");
    bob.publishes_many("post ", 10).await;
    let mut feed = Feed::of(bob.page(1, "").await);
    for size in [4, 2, 100] {
        let token = feed.next_page_token().expect("there is another page");
        feed.append(bob.page(size, &token).await);
    }
    assert_eq!(feed.page_sizes(), [1, 4, 2, 3]);
    assert_eq!(feed.texts(), bob.feed().await.texts());
}

/// A page token still works after a restart.
#[tokio::test]
async fn a_listing_continues_after_a_restart() {
    let mut server = TestServer::start().await;
    server.user("bob").publishes_many("post ", 5).await;
    let mut feed = Feed::of(server.user("bob").page(2, "").await);
    server.restart().await;
    server.user("bob").publishes("new").await;
    feed.append(
        server.user("bob").page(9, &feed.next_page_token().expect("there is another page")).await,
    );
    assert_eq!(feed.texts(), ["post 5", "post 4", "post 3", "post 2", "post 1"]);
    feed.cursor();
}

/// With `exclude_self` pages are filled with posts of others.
#[tokio::test]
async fn own_posts_can_be_left_out() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    alice.follows("bob").await;
    for number in 1..=3 {
        server.user("bob").publishes(&format!("of bob {number}")).await;
        alice.publishes(&format!("own {number}")).await;
    }
    let request =
        NewsFeedRequest { exclude_self: true, page_size: 2, ..NewsFeedRequest::default() };
    let mut feed = Feed::of(alice.tries_to_read(request.clone()).await.unwrap());
    let page_token = feed.next_page_token().expect("there is another page");
    feed.append(alice.tries_to_read(NewsFeedRequest { page_token, ..request }).await.unwrap());
    assert_eq!(feed.texts(), ["of bob 3", "of bob 2", "of bob 1"]);
    assert_eq!(feed.page_sizes(), [2, 1]);
}

/// A page that is read with the cursor of a write shows that write.
#[tokio::test]
async fn a_page_shows_the_writes_of_its_caller() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    let posted = server.user("bob").publishes_once("hi", "").await.cursor;
    let followed = alice.follows("bob").await.cursor;
    for at_least_cursor in [posted, followed] {
        let request = NewsFeedRequest { at_least_cursor, ..NewsFeedRequest::default() };
        let page = alice.tries_to_read(request).await.unwrap();
        assert_eq!(Feed::of(page).texts(), ["hi"]);
    }
}

/// A page waits until the server has reached the wanted position. After the time limit of a call it
/// is refused.
#[tokio::test]
async fn a_page_waits_for_the_wanted_position() {
    let valve = Valve::default();
    let setup = Setup::new().applies_through(&valve);
    let time_max = Duration::from_millis(200);
    let server = setup.limits(|limits| limits.call_time_max = time_max).start().await;
    let first = server.user("alice").publishes_once("first", "").await.cursor;
    let at_least_cursor = one_later(&first);
    valve.shut();
    let request = NewsFeedRequest { at_least_cursor, ..NewsFeedRequest::default() };
    let bob = server.user("bob");
    refused(bob.tries_to_publish("hi", "request 1").await)
        .with(Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    valve.holds_one().await;
    refused(bob.tries_to_read(request.clone()).await)
        .with(Code::Unavailable, "NODE_BEHIND")
        .with_a_delay();
    valve.open();
    let page = bob.tries_to_read(request).await.expect("the page is read now");
    assert_eq!(Feed::of(page).texts(), ["hi"]);
}

/// Posts that do not fit into the cache are read from the log.
#[tokio::test]
async fn posts_outside_of_the_cache_are_read_from_the_log() {
    let server = TestServer::limited(|limits| limits.post_cache_bytes_max = 1).await;
    let bob = server.user("bob");
    bob.publishes_many("post ", 5).await;
    assert_eq!(bob.feed().await.texts(), ["post 5", "post 4", "post 3", "post 2", "post 1"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..Default::default() })]

    /// For any follows, posts and page sizes, the pages together are one sorted merge of all posts.
    #[test]
    fn many_pages_are_one_merge(
        followed in proptest::collection::vec(any::<bool>(), 8),
        authors in proptest::collection::vec(0..8_usize, 0..120),
        page_size in 1..20_usize,
        with_own in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let core = Core::limited(|_| ());
            let mut expected = Vec::new();
            for (number, &author) in authors.iter().enumerate() {
                core.publish(&format!("user{author}"), &number.to_string()).await;
                let is_in_feed = if author == 0 { with_own } else { followed[author] };
                if is_in_feed {
                    expected.insert(0, number.to_string());
                }
            }
            for followee in (1..8).filter(|&followee| followed[followee]) {
                core.follow("user0", &format!("user{followee}")).await;
            }
            assert_eq!(read_all(&core, page_size, with_own).await, expected);
            core.closed().await;
        });
    }
}

/// The feed of `user0`, page by page; every page but the last is full.
async fn read_all(core: &Core, page_size: usize, with_own: bool) -> Vec<String> {
    let mut texts = Vec::new();
    let mut position: Option<PagePosition> = None;
    loop {
        let query = HomeFeed {
            user: user("user0"),
            items_max: page_size,
            position,
            with_own,
            all_replies: false,
        };
        let page = core.engine().ask(query).await.expect("the page is read");
        texts.extend(page.items.iter().map(|item| item.post.post.content.text.as_str().to_owned()));
        position = page.next;
        if position.is_none() {
            return texts;
        }
        assert_eq!(page.items.len(), page_size, "a page before the last is full");
    }
}
