"""grpcurl without proto files: it lists, describes, calls and watches."""

import json
import re

import grpcurl
import pytest

# The RPCs of each service.
RPCS = {
    "Feed": "Follow Unfollow Publish NewsFeed WatchFeed",
    "Graph": "Block Unblock Mute Unmute ListFollowers ListFollowing ListBlocks ListMutes"
    " GetRelationships GetProfile",
    "Admin": "CheckIndex GetMetrics ListSegments ReadSegment",
    "Log": "GetChain",
    "Notification": "ListNotifications MarkNotificationsSeen WatchNotifications",
    "Post": "GetPosts DeletePost ListPosts GetThread Like Unlike Repost Unrepost ListLikes"
    " ListReposts ListReplies ListQuotes",
}
# grpcurl ends with 64 and the status code.
INVALID_ARGUMENT, DEADLINE_EXCEEDED, ALREADY_EXISTS, UNAVAILABLE = 64 + 3, 64 + 4, 64 + 6, 64 + 14


def test_reflection_lists_what_there_is(server):
    """All services, and the RPCs of each."""
    services = grpcurl.text(server, "list").split()
    assert {f"whimbrel.v1.{name}Service" for name in RPCS} <= set(services)
    assert "grpc.health.v1.Health" in services

    for name, rpcs in RPCS.items():
        service = f"whimbrel.v1.{name}Service"
        listed = grpcurl.text(server, "list", service).split()
        assert listed == [f"{service}.{rpc}" for rpc in sorted(rpcs.split())]


def test_reflection_explains_what_it_lists(server):
    """Comments come with the descriptors, so `describe` is a manual."""
    service = grpcurl.text(server, "describe", grpcurl.SERVICE)
    assert "// Follow, publish, read the feed, watch it live." in service
    assert "// Streams a user's home feed live, from now or from a cursor." in service

    message = grpcurl.text(server, "describe", "whimbrel.v1.PublishRequest")
    assert "// Makes the call safe to repeat." in message
    assert "string request_id = 3;" in message


def test_describe_gives_a_template_to_fill_in(server):
    """`-msg-template` names each field as JSON has it."""
    result = grpcurl.run(
        "-plaintext", "-msg-template", server.address, "describe", "whimbrel.v1.NewsFeedRequest"
    )
    template = json.loads(result.stdout.partition("Message template:")[2])
    fields = {"userId", "pageSize", "pageToken", "atLeastCursor", "excludeSelf"}
    assert set(template) == fields | {"includeAllReplies"}


def test_publish_answers_with_the_post(server, users):
    """Names are lowerCamel, revisions are strings (JSON has no uint64), times are RFC 3339."""
    alice, _, _ = users
    answer = grpcurl.call(server, "Publish", userId=alice, text="hello, wörld")
    assert set(answer) == {"post", "cursor"}
    post = answer["post"]
    assert set(post) == {"postId", "authorId", "text", "revision", "createTime"}
    assert (post["authorId"], post["text"]) == (alice, "hello, wörld")
    assert isinstance(post["revision"], str) and int(post["revision"]) > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", post["createTime"])


def test_publish_again_with_its_request_id(server, users):
    """A repeated call returns the first post, marked as a repeat. snake_case names work too."""
    alice, _, _ = users
    request = {"user_id": alice, "text": "once", "request_id": "r-1"}
    first = grpcurl.call(server, "Publish", **request)
    again = grpcurl.call(server, "Publish", **request)
    assert again["deduplicated"] is True
    assert again["post"] == first["post"]


