//! Facets through the API: notified mentions, facets in responses, and refusals.

mod refusals;

use prost::Message as _;
use tonic::transport::Channel;
use tonic::{Response, Status};
use whimbrel::api::v1::facet::Feature;
use whimbrel::api::v1::feed_event::Change;
use whimbrel::api::v1::feed_service_client::FeedServiceClient;
use whimbrel::api::v1::notification::Kind;
use whimbrel::api::v1::notification_service_client::NotificationServiceClient;
use whimbrel::api::v1::post_service_client::PostServiceClient;
use whimbrel::api::v1::{
    Attachment, Facet, FacetLink, FacetMention, FacetTag, GetPostsRequest, GetThreadRequest,
    ListNotificationsRequest, Notification, Post, PublishRequest, PublishResponse, thread_post,
};

use crate::harness::{TestServer, within};

/// The calls that these tests make.
struct Calls {
    feed: FeedServiceClient<Channel>,
    post: PostServiceClient<Channel>,
    notification: NotificationServiceClient<Channel>,
}

impl Calls {
    fn of(server: &TestServer) -> Self {
        let channel = server.channel();
        Self {
            feed: FeedServiceClient::new(channel.clone()),
            post: PostServiceClient::new(channel.clone()),
            notification: NotificationServiceClient::new(channel),
        }
    }

    async fn tries_to_publish(&self, request: PublishRequest) -> Result<PublishResponse, Status> {
        let call = within("an answer", Box::pin(self.feed.clone().publish(request))).await;
        call.map(Response::into_inner)
    }

    async fn publishes(&self, request: PublishRequest) -> Post {
        let published = self.tries_to_publish(request).await.expect("the post is published");
        published.post.expect("the response has the post")
    }

    async fn notifications(&self, user: &str) -> Vec<Notification> {
        let request = ListNotificationsRequest { user_id: user.to_owned(), ..Default::default() };
        let call = self.notification.clone().list_notifications(request).await;
        call.expect("the list is read").into_inner().notifications
    }

    /// The texts that mention `user`, oldest first.
    async fn mentions(&self, user: &str) -> Vec<String> {
        let mut notifications = self.notifications(user).await;
        notifications.reverse();
        notifications.retain(|it| it.kind() == Kind::Mention);
        notifications.into_iter().map(|it| it.post.expect("its post").text).collect()
    }

    /// The post, as its thread shows it.
    async fn thread(&self, id: &str) -> Post {
        let (user_id, post_id) = ("reader".to_owned(), id.to_owned());
        let request = GetThreadRequest { user_id, post_id, ..Default::default() };
        let thread = self.post.clone().get_thread(request).await.unwrap().into_inner();
        match thread.post.unwrap().shown {
            Some(thread_post::Shown::View(view)) => view.post.unwrap(),
            other => panic!("not shown: {other:?}"),
        }
    }

    async fn post(&self, id: &str) -> Post {
        let request = GetPostsRequest {
            user_id: "reader".to_owned(),
            post_ids: vec![id.to_owned()],
            ..Default::default()
        };
        let mut posts = self.post.clone().get_posts(request).await.unwrap().into_inner().posts;
        posts.remove(0).post.unwrap()
    }
}

fn by(author: &str, text: &str) -> PublishRequest {
    let (user_id, text) = (author.to_owned(), text.to_owned());
    PublishRequest { user_id, text, ..PublishRequest::default() }
}

fn facet(range: std::ops::Range<u32>, feature: Feature) -> Facet {
    Facet { byte_start: range.start, byte_end: range.end, feature: Some(feature) }
}

fn mention(user: &str) -> Feature {
    Feature::Mention(FacetMention { user_id: user.to_owned() })
}

fn link(uri: &str) -> Feature {
    Feature::Link(FacetLink { uri: uri.to_owned() })
}

fn tag(tag: &str) -> Feature {
    Feature::Tag(FacetTag { tag: tag.to_owned() })
}

/// Each text notifies exactly the users that it mentions, after a restart too.
#[tokio::test]
async fn mentions_notify_the_right_users() {
    let cases: [(&str, &[&str]); 17] = [
        ("1 @bob_", &["bob_"]),
        ("2 @bob-", &["bob"]),
        ("3 @carol- and @dave.", &["carol-", "dave."]),
        ("4 @erin~ and @frank:", &["erin~", "frank:"]),
        ("5 https://www.tiktok.com/@bob", &[]),
        ("6 https://foo/?bar=@bob", &[]),
        ("7 jos\u{e9}@bob.example", &[]),
        ("8 foo+@bob.example", &[]),
        ("9 \u{7528}\u{6237}@bob.example", &[]),
        (".@bob 10", &["bob"]),
        ("cc:@bob 11", &["bob"]),
        ("via:@bob 12", &["bob"]),
        ("(@bob) 13", &["bob"]),
        ("@bob--great 14", &["bob"]),
        ("@bob...great 15", &["bob"]),
        ("@bob.example 16", &["bob.example"]),
        ("@nobody 17", &[]),
    ];
    let users = [
        "bob",
        "bob_",
        "bob.example",
        "carol",
        "carol-",
        "dave",
        "dave.",
        "erin",
        "erin~",
        "frank",
        "frank:",
    ];
    let mut server = TestServer::start().await;
    for user in users {
        server.user(user).publishes("here I am").await;
    }
    for (text, _) in cases {
        server.user("alice").publishes(text).await;
    }
    for restarts in 0..2 {
        let calls = Calls::of(&server);
        for user in users {
            let expected: Vec<_> = cases
                .iter()
                .filter(|(_, means)| means.contains(&user))
                .map(|&(text, _)| text)
                .collect();
            assert_eq!(calls.mentions(user).await, expected, "{user}, {restarts} restarts");
        }
        server.restart().await;
    }
}

