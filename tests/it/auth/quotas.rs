//! Quotas: what one caller may do in a time, and what is said when it is used up.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tempfile::TempDir;
use tonic::{Code, Status};
use whimbrel::api::v1::{
    DeletePostRequest, FollowRequest, GetServerInfoRequest, GetServerInfoResponse,
    GetThreadRequest, NewsFeedRequest, PublishRequest, PublishResponse, WatchFeedRequest,
};
use whimbrel::auth::Options;
use whimbrel::config::Limits;
use whimbrel::runtime::Clock;

use super::issuer::{NOW, SigningKey, claims, settings};
use crate::harness::wire::{FOLLOW, PUBLISH, WATCH_FEED, Wire, frame};
use crate::harness::{Setup, TestServer, refused};

const NEWS_FEED: &str = "/whimbrel.v1.FeedService/NewsFeed";
const INFO: &str = "/whimbrel.v1.MetaService/GetServerInfo";

/// A server with few of everything, whose clock stands still.
struct Limited {
    server: TestServer,
    wire: Wire,
    clock: Clock,
    key: SigningKey,
    _files: TempDir,
}

impl Limited {
    async fn start(change: impl FnOnce(&mut Limits)) -> Self {
        let files = tempfile::tempdir().unwrap();
        let key = SigningKey::new(jsonwebtoken::Algorithm::EdDSA, "a");
        let settings =
            settings(files.path(), &[&key], "since_claim = 'since'\nroles = { s = 'service' }");
        let clock = Clock::held_at(Duration::from_secs(NOW));
        let setup = Setup::new().clock(&clock).limits(|limits| {
            limits.user_reads_per_second_max = 2;
            limits.user_changes_per_second_max = 1;
            limits.user_streams_per_second_max = 1;
            limits.quota_burst_time = Duration::from_secs(2);
            change(limits);
        });
        let setup = setup.authentication(Options { settings, development: false });
        let server = setup.start().await;
        let wire = Wire::connect(server.address()).await;
        Self { server, wire, clock, key, _files: files }
    }

    /// A token of `sub`, whose account was made `age` seconds ago.
    fn token(&self, sub: &str, age: u64) -> String {
        let mut claims = claims(sub, NOW);
        claims["since"] = (NOW - age).into();
        self.key.sign(&claims)
    }

    /// A token of a backend.
    fn service(&self) -> String {
        let mut claims = claims("ranker", NOW);
        claims["scope"] = "s".into();
        self.key.sign(&claims)
    }

    /// Publishes, and returns the id of the post.
    async fn publish(&self, token: &str, request: PublishRequest) -> String {
        let answer = self.answer(token, PUBLISH, request).await;
        let answer = PublishResponse::decode(&answer.expect("a post")[5..]).unwrap();
        answer.post.unwrap().post_id
    }

    /// A post with so many replies that were deleted.
    async fn deleted_replies(&self) -> String {
        let service = self.service();
        let by_author = |text: &str, reply_to: &str| PublishRequest {
            user_id: "author".to_owned(),
            reply_to_post_id: reply_to.to_owned(),
            ..post(text)
        };
        let root = self.publish(&service, by_author("root", "")).await;
        for number in 0..DELETED {
            let reply = by_author(&format!("reply {number}"), &root);
            let post_id = self.publish(&service, reply).await;
            let delete = DeletePostRequest { user_id: "author".to_owned(), post_id };
            self.call(&service, DELETE_POST, delete).await.expect("its own");
        }
        root
    }

