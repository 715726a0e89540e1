//! Many live feeds on one connection: each receives each event once, in order, also from a server
//! that has more to send than the kernel takes.

use std::collections::HashMap;
use std::time::Duration;

use whimbrel::api::v1::watch_feed_request::Start;
use whimbrel::api::v1::{FollowRequest, PublishRequest, WatchFeedRequest};
use whimbrel::auth::{DevelopmentIssuer, Options, Role, Settings};
use whimbrel::client::{Client, ConnectOptions, Error, RevisionFeeds, TlsProblem, TokenSource};
use whimbrel::model::UserId;
use whimbrel::runtime::Clock;

use crate::harness::tls::TestAuthority;
use crate::harness::{Setup, TestServer, within};

/// More than are opened at once.
const FEEDS: usize = 300;

/// A reader that reads nothing for a while gets every byte: what the kernel does not take waits, in
/// order.
#[tokio::test]
async fn a_pause_of_the_reader_loses_nothing() {
    // Together 43 MB, more than the kernel keeps for a connection.
    const POSTS: usize = 60;

    let server = TestServer::start().await;
    for number in 0..FEEDS {
        server.user(&name(number)).follows("bob").await;
    }
    let requests: Vec<_> = (0..FEEDS).map(|number| watch(&name(number), None)).collect();
    let address = server.address().to_string();
    let mut feeds = within("the feeds to open", RevisionFeeds::open(&address, &requests)).await;
    let mut published = Vec::new();
    for number in 0..POSTS {
        let post = server.user("bob").publishes(&long_text(number)).await;
        published.push(post.revision);
    }
    // Others are served meanwhile.
    assert_eq!(server.user(&name(0)).feed().await.posts().count(), POSTS);

    let feeds = feeds.as_mut().unwrap();
    let received = within("all events", receive(feeds, FEEDS * POSTS)).await;
    assert_eq!(received.len(), FEEDS);
    for (feed, revisions) in received {
        assert_eq!(revisions, published, "of feed {feed}");
    }
}

/// Batches that are longer than a frame are put together again.
#[tokio::test]
async fn a_backlog_is_read_over_many_frames() {
    // Some 470 KB.
    const POSTS: usize = 200;

    let server = TestServer::start().await;
    let follow = server.user("alice").follows("bob").await;
    let mut published = Vec::new();
    for number in 0..POSTS {
        let post = server.user("bob").publishes(&long_text(number)).await;
        published.push(post.revision);
    }
    let requests = [watch("alice", Some(follow.cursor)), watch("alice", None)];
    let address = server.address().to_string();
    let opened = RevisionFeeds::open(&address, &requests);
    let mut feeds = within("the feeds to open", opened).await.unwrap();
    let received = within("the backlog", receive(&mut feeds, POSTS)).await;
    assert_eq!(received, HashMap::from([(0, published)]), "only the first has a backlog");
}

/// The server's error comes through, although the reader does not read it itself.
#[tokio::test]
async fn a_refused_feed_has_the_reason_of_the_server() {
    let server = Setup::new().limits(|limits| limits.streams_max = 1).start().await;
    let address = server.address().to_string();
    let requests = [watch("alice", None), watch("bob", None)];
    let refused = within("a refusal", RevisionFeeds::open(&address, &requests)).await;
    let Err(Error::Call(call)) = refused else { panic!("not refused: {refused:?}") };
    assert_eq!(call.reason, "TOO_MANY_STREAMS");
}

/// Over TLS and with a token, a feed is that of the token's user; without either it is refused, and the
/// error says why.
#[tokio::test]
async fn feeds_open_with_a_token_over_tls() {
    let authority = TestAuthority::new();
    let setup = Setup::new().transport(authority.signs_server().transport());
    let options = Options { settings: Settings::default(), development: true };
    let server = setup.authentication(options).start().await;
    let address = format!("https://{}", server.address());
    let issuer = DevelopmentIssuer::open(server.folder().path()).unwrap();
    let of = |user: &str| {
        let (user, now) = (UserId::parse(user).unwrap(), Clock::system().since_epoch().unwrap());
        let token = issuer.mint(Role::User, Some(&user), now, Duration::from_secs(600)).unwrap();
        ConnectOptions { token: Some(TokenSource::Text(token)), ..authority.trusted() }
    };
    let alice = within("alice", Client::connect_with(&address, &of("alice"))).await.unwrap();
    let follow = FollowRequest { followee_id: "bob".to_owned(), ..Default::default() };
    within("a follow", alice.follow(follow)).await.unwrap();

    let open = async |options: ConnectOptions| {
        let requests = [WatchFeedRequest::default()];
        let opened = RevisionFeeds::open_with(None, &address, &options, &requests);
        within("the feed to open", opened).await
    };
    let mut feeds = open(of("alice")).await.unwrap();
    let bob = within("bob", Client::connect_with(&address, &of("bob"))).await.unwrap();
    let post = PublishRequest { text: long_text(1), ..Default::default() };
    let published = within("a publish", bob.publish(post)).await.unwrap().post.unwrap();
    let received = within("the event", receive(&mut feeds, 1)).await;
    assert_eq!(received, HashMap::from([(0, vec![published.revision])]));

    let refused = open(authority.trusted()).await;
    let Err(Error::Call(call)) = refused else { panic!("not refused: {refused:?}") };
    assert_eq!(call.reason, "NO_TOKEN");
    let other = TestAuthority::new();
    let unknown = open(ConnectOptions { ca_file: Some(other.file()), ..of("alice") }).await;
    let Err(Error::Tls { problem, .. }) = unknown else { panic!("trusted: {unknown:?}") };
    assert_eq!(problem, TlsProblem::UnknownAuthority);
}

fn name(number: usize) -> String {
    format!("watcher{number}")
}

/// Of 2.3 kB, within the limit of graphemes.
fn long_text(number: usize) -> String {
    format!("{number} {}", "👩🏽".repeat(290))
}

fn watch(user_id: &str, after: Option<String>) -> WatchFeedRequest {
    let user_id = user_id.to_owned();
    WatchFeedRequest { user_id, start: after.map(Start::AfterCursor), ..Default::default() }
}

/// The revisions by feed, once there are `count` of them.
async fn receive(feeds: &mut RevisionFeeds, count: usize) -> HashMap<usize, Vec<u64>> {
    let mut received: HashMap<usize, Vec<u64>> = HashMap::new();
    let mut total = 0;
    while total < count {
        let read = feeds.receive(|feed, revision| {
            received.entry(feed).or_default().push(revision);
            total += 1;
        });
        read.await.expect("the feeds stay open");
    }
    received
}
