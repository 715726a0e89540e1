//! The output of `--json`: every line is an object with one member, whose name is the kind of the
//! line, in the JSON form of Protobuf.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};

use crate::harness::program::{Program, Ran};
use crate::harness::{TestServer, id_at, without_epoch};

static MESSAGES: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(whimbrel::api::DESCRIPTORS).unwrap());

/// The lines of every verb have the message types that the help documents.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_is_tagged_and_in_the_form_of_protobuf() {
    let server = TestServer::start().await;
    let run = |arguments: &str| Program::calling(server.address()).run(arguments);
    let post = run("--json post bob hi --lang en").lines()[0]["response"]["post"]["postId"].take();
    let post = post.as_str().unwrap();

    for (arguments, response) in [
        ("follow alice bob", "FollowResponse"),
        ("unfollow alice bob", "UnfollowResponse"),
        ("follow alice bob", "FollowResponse"),
        ("reply carol POST well", "PublishResponse"),
        ("quote dave POST well", "PublishResponse"),
        ("like carol POST", "LikeResponse"),
        ("unlike carol POST", "UnlikeResponse"),
        ("like dave POST", "LikeResponse"),
        ("repost carol POST", "RepostResponse"),
        ("unrepost carol POST", "UnrepostResponse"),
        ("repost dave POST", "RepostResponse"),
        ("block bob eve", "BlockResponse"),
        ("unblock bob eve", "UnblockResponse"),
        ("block bob eve", "BlockResponse"),
        ("mute bob frank", "MuteResponse"),
        ("unmute bob frank", "UnmuteResponse"),
        ("mute bob frank", "MuteResponse"),
        ("thread alice POST", "GetThreadResponse"),
        ("profile alice bob", "GetProfileResponse"),
        ("seen bob", "MarkNotificationsSeenResponse"),
        ("chain", "GetChainResponse"),
    ] {
        let ran = run(&format!("--json {arguments}").replace("POST", post));
        assert_eq!(kinds(&ran, &[("response", response)]), ["response"], "{arguments}");
    }
    for (arguments, kind, entry, page) in [
        ("feed alice", "item", "FeedItem", "NewsFeedResponse"),
        ("posts alice bob", "item", "FeedItem", "ListPostsResponse"),
        ("show alice POST", "post", "PostView", "GetPostsResponse"),
        ("replies alice POST", "post", "PostView", "ListRepliesResponse"),
        ("quotes alice POST", "post", "PostView", "ListQuotesResponse"),
        ("likes alice POST", "user", "ListedUser", "ListLikesResponse"),
        ("reposts alice POST", "user", "ListedUser", "ListRepostsResponse"),
        ("followers bob", "user", "ListedUser", "ListFollowersResponse"),
        ("following alice", "user", "ListedUser", "ListFollowingResponse"),
        ("blocks bob", "user", "ListedUser", "ListBlocksResponse"),
        ("mutes bob", "user", "ListedUser", "ListMutesResponse"),
        ("relationships alice bob", "relationship", "Relationship", "GetRelationshipsResponse"),
        (
            "notifications bob --page-size 1",
            "notification",
            "Notification",
            "ListNotificationsResponse",
        ),
    ] {
        let ran = run(&format!("--json {arguments}").replace("POST", post));
        assert_eq!(kinds(&ran, &[(kind, entry), ("page", page)]), [kind, "page"], "{arguments}");
    }
}

/// A message of a stream is printed without a wrapper of the command line's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_messages_of_a_stream_are_printed_unwrapped() {
    let server = TestServer::start().await;
    // A mention notifies only users, so bob has to become one.
    server.user("bob").follows("alice").await;
    server.user("alice").publishes("@bob").await;
    for (arguments, response) in [
        ("watch alice --snapshot 1 --limit 1", "WatchFeedResponse"),
        ("notifications bob --watch --snapshot 1 --limit 1", "WatchNotificationsResponse"),
    ] {
        let ran = Program::calling(server.address()).run(&format!("--json {arguments}"));
        ran.printed();
        let lines = ran.lines();
        assert_eq!(lines.iter().map(only_member).collect::<Vec<_>>(), ["opened", "batch"]);
        lines.into_iter().for_each(|line| is_a(response, line));
    }
}