/// A mention does not make its target a user. A later user has no notifications of earlier
/// mentions, only of later ones. A rebuilt index agrees.
#[tokio::test]
async fn a_mention_does_not_make_its_target_a_user() {
    let mut server = TestServer::start().await;
    server.user("alice").publishes("hello @ghost").await;
    let given =
        PublishRequest { facets: vec![facet(0..5, mention("ghost"))], ..by("alice", "hello") };
    let post = Calls::of(&server).publishes(given).await;
    assert_eq!(post.facets, [facet(0..5, mention("ghost"))]);

    server.user("bob").follows("ghost").await;
    server.user("alice").publishes("welcome @ghost").await;
    let copy = server.restored_copy().await;
    for server in [&server, &copy] {
        assert_eq!(Calls::of(server).mentions("ghost").await, ["welcome @ghost"]);
    }
}

/// Every read returns the facets of a post, both found and given ones.
#[tokio::test]
async fn every_read_returns_facets() {
    let mut server = TestServer::start().await;
    for user in ["bob", "auth0|1"] {
        server.user(user).publishes("here I am").await;
    }
    server.user("reader").follows("alice").await;
    let mut watching = server.user("reader").watches().await;
    watching.live().await;
    let text = "\u{f1} @bob #birds https://example.org/a.";
    let found = vec![
        facet(3..7, mention("bob")),
        facet(8..14, tag("birds")),
        facet(15..36, link("https://example.org/a")),
    ];
    let given = vec![
        facet(0..2, link("https://example.org/other")),
        facet(3..7, mention("auth0|1")),
        facet(8..9, tag("C#")),
        facet(9..36, mention("nobody")),
    ];
    for (request, expected) in [
        (by("alice", text), found.clone()),
        (PublishRequest { facets: given.clone(), ..by("alice", text) }, given),
        (PublishRequest { plain_text: true, ..by("alice", text) }, vec![]),
        (PublishRequest { facets: found.clone(), plain_text: true, ..by("alice", text) }, found),
        (by("alice", "nothing to see"), vec![]),
    ] {
        let post = Calls::of(&server).publishes(request).await;
        assert_eq!(post.facets, expected);
        let event = watching.batch().await.events.remove(0);
        let Some(Change::Posted(posted)) = event.change else { panic!("not posted: {event:?}") };
        assert_eq!(posted.item.unwrap().post.unwrap(), post);
        for restarted in [false, true] {
            let calls = Calls::of(&server);
            assert_eq!(calls.post(&post.post_id).await, post, "restarted: {restarted}");
            assert_eq!(server.user("reader").feed().await.posts().next(), Some(&post));
            assert_eq!(calls.thread(&post.post_id).await, post);
            server.restart().await;
        }
        watching = server.user("reader").watches_after(watching.cursor()).await;
        watching.live().await;
    }
    let calls = Calls::of(&server);
    assert_eq!(calls.mentions("bob").await, [text; 2]);
    assert_eq!(calls.mentions("auth0|1").await, [text]);
    assert_eq!(calls.mentions("nobody").await, Vec::<String>::new());
    let notified = calls.notifications("auth0|1").await.remove(0).post.unwrap();
    assert_eq!(notified.facets.len(), 4);
}

/// Of many mentions the first 16 are notified: no user twice, and never the author.
#[tokio::test]
async fn at_most_sixteen_mentions_are_notified() {
    let server = TestServer::start().await;
    let users: Vec<_> = (0..20).map(|number| format!("user|{number}")).collect();
    for user in &users {
        server.user(user).publishes("here I am").await;
    }
    let calls = Calls::of(&server);
    let named = ["nobody", "user|0", "user|0"].into_iter().chain(users.iter().map(String::as_str));
    let facets = named.zip(0..).map(|(user, at)| facet(at..at + 1, mention(user))).collect();
    let text = "x".repeat(40);
    calls.publishes(PublishRequest { facets, ..by("user|1", &text) }).await;
    for (number, user) in users.iter().enumerate() {
        let is_told = number < 16 && number != 1;
        assert_eq!(calls.mentions(user).await.len(), usize::from(is_told), "{user}");
    }
}

/// A page of the largest possible posts is below the default message limit of clients.
#[tokio::test]
async fn a_page_of_the_largest_posts_is_accepted() {
    let server = TestServer::start().await;
    let calls = Calls::of(&server);
    let author = "x".repeat(128);
    let attachment = Attachment {
        uri: format!("https:{}", "x".repeat(2_042)),
        media_type: format!("image/{}", "x".repeat(249)),
        alt: "x".repeat(1_000),
    };
    let text = format!("a{}", "\u{301}".repeat(1_499));
    let facets = (0..60).map(|at| facet(at..at + 1, mention(&"y".repeat(100))));
    let facets = facets.map(|it| Facet {
        byte_start: it.byte_start * 2 + 1,
        byte_end: it.byte_end * 2 + 1,
        ..it
    });
    let request = PublishRequest {
        attachments: vec![attachment; 8],
        langs: ["en", "de", "fr"].map(|it| format!("{it}-x-abcdefgh-abcdefgh-abcdefgh")).into(),
        facets: facets.collect(),
        ..by(&author, &text)
    };
    let root = calls.publishes(request.clone()).await.post_id;
    let largest = PublishRequest { reply_to_post_id: root.clone(), quote_post_id: root, ..request };
    for _ in 0..100 {
        calls.publishes(largest.clone()).await;
    }
    let page = server.user(&author).page(100, "").await;
    assert_eq!(page.items.len(), 100);
    let bytes = page.encoded_len();
    assert!(bytes < 4 << 20 && bytes > 3 << 20, "{bytes}");
}