def test_follow_and_unfollow(server, users):
    """Each is idempotent, and changes the feed at once, for earlier posts too."""
    alice, bob, _ = users
    edge = {"userId": bob, "followeeId": alice}
    post = grpcurl.call(server, "Publish", userId=alice, text="earlier")["post"]

    followed = grpcurl.call(server, "Follow", **edge)
    assert set(followed) == {"changed", "revision", "cursor"} and followed["changed"] is True
    feed = grpcurl.call(server, "NewsFeed", userId=bob, atLeastCursor=followed["cursor"])
    item = {"post": post, "revision": post["revision"], "counts": {}, "viewer": {}}
    assert feed["items"] == [item]

    again = grpcurl.call(server, "Follow", "-emit-defaults", **edge)
    assert again["changed"] is False and again["revision"] == followed["revision"]

    assert grpcurl.call(server, "Unfollow", **edge)["changed"] is True
    assert "items" not in grpcurl.call(server, "NewsFeed", userId=bob)
    again = grpcurl.call(server, "Unfollow", "-emit-defaults", **edge)
    assert again["changed"] is False and again["revision"] == "0"


def test_a_feed_is_paged_to_its_end(server, users):
    """Newest first, each item once, though posts arrive between the pages."""
    alice, _, _ = users
    texts = [f"post {number}" for number in range(5)]
    for text in texts:
        grpcurl.call(server, "Publish", userId=alice, text=text)

    page = grpcurl.call(server, "NewsFeed", userId=alice, pageSize=2)
    seen, cursor = [page], page["cursor"]
    while token := page.get("nextPageToken"):
        grpcurl.call(server, "Publish", userId=alice, text="too late for this listing")
        page = grpcurl.call(server, "NewsFeed", userId=alice, pageSize=2, pageToken=token)
        assert page["cursor"] == cursor
        seen.append(page)
    assert [len(page["items"]) for page in seen] == [2, 2, 1]
    read = [item["post"]["text"] for page in seen for item in page["items"]]
    assert read == texts[::-1]


def test_own_posts_can_be_left_out(server, users):
    """`excludeSelf` leaves the posts of others."""
    alice, bob, _ = users
    grpcurl.call(server, "Follow", userId=bob, followeeId=alice)
    grpcurl.call(server, "Publish", userId=bob, text="mine")
    grpcurl.call(server, "Publish", userId=alice, text="hers")
    feed = grpcurl.call(server, "NewsFeed", userId=bob, excludeSelf=True)
    assert [item["post"]["text"] for item in feed["items"]] == ["hers"]


def test_an_error_tells_what_to_do(server, users):
    """The message, the field, and the reason for programs; the exit code is the status."""
    done = grpcurl.attempt(server, "Publish", "-format-error", userId="not a user", text="x")
    assert done.returncode == INVALID_ARGUMENT and done.stdout == ""
    error = json.loads(done.stderr)
    assert error["code"] == 3 and error["message"].startswith("user_id must be")
    details = {detail["@type"].rpartition(".")[2]: detail for detail in error["details"]}
    assert details["ErrorInfo"]["reason"] == "INVALID_FIELD"
    assert details["ErrorInfo"]["domain"] == "whimbrel"
    assert details["ErrorInfo"]["metadata"]["field"] == "user_id"
    violation = details["BadRequest"]["fieldViolations"][0]
    assert violation == {"field": "user_id", "description": error["message"]}

    alice, _, _ = users
    grpcurl.call(server, "Publish", userId=alice, text="one", requestId="r")
    done = grpcurl.attempt(server, "Publish", userId=alice, text="two", requestId="r")
    assert done.returncode == ALREADY_EXISTS
    assert "Code: AlreadyExists" in done.stderr and '"REQUEST_ID_REUSED"' in done.stderr