/// One line in full: defaults are left out, 64-bit numbers are strings, times are RFC 3339.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_is_canonical() {
    let server = TestServer::start().await;
    let run = |arguments: &[&str]| Program::calling(server.address()).run_with(arguments);
    let attach = "https://example.org/a.png - A wader";
    let mut first =
        run(&["--json", "post", "bob", "hi", "--attach", attach, "--request-id", "1"]).lines();
    let response = first[0]["response"].take();
    let time = response["post"]["createTime"].as_str().unwrap().to_owned();
    assert_eq!(time.len(), "2026-01-01T00:00:00.000000000Z".len());
    let id = response["post"]["postId"].as_str().unwrap().to_owned();
    assert_eq!(without_epoch(&id), "p1");
    let post = json!({
        "postId": id,
        "authorId": "bob",
        "text": "hi",
        "revision": "1",
        "createTime": time,
        "attachments": [{ "uri": "https://example.org/a.png", "alt": "A wader" }],
    });
    assert_eq!(response, json!({ "post": post, "cursor": response["cursor"] }));

    let again = run(&["--json", "post", "bob", "hi", "--attach", attach, "--request-id", "1"]);
    assert_eq!(again.lines()[0]["response"]["deduplicated"], true);
    // The members are in the order of the protos, as in other tools.
    let line = again.printed();
    let at = |name: &str| line.find(&format!("\"{name}\"")).unwrap();
    assert!(at("post") < at("deduplicated") && at("postId") < at("authorId"), "{line}");
}

/// Errors and notes have their own kinds: not found, refused, unreachable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_tagged() {
    let server = TestServer::start().await;
    let run = |arguments: &str| Program::calling(server.address()).run(arguments);
    let stderr_line = |ran: &Ran| -> Value { serde_json::from_str(ran.stderr.trim_end()).unwrap() };

    let refused = stderr_line(run("--json follow alice alice").failed(1, ""));
    assert_eq!(only_member(&refused), "error");
    assert_eq!(refused["error"]["code"], "INVALID_ARGUMENT");
    assert_eq!(refused["error"]["reason"], "SELF_FOLLOW");
    assert!(refused["error"]["message"].as_str().unwrap().contains("alice"));

    let post = server.user("alice").publishes("hi").await.post_id;
    let gone = [8, 9].map(|revision| id_at(revision, &post));
    let missing = run(&format!("--json show alice {} {}", gone[0], gone[1]));
    let lines = missing.lines();
    assert_eq!(lines[..2], gone.map(|id| json!({ "missing": { "postId": id } })));
    assert_eq!(only_member(&lines[2]), "page");
    assert_eq!(
        stderr_line(missing.failed(1, "")),
        json!({ "error": { "message": "not found: 2 of 2" } })
    );

    let address = server.address();
    server.stop().await;
    let lost = stderr_line(Program::calling(address).run("--json feed alice").failed(3, ""));
    assert!(lost["error"]["message"].as_str().unwrap().contains("cannot reach"), "{lost}");
}

/// The kinds of the lines. Each line must be a message of the type in `types`.
#[track_caller]
fn kinds(ran: &Ran, types: &[(&str, &str)]) -> Vec<String> {
    ran.printed();
    let types: BTreeMap<_, _> = types.iter().copied().collect();
    let read = |mut line: Value| {
        let kind = only_member(&line);
        is_a(types.get(kind.as_str()).expect("a kind of its verb"), line[&kind].take());
        kind
    };
    ran.lines().into_iter().map(read).collect()
}

#[track_caller]
fn only_member(line: &Value) -> String {
    let members = line.as_object().expect("an object");
    assert_eq!(members.len(), 1, "{line}");
    members.keys().next().unwrap().clone()
}

/// Panics unless `value` is a message of that type in canonical form: a strict parser reads it, and
/// prints the same value.
#[track_caller]
fn is_a(message: &str, value: Value) {
    let descriptor = MESSAGES.get_message_by_name(&format!("whimbrel.v1.{message}")).unwrap();
    let read = DynamicMessage::deserialize(descriptor, value.clone())
        .unwrap_or_else(|error| panic!("{value} is no {message}: {error}"));
    assert_eq!(serde_json::to_value(&read).unwrap(), value, "{message}");
}