    async fn call(&self, token: &str, path: &str, message: impl Message) -> Result<(), Status> {
        let bearer = format!("Bearer {token}");
        let headers: [(&'static str, &[u8]); 1] = [("authorization", bearer.as_bytes())];
        self.wire.begins(path, &headers, frame(&message.encode_to_vec())).await
    }

    async fn answer(
        &self,
        token: &str,
        path: &str,
        message: impl Message,
    ) -> Result<Bytes, Status> {
        let bearer = format!("Bearer {token}");
        let headers: [(&'static str, &[u8]); 1] = [("authorization", bearer.as_bytes())];
        self.wire.call(path, &headers, frame(&message.encode_to_vec())).await
    }

    async fn info(&self, token: &str) -> GetServerInfoResponse {
        let answer = self.answer(token, INFO, GetServerInfoRequest {}).await.expect("an answer");
        GetServerInfoResponse::decode(&answer[5..]).unwrap()
    }
}

const DELETE_POST: &str = "/whimbrel.v1.PostService/DeletePost";
const GET_THREAD: &str = "/whimbrel.v1.PostService/GetThread";

/// More than a query may skip in memory.
const DELETED: usize = 600;
const OLD: u64 = 30 * 24 * 60 * 60;

fn post(text: &str) -> PublishRequest {
    PublishRequest { text: text.to_owned(), ..Default::default() }
}

fn follow(number: usize) -> FollowRequest {
    FollowRequest { followee_id: format!("user{number}"), ..Default::default() }
}

/// Each class of calls has a quota of its own, for a user and not for a token; it fills again with
/// time, and is in the error.
#[tokio::test]
async fn a_quota_is_of_the_user_and_fills_again() {
    let it = Limited::start(|_| {}).await;
    let (alice, again) = (it.token("alice", OLD), it.token("alice", OLD + 1));
    for _ in 0..2 {
        it.call(&alice, NEWS_FEED, NewsFeedRequest::default()).await.expect("a read");
        it.call(&again, NEWS_FEED, NewsFeedRequest::default()).await.expect("a read");
    }
    let refusal = refused(it.call(&again, NEWS_FEED, NewsFeedRequest::default()).await)
        .with(Code::ResourceExhausted, "QUOTA_EXCEEDED")
        .for_quota_of("user_reads")
        .with_a_delay();
    assert_eq!(refusal.metadata()["quota"], "user_reads");
    assert_eq!((&*refusal.metadata()["max"], &*refusal.metadata()["seconds"]), ("2", "1"));
    // Other calls, and other users, have quotas of their own.
    it.call(&alice, PUBLISH, post("one")).await.expect("a change");
    it.call(&alice, WATCH_FEED, WatchFeedRequest::default()).await.expect("a stream");
    it.call(&it.token("bob", OLD), NEWS_FEED, NewsFeedRequest::default()).await.expect("bob's");

    it.call(&alice, PUBLISH, post("two")).await.expect("a change");
    refused(it.call(&alice, PUBLISH, post("three")).await).for_quota_of("user_changes");
    it.call(&alice, WATCH_FEED, WatchFeedRequest::default()).await.expect("a stream");
    let stream = it.call(&alice, WATCH_FEED, WatchFeedRequest::default()).await;
    refused(stream).for_quota_of("user_streams");

    it.clock.pass(Duration::from_millis(500));
    it.call(&alice, NEWS_FEED, NewsFeedRequest::default()).await.expect("one fits again");
    refused(it.call(&alice, NEWS_FEED, NewsFeedRequest::default()).await);
    refused(it.call(&alice, PUBLISH, post("three")).await);
    it.clock.pass(Duration::from_secs(3_600));
    for _ in 0..4 {
        it.call(&alice, NEWS_FEED, NewsFeedRequest::default()).await.expect("no more than a burst");
    }
    refused(it.call(&alice, NEWS_FEED, NewsFeedRequest::default()).await);
}

/// Backends have no quotas.
#[tokio::test]
async fn a_service_has_no_quota() {
    let it = Limited::start(|_| {}).await;
    let service = it.service();
    for _ in 0..20 {
        let request = NewsFeedRequest { user_id: "alice".to_owned(), ..Default::default() };
        it.call(&service, NEWS_FEED, request).await.expect("no quota");
    }
    let info = it.info(&service).await;
    assert!(info.quotas.is_empty());
    let caller = info.caller.unwrap();
    assert_eq!((caller.role.as_str(), caller.user_id.as_str()), ("service", ""));
}

/// New users follow and mention few in an hour; that passes, with the hour and with their newness.
#[tokio::test]
async fn new_users_have_brakes() {
    let it = Limited::start(|limits| {
        limits.user_changes_per_second_max = 1_000;
        limits.new_user_follows_per_hour_max = 3;
        limits.new_user_mentions_per_hour_max = 2;
        limits.new_user_time = Duration::from_secs(24 * 60 * 60);
    })
    .await;
    let (new, old) = (it.token("new", 60), it.token("old", OLD));
    let unsaid = it.key.sign(&claims("unsaid", NOW));
    for number in 0..3 {
        it.call(&new, FOLLOW, follow(number)).await.expect("few follows");
        it.call(&unsaid, FOLLOW, follow(number)).await.expect("few follows");
    }
    refused(it.call(&new, FOLLOW, follow(3)).await).for_quota_of("new_user_follows").with_a_delay();
    // Whose token should say and does not is new.
    refused(it.call(&unsaid, FOLLOW, follow(3)).await).for_quota_of("new_user_follows");
    it.call(&new, PUBLISH, post("hello @user1 and @user2")).await.expect("few mentions");
    refused(it.call(&new, PUBLISH, post("hello @user1")).await).for_quota_of("new_user_mentions");
    it.call(&new, PUBLISH, post("hello all")).await.expect("no mention");
    for number in 0..10 {
        it.call(&old, FOLLOW, follow(number)).await.expect("no brake");
        it.call(&old, PUBLISH, post("@user1 @user2 @user3")).await.expect("no brake");
    }
    let names = |info: GetServerInfoResponse| -> Vec<String> {
        let names = info.quotas.into_iter().map(|quota| quota.name);
        names.filter(|name| !name.starts_with("address_")).collect()
    };
    assert_eq!(
        names(it.info(&new).await),
        ["user_reads", "user_changes", "user_streams", "new_user_follows", "new_user_mentions"]
    );
    assert_eq!(names(it.info(&old).await), ["user_reads", "user_changes", "user_streams"]);

    // An account of the far future is as new as any, and does no harm.
    for since in [18_446_744_073_709_549_568.0, 1e12] {
        let mut future = claims("future", NOW);
        future["since"] = since.into();
        let future = it.key.sign(&future);
        it.call(&future, FOLLOW, follow(1)).await.expect("few follows");
    }

    it.clock.pass(Duration::from_secs(1_200));
    it.call(&new, FOLLOW, follow(3)).await.expect("a third of the hour has passed");
    refused(it.call(&new, FOLLOW, follow(4)).await);
}

/// The caller reads who they are, what is in force, and what is left.
#[tokio::test]
async fn the_caller_can_read_what_is_in_force() {
    let it = Limited::start(|_| {}).await;
    let alice = it.token("alice", OLD);
    let info = it.info(&alice).await;
    assert_eq!(info.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(info.log_id.len(), 16);
    let caller = info.caller.unwrap();
    assert_eq!((caller.role.as_str(), caller.user_id.as_str()), ("user", "alice"));
    // With the ten seconds by which clocks may differ.
    assert_eq!(caller.expire_time.unwrap().seconds as u64, NOW + 3_600 + 10);
    let reads = &info.quotas[0];
    assert_eq!((reads.max, reads.time.as_ref().unwrap().seconds, reads.left), (2, 1, 3));
    assert_eq!(info.limits.unwrap().text_bytes_max, 3_000);
    assert_eq!(it.info(&alice).await.quotas[0].left, 2);

    // A server that asks nobody says so.
    let open = TestServer::start().await;
    let wire = Wire::connect(open.address()).await;
    let answer = wire.call(INFO, &[], frame(b"")).await.expect("an answer");
    let info = GetServerInfoResponse::decode(&answer[5..]).unwrap();
    assert!(info.caller.is_none() && info.quotas.is_empty());
}

/// A read that takes much work counts as many. What it took is paid for after it.
#[tokio::test]
async fn a_read_is_paid_for_by_its_work() {
    let it = Limited::start(|limits| limits.user_reads_per_second_max = 50).await;
    let root = it.deleted_replies().await;

    // To ask what is left is a read itself.
    let reads_left = async |token: &str| it.info(token).await.quotas[0].left + 1;
    let (alice, bob) = (it.token("alice", OLD), it.token("bob", OLD));
    let page = NewsFeedRequest::default();
    it.call(&alice, NEWS_FEED, page.clone()).await.expect("a page");
    assert_eq!(reads_left(&alice).await, 99, "a page is one read");
    let thread = GetThreadRequest { post_id: root, ..Default::default() };
    it.call(&alice, GET_THREAD, thread.clone()).await.expect("it is not known before");
    let left = reads_left(&alice).await;
    // Each reply is looked up and skipped, and 512 skipped ones are a read.
    assert_eq!(left, 99 - 1 - 1 - (8 + 1) * DELETED as u64 / 512, "the replies are paid for");

    for _ in 0..8 {
        it.call(&alice, GET_THREAD, thread.clone()).await.expect("one fits");
    }
    refused(it.call(&alice, NEWS_FEED, page.clone()).await).for_quota_of("user_reads");
    it.call(&bob, NEWS_FEED, page.clone()).await.expect("others have their own");
}

/// However much work a read was, its user waits no longer than for two bursts.
#[tokio::test]
async fn a_debt_has_an_end() {
    let it = Limited::start(|_| {}).await;
    let thread = GetThreadRequest { post_id: it.deleted_replies().await, ..Default::default() };
    let alice = it.token("alice", OLD);
    it.call(&alice, GET_THREAD, thread).await.expect("it counts as eleven, of four in two seconds");
    it.clock.pass(Duration::from_millis(2_400));
    refused(it.call(&alice, NEWS_FEED, NewsFeedRequest::default()).await);
    it.clock.pass(Duration::from_millis(100));
    it.call(&alice, NEWS_FEED, NewsFeedRequest::default()).await.expect("one fits");
}

/// However many callers there are, the use of so many is remembered, and no more.
#[tokio::test]
async fn many_callers_are_bounded() {
    let it = Limited::start(|limits| {
        limits.quota_callers_max = 10;
        limits.user_reads_per_second_max = 1;
        limits.quota_burst_time = Duration::from_secs(1);
    })
    .await;
    for number in 0..100 {
        let token = it.token(&format!("user{number}"), OLD);
        it.call(&token, NEWS_FEED, NewsFeedRequest::default()).await.expect("the first is free");
    }
    // The last of them is still known.
    let last = it.token("user99", OLD);
    refused(it.call(&last, NEWS_FEED, NewsFeedRequest::default()).await).for_quota_of("user_reads");
}

/// All users of one address share quotas, and backends there have none. They can be read.
#[tokio::test]
async fn users_of_one_address_share_quotas() {
    let it = Limited::start(|limits| {
        limits.address_reads_per_second_max = 2;
        limits.address_changes_per_second_max = 1;
        limits.address_streams_per_second_max = 1;
    })
    .await;
    let user = |number: usize| it.token(&format!("user{number}"), OLD);
    for number in 0..2 {
        it.call(&user(number), NEWS_FEED, NewsFeedRequest::default()).await.expect("a read");
        it.call(&user(number), PUBLISH, post("hi")).await.expect("a change");
        it.call(&user(number), WATCH_FEED, WatchFeedRequest::default()).await.expect("a stream");
    }
    let of_address = it.info(&user(2)).await.quotas.into_iter();
    let of_address = of_address.filter(|quota| quota.name.starts_with("address_"));
    let of_address: Vec<_> = of_address.map(|quota| (quota.name, quota.max, quota.left)).collect();
    let expected = [
        ("address_reads", 2, 1),
        ("address_changes", 1, 0),
        ("address_streams", 1, 0),
        ("address_refusals", 20, 40),
    ];
    assert_eq!(of_address, expected.map(|(name, max, left)| (name.to_owned(), max, left)));
    it.call(&user(3), NEWS_FEED, NewsFeedRequest::default()).await.expect("the last read");

    let new = user(4);
    refused(it.call(&new, NEWS_FEED, NewsFeedRequest::default()).await)
        .with(Code::ResourceExhausted, "QUOTA_EXCEEDED")
        .for_quota_of("address_reads")
        .with_a_delay();
    refused(it.call(&new, PUBLISH, post("hi")).await).for_quota_of("address_changes");
    refused(it.call(&new, WATCH_FEED, WatchFeedRequest::default()).await)
        .for_quota_of("address_streams");
    let of_author = PublishRequest { user_id: "author".to_owned(), ..post("hi") };
    it.call(&it.service(), PUBLISH, of_author).await.expect("a backend has no quota");
}

/// One address may try so many tokens. Tokens that were accepted go on, and so do calls without one.
#[tokio::test]
async fn an_address_may_try_few_tokens() {
    let it = Limited::start(|limits| {
        limits.address_refusals_per_second_max = 1;
        limits.quota_burst_time = Duration::from_secs(5);
        limits.user_reads_per_second_max = 1_000;
    })
    .await;
    let known = it.token("alice", OLD);
    it.call(&known, NEWS_FEED, NewsFeedRequest::default()).await.expect("a good token");
    let forged = |number: usize| {
        let other = SigningKey::new(jsonwebtoken::Algorithm::EdDSA, "a");
        other.sign(&claims(&format!("mallory{number}"), NOW))
    };
    for number in 0..5 {
        refused(it.call(&forged(number), NEWS_FEED, NewsFeedRequest::default()).await)
            .with(Code::Unauthenticated, "INVALID_TOKEN");
    }
    refused(it.call(&forged(5), NEWS_FEED, NewsFeedRequest::default()).await)
        .with(Code::ResourceExhausted, "QUOTA_EXCEEDED")
        .for_quota_of("address_refusals")
        .with_a_delay();
    it.call(&known, NEWS_FEED, NewsFeedRequest::default()).await.expect("it was seen before");
    it.wire.call("/grpc.health.v1.Health/Check", &[], frame(b"")).await.expect("health");
    it.clock.pass(Duration::from_secs(1));
    let new = it.token("bob", OLD);
    it.call(&new, NEWS_FEED, NewsFeedRequest::default()).await.expect("one may try again");
}

/// Quotas that are set again hold for the next call, of users who have called before, too.
#[tokio::test]
async fn quotas_that_are_set_again_hold_at_once() {
    let it = Limited::start(|_| {}).await;
    let alice = it.token("alice", 60 * 60);
    let max = async || -> Vec<(String, u64)> {
        let quotas = it.info(&alice).await.quotas.into_iter();
        quotas.map(|quota| (quota.name, quota.max)).collect()
    };
    it.call(&alice, PUBLISH, post("1")).await.expect("a change");
    it.call(&alice, PUBLISH, post("2")).await.expect("another");
    let refusal = it.call(&alice, PUBLISH, post("3")).await;
    refused(refusal).with(Code::ResourceExhausted, "QUOTA_EXCEEDED").for_quota_of("user_changes");

    let before = max().await;
    it.server.reload(|limits| {
        limits.user_reads_per_second_max = 101;
        limits.user_changes_per_second_max = 102;
        limits.user_streams_per_second_max = 103;
        limits.new_user_follows_per_hour_max = 104;
        limits.new_user_mentions_per_hour_max = 105;
        limits.address_reads_per_second_max = 106;
        limits.address_changes_per_second_max = 107;
        limits.address_streams_per_second_max = 108;
        limits.address_refusals_per_second_max = 109;
    });
    let after: Vec<_> =
        before.iter().zip(101..=109).map(|((name, _), max)| (name.clone(), max)).collect();
    assert_eq!(max().await, after);
    // What was used stays used: two changes of the two seconds that were for two, and are for 204.
    it.clock.pass(Duration::from_millis(20));
    for _ in 0..2 {
        it.call(&alice, PUBLISH, post("more")).await.expect("more than before");
    }
    // And who is new.
    it.server.reload(|limits| limits.new_user_time = Duration::from_secs(60));
    assert!(max().await.iter().all(|(name, _)| !name.starts_with("new_user")));
}
