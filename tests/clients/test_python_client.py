"""Unary calls of the generated Python client, and the errors that its user can read."""

import time

import grpc
import pytest
from client import Client, details, reason
from generated import reasons, v1
from grpc_health.v1 import health_pb2, health_pb2_grpc
from server import WAIT_S

Code = grpc.StatusCode


@pytest.fixture
def client(server):
    """A client of the shared server."""
    with Client(server) as client:
        yield client


def refused(call, *arguments, **request) -> grpc.RpcError:
    """Makes a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **request)
    return caught.value


def test_follow_publish_and_read(client, users):
    """The first calls that a user makes."""
    alice, bob, _ = users
    assert client.follow(bob, alice).changed
    published = client.publish(alice, "hello")
    feed = client.call("NewsFeed", user_id=bob, at_least_cursor=published.cursor)
    assert [item.post for item in feed.items] == [published.post]
    assert feed.items[0].revision == published.post.revision > 0
    assert published.post.create_time.ToDatetime().year > 2000
    assert feed.next_page_token == ""

    assert client.unfollow(bob, alice).changed
    assert client.feed(bob) == []


def test_a_call_repeated_makes_one_post(client, users):
    """Twenty at once with one `request_id`: one publishes it, and all return the same post."""
    alice, _, _ = users
    request = v1.PublishRequest(user_id=alice, text="once", request_id="r")
    calls = [client.stub.Publish.future(request, timeout=WAIT_S) for _ in range(20)]
    answers = [call.result() for call in calls]
    assert len({answer.post.post_id for answer in answers}) == 1
    assert sum(not answer.deduplicated for answer in answers) == 1
    assert len(client.feed(alice)) == 1


def test_a_feed_is_paged_without_gap_or_repeat(client, users):
    """Pages of any size give the same listing."""
    alice, bob, carol = users
    client.follow(carol, alice)
    client.follow(carol, bob)
    posts = [client.publish(author, "x").post for _ in range(6) for author in (alice, bob)]
    for page_size in (1, 5, 100):
        items = client.feed(carol, page_size=page_size)
        assert [item.post for item in items] == posts[::-1]


def test_a_field_that_breaks_its_rule_is_named(client):
    """`BadRequest` for the form that a person fills in."""
    error = refused(client.publish, "alice", "")
    assert error.code() == Code.INVALID_ARGUMENT and reason(error) == "INVALID_FIELD"
    (violation,) = details(error)["BadRequest"].field_violations
    assert violation.field == "text" and violation.description == error.details()


def test_each_reason_is_one_of_the_enum(client, server, own_server, users):
    """Every refusal that a caller can bring about, by its code and reason."""
    alice, bob, _ = users
    client.publish(alice, "one", "r")
    client.publish(alice, "two")
    page = client.call("NewsFeed", user_id=alice, page_size=1)
    with Client(own_server()) as other:
        foreign = other.publish(alice, "elsewhere").cursor

    def feed(**request):
        return refused(client.call, "NewsFeed", **request)

    def watch(**request):
        with client.watch(alice, **request) as watch:
            return refused(watch.next)

    large = "x" * (70 << 10)
    seen = {
        "SELF_FOLLOW": (refused(client.follow, alice, alice), Code.INVALID_ARGUMENT),
        "INVALID_FIELD": (feed(user_id=alice, page_size=-1), Code.INVALID_ARGUMENT),
        "MALFORMED_CURSOR": (watch(after_cursor=page.cursor[:-1]), Code.INVALID_ARGUMENT),
        "MALFORMED_PAGE_TOKEN": (
            feed(user_id=alice, page_token=page.cursor),
            Code.INVALID_ARGUMENT,
        ),
        "PAGE_TOKEN_MISMATCH": (
            feed(user_id=bob, page_token=page.next_page_token),
            Code.INVALID_ARGUMENT,
        ),
        "REQUEST_ID_REUSED": (refused(client.publish, alice, "three", "r"), Code.ALREADY_EXISTS),
        "CURSOR_OF_ANOTHER_LOG": (watch(after_cursor=foreign), Code.FAILED_PRECONDITION),
        "MESSAGE_TOO_LARGE": (refused(client.publish, alice, large), Code.RESOURCE_EXHAUSTED),
    }
    results = {expected: (reason(error), error.code()) for expected, (error, _) in seen.items()}
    assert results == {expected: (expected, code) for expected, (_, code) in seen.items()}
    for name in seen:
        assert reasons.ErrorReason.Value(f"ERROR_REASON_{name}")


def test_one_stream_too_many(own_server):
    """The error has the limit and the time to try again; a closed stream makes room."""
    with Client(own_server("--user-streams-max", "2")) as client:
        phone, tablet = client.watch("alice"), client.watch("alice")
        phone.until("caught_up"), tablet.until("caught_up")
        with client.watch("alice") as desk:
            error = refused(desk.next)
        assert error.code() == Code.RESOURCE_EXHAUSTED and reason(error) == "TOO_MANY_STREAMS"
        assert details(error)["ErrorInfo"].metadata["streams_max"] == "2"
        assert details(error)["RetryInfo"].retry_delay.seconds > 0
        assert details(error)["QuotaFailure"].violations

        # The server notices it a moment later, so the first tries may still be refused.
        phone.cancel()
        deadline = time.monotonic() + WAIT_S
        while True:
            with client.watch("alice") as desk:
                try:
                    desk.until("caught_up")
                    break
                except grpc.RpcError as error:
                    assert reason(error) == "TOO_MANY_STREAMS" and time.monotonic() < deadline
        tablet.cancel()


def test_what_is_not_there_is_refused_in_the_same_way(client):
    """Unknown RPCs, bytes that are no message and other compression have details like the rest."""

    def raw(method: str, body: bytes, **options):
        call = client.channel.unary_unary(f"/whimbrel.v1.FeedService/{method}")
        return refused(call, body, timeout=WAIT_S, **options)

    unknown = raw("Shout", b"")
    assert unknown.code() == Code.UNIMPLEMENTED and reason(unknown) == "UNSUPPORTED"
    garbage = raw("Follow", b"\xff\xff")
    assert garbage.code() == Code.INVALID_ARGUMENT and reason(garbage) == "MALFORMED_MESSAGE"
    body = v1.PublishRequest(user_id="alice", text="x" * 200).SerializeToString()
    deflate = raw("Publish", body, compression=grpc.Compression.Deflate)
    assert deflate.code() == Code.UNIMPLEMENTED and reason(deflate) == "UNSUPPORTED"

    publish = client.channel.unary_unary("/whimbrel.v1.FeedService/Publish")
    made = publish(body, timeout=WAIT_S, compression=grpc.Compression.Gzip)
    assert v1.PublishResponse.FromString(made).post.text == "x" * 200


def test_health_is_checked_and_watched(own_server):
    """A load balancer sees the end before its callers do."""
    server = own_server()
    with Client(server) as client:
        health = health_pb2_grpc.HealthStub(client.channel)
        request = health_pb2.HealthCheckRequest(service="whimbrel.v1.FeedService")
        serving = health_pb2.HealthCheckResponse.SERVING
        assert health.Check(request, timeout=WAIT_S, wait_for_ready=True).status == serving
        watch = health.Watch(request, timeout=WAIT_S)
        assert next(watch).status == serving
        server.terminate()
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert server.wait() == 0