def test_watch_a_feed(server, users):
    """First `opened`, then `caughtUp`, then the live events; then a resume after them."""
    alice, bob, _ = users
    with grpcurl.Stream(server, "WatchFeed", userId=bob) as stream:
        opened = stream.next()["opened"]
        assert set(opened) == {"cursor", "headCursor", "heartbeat"} and opened["heartbeat"] == "20s"
        caught_up = stream.next()["caughtUp"]

        followed = grpcurl.call(server, "Follow", userId=bob, followeeId=alice)
        added = stream.next()["batch"]
        assert added["prevCursor"] == caught_up["cursor"]
        event = {
            "revision": followed["revision"],
            "authorAdded": {"authorId": alice},
            "pageAgainRevision": followed["revision"],
        }
        assert added["events"] == [event]

        post = grpcurl.call(server, "Publish", userId=alice, text="live")["post"]
        posted = stream.next()["batch"]
        assert posted["prevCursor"] == added["cursor"]
        item = {"post": post, "revision": post["revision"]}
        assert posted["events"] == [{"revision": post["revision"], "posted": {"item": item}}]

    # The events that were missed come first.
    missed = grpcurl.call(server, "Publish", userId=alice, text="missed")["post"]
    with grpcurl.Stream(server, "WatchFeed", userId=bob, afterCursor=posted["cursor"]) as stream:
        assert stream.next()["opened"]["cursor"] == posted["cursor"]
        batch = stream.next()["batch"]
        assert [event["posted"]["item"]["post"] for event in batch["events"]] == [missed]
        assert "caughtUp" in stream.next()


def test_watch_from_the_newest_items(server, users):
    """A snapshot is the newest items, the oldest of them first."""
    alice, _, _ = users
    for number in range(3):
        grpcurl.call(server, "Publish", userId=alice, text=f"post {number}")
    with grpcurl.Stream(server, "WatchFeed", userId=alice, snapshot={"limit": 2}) as stream:
        messages = stream.until("caughtUp")
    events = [event for message in messages for event in message.get("batch", {}).get("events", [])]
    texts = [event["posted"]["item"]["post"]["text"] for event in events]
    assert texts == ["post 1", "post 2"]


def test_max_time_ends_a_watch(server, users):
    """`-max-time` ends a watch after a while."""
    alice, _, _ = users
    with grpcurl.Stream(server, "WatchFeed", "-max-time", "1", userId=alice) as stream:
        code, errors = stream.end()
    assert code == DEADLINE_EXCEEDED and "Code: DeadlineExceeded" in errors


def test_a_server_that_stops_says_goodbye(own_server):
    """A watcher gets the reason and the cursor to resume from."""
    server = own_server()
    with grpcurl.Stream(server, "WatchFeed", userId="alice") as stream:
        caught_up = stream.until("caughtUp")[-1]["caughtUp"]
        server.terminate()
        closing = stream.next()["closing"]
        code, errors = stream.end()
    assert closing["reason"] == "ERROR_REASON_DRAINING"
    assert closing["cursor"] == caught_up["cursor"]
    assert closing["retryAfter"].endswith("s")
    assert code == UNAVAILABLE and '"DRAINING"' in errors and "google.rpc.RetryInfo" in errors
    assert server.wait() == 0


def test_proto_files_serve_instead_of_reflection(own_server):
    """A server without reflection is called with the protos of this repository."""
    server = own_server("--no-reflection")
    refused = grpcurl.run("-plaintext", server.address, "list")
    assert refused.returncode != 0 and "does not support the reflection API" in refused.stderr

    done = grpcurl.run(*grpcurl.PROTO_FILES, "list")
    assert done.stdout.split() == [grpcurl.SERVICE]
    answer = grpcurl.call(
        server, "Publish", *grpcurl.PROTO_FILES, userId="alice", text="by the files"
    )
    feed = grpcurl.call(server, "NewsFeed", *grpcurl.PROTO_FILES, userId="alice")
    assert [item["post"] for item in feed["items"]] == [answer["post"]]


@pytest.mark.parametrize("service", ["", *(f"whimbrel.v1.{name}Service" for name in RPCS)])
def test_health_is_reported(server, service):
    """For the whole server, and for each service by its name."""
    answer = grpcurl.call(server, "grpc.health.v1.Health/Check", service=service)
    assert answer == {"status": "SERVING"}
