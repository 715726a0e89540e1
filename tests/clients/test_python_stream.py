"""Live feeds of the generated Python client: held open, cut off in every way, and resumed.

`client.Watch` checks the promises of a stream in each of these tests.
"""

import asyncio
import threading

import grpc
import pytest
from client import CHANNEL_OPTIONS, Client, details, reason
from generated import reasons, streams, v1, v1_grpc
from server import WAIT_S

Code = grpc.StatusCode
# A connection that takes 64 KiB ahead of its reader, and no more for being fast.
SMALL_WINDOW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 64 << 10))


@pytest.fixture
def client(server):
    """A client of the shared server."""
    with Client(server) as client:
        yield client


def ids(posts) -> list[str]:
    """The posts' ids, in their order."""
    return [post.post_id for post in posts]


def publish_unread(client, watch, author: str) -> list:
    """Publishes a megabyte while `watch` reads nothing. Returns the posts in their order."""
    watch.until("caught_up")
    watch.hold()
    # The largest post there is: few graphemes of many bytes.
    family = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"
    request = v1.PublishRequest(user_id=author, text=family * 160)
    calls = [client.stub.Publish.future(request, timeout=WAIT_S) for _ in range(400)]
    return sorted((call.result().post for call in calls), key=lambda post: post.revision)


def test_posts_arrive_as_they_are_published(client, users):
    """Each is in NewsFeed by the time that it is pushed."""
    alice, bob, _ = users
    client.follow(bob, alice)
    with client.watch(bob) as watch:
        watch.until("caught_up")
        for number in range(10):
            published = client.publish(alice, f"post {number}").post
            assert watch.posts(1) == [published]
            assert client.call("NewsFeed", user_id=bob, page_size=1).items[0].post == published


def test_a_stream_cancelled_is_resumed(client, users):
    """From the cursor of the last message processed: nothing missing, nothing twice."""
    alice, bob, _ = users
    client.follow(bob, alice)
    published, seen, cursor = [], [], None
    for round_number in range(4):
        start = {} if cursor is None else {"after_cursor": cursor}
        with client.watch(bob, **start) as watch:
            if cursor is None:
                watch.until("caught_up")
            published += [client.publish(alice, f"live {round_number}").post for _ in range(3)]
            seen += watch.posts(len(published) - len(seen))
            cursor = watch.cursor
            watch.cancel()
            assert watch.end().code() == Code.CANCELLED
        published.append(client.publish(alice, f"unwatched {round_number}").post)
    with client.watch(bob, after_cursor=cursor) as watch:
        seen += watch.posts(1)
        watch.until("caught_up")
        assert watch.rest() == []
    assert ids(seen) == ids(published)


def test_a_page_and_a_stream_meet_without_a_seam(client, users):
    """The page's cursor is where the stream begins, whatever was published in between."""
    alice, _, _ = users
    client.publish(alice, "on the page")
    page = client.call("NewsFeed", user_id=alice)
    between = client.publish(alice, "between").post
    with client.watch(alice, after_cursor=page.cursor) as watch:
        later = client.publish(alice, "later").post
        assert watch.posts(2) == [between, later]


def test_a_long_backlog_comes_in_batches(client, users):
    """Hundreds of posts missed, in order, and no batch larger than promised."""
    alice, _, _ = users
    start = client.call("NewsFeed", user_id=alice).cursor
    request = v1.PublishRequest(user_id=alice, text="x" * 250)
    calls = [client.stub.Publish.future(request, timeout=WAIT_S) for _ in range(600)]
    published = sorted((call.result().post for call in calls), key=lambda post: post.revision)
    sizes, events = [], []
    with client.watch(alice, after_cursor=start) as watch:
        kind = None
        while kind != "caught_up":
            kind, message = watch.next()
            if kind == "batch":
                sizes.append((len(message.events), message.ByteSize()))
                events += message.events
    assert [event.posted.item.post for event in events] == published
    assert max(count for count, _ in sizes) <= 256 and max(size for _, size in sizes) <= 64 << 10


def test_a_slow_reader_misses_nothing(client, server, users):
    """It reads nothing while more is published than any buffer holds, then all of it."""
    alice, bob, _ = users
    client.follow(bob, alice)
    with Client(server, *SMALL_WINDOW) as slow, slow.watch(bob) as watch:
        published = publish_unread(client, watch, alice)
        watch.go_on()
        assert watch.posts(len(published)) == published


def test_a_slow_reader_sees_an_unbroken_chain(client, server, users):
    """Also if the last events were not of its feed."""
    alice, bob, carol = users
    client.follow(bob, alice)
    with Client(server, *SMALL_WINDOW) as slow, slow.watch(bob) as watch:
        published = publish_unread(client, watch, alice)
        client.publish(carol, "of no concern")
        watch.go_on()
        watch.posts(len(published))
        for number in range(3):
            client.publish(alice, f"live again {number}")
            watch.posts(1)


def test_two_devices_show_the_same(client, server, users):
    """A follow on one device shows on the other at once."""
    alice, bob, carol = users
    with Client(server) as other, client.watch(bob) as phone, other.watch(bob) as desk:
        phone.until("caught_up")
        desk.until("caught_up")
        client.publish(alice, "before")
        client.follow(bob, alice)
        client.publish(alice, "while followed")
        client.publish(carol, "of no concern")
        client.unfollow(bob, alice)
        client.publish(alice, "after")
        client.publish(bob, "of one's own")
        on_phone, on_desk = phone.events(4), desk.events(4)
    assert on_phone == on_desk
    added, posted, removed, own = on_phone
    assert added.author_added.author_id == alice
    assert posted.posted.item.post.text == "while followed"
    assert removed.author_removed.author_id == alice
    assert removed.author_removed.reason == v1.REMOVED_REASON_UNFOLLOW
    assert own.posted.item.post.text == "of one's own"


def test_a_deadline_ends_a_stream(client, users):
    """The deadline of a caller: it may have read no event by then, and none is lost."""
    alice, _, _ = users
    start = client.publish(alice, "the first").cursor
    second = client.publish(alice, "the second").post
    with client.watch(alice, timeout=1, after_cursor=start) as watch:
        assert watch.end().code() == Code.DEADLINE_EXCEEDED
        seen, cursor = watch.rest(), watch.cursor
    third = client.publish(alice, "the third").post
    with client.watch(alice, after_cursor=cursor) as watch:
        seen += watch.events(2 - len(seen))
    assert [event.posted.item.post for event in seen] == [second, third]


def test_a_quiet_stream_gives_signs_of_life(client, users):
    """A bookmark advances without events of the feed, and a stream resumes from it."""
    alice, bob, _ = users
    with client.watch(bob, heartbeat={"seconds": 1}) as watch:
        # The shortest heartbeat.
        assert watch.until("opened").heartbeat.ToTimedelta().total_seconds() == 10
        quiet = watch.until("caught_up").cursor
        elsewhere = client.publish(alice, "of no concern")
        while (bookmark := watch.until("bookmark").cursor) == quiet:
            pass
        assert watch.rest() == []
    assert client.call("NewsFeed", user_id=bob, at_least_cursor=elsewhere.cursor).items == []
    own = client.publish(bob, "at last").post
    with client.watch(bob, after_cursor=bookmark) as watch:
        assert watch.posts(1) == [own]


def test_a_cursor_of_another_log_starts_anew_if_asked(client, own_server, users):
    """With RESET the stream sends `reset`, and then the present feed."""
    alice, _, _ = users
    post = client.publish(alice, "here").post
    with Client(own_server()) as other:
        foreign = other.publish(alice, "there").cursor
    request = v1.WatchFeedRequest(
        user_id=alice, after_cursor=foreign, gap_policy=streams.GAP_POLICY_RESET
    )
    call = client.stub.WatchFeed(request, timeout=WAIT_S)
    opened, reset, batch, caught_up = (next(call) for _ in range(4))
    call.cancel()
    assert opened.WhichOneof("kind") == "opened" and reset.HasField("reset")
    assert [event.posted.item.post for event in batch.batch.events] == [post]
    assert caught_up.HasField("caught_up")


def test_a_server_that_stops_says_goodbye(own_server):
    """`closing`, then UNAVAILABLE; the same client finds the server again and misses nothing."""
    server = own_server()
    with Client(server) as client:
        client.follow("bob", "alice")
        with client.watch("bob") as watch:
            watch.until("caught_up")
            first = client.publish("alice", "first").post
            assert watch.posts(1) == [first]
            server.terminate()
            closing = watch.until("closing")
            error = watch.end()
        assert closing.reason == reasons.ERROR_REASON_DRAINING
        assert closing.retry_after.ToTimedelta().total_seconds() > 0
        assert error.code() == Code.UNAVAILABLE and reason(error) == "DRAINING"
        assert details(error)["RetryInfo"].retry_delay == closing.retry_after
        assert server.wait() == 0

        server.start()
        second = client.publish("alice", "second").post
        with client.watch("bob", after_cursor=closing.cursor) as watch:
            assert watch.posts(1) == [second]
        assert ids(item.post for item in client.feed("bob")) == ids([second, first])


def test_a_server_killed_again_and_again_loses_nothing(own_server):
    """While one publishes with request ids and retries, and one watches and resumes."""
    server, count, kills = own_server(), 90, 3
    seen, problems = [], []
    enough = threading.Semaphore(0)

    def publish():
        with Client(server) as client:
            for number in range(count):
                while True:
                    try:
                        client.publish("alice", f"post {number}", f"r-{number}")
                        break
                    except grpc.RpcError as error:
                        assert error.code() == Code.UNAVAILABLE, error

    def watch():
        with Client(server) as client:
            cursor = start
            while len(seen) < count:
                with client.watch("bob", after_cursor=cursor) as stream:
                    try:
                        while len(seen) < count:
                            (post,) = stream.posts(1)
                            seen.append(post)
                            enough.release()
                    except grpc.RpcError as error:
                        assert error.code() == Code.UNAVAILABLE, error
                    cursor = stream.cursor

    def noting(body):
        try:
            body()
        except BaseException as problem:
            problems.append(problem)

    with Client(server) as client:
        start = client.follow("bob", "alice").cursor
        threads = [threading.Thread(target=noting, args=[body]) for body in (publish, watch)]
        for thread in threads:
            thread.start()
        for _ in range(kills):
            for _ in range(count // (kills + 1)):
                assert enough.acquire(timeout=WAIT_S), problems
            server.kill()
            server.start()
        for thread in threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()
        assert not problems
        assert [post.text for post in seen] == [f"post {number}" for number in range(count)]
        assert [item.post for item in client.feed("bob")] == seen[::-1]


def test_asyncio_clients_watch_together(server, users):
    """Ten watchers in one event loop, on one connection, all see all."""
    alice, *_ = users
    watchers = [f"{alice}-reader-{number}" for number in range(10)]

    async def watch(stub, user: str, ready: asyncio.Semaphore) -> list[str]:
        call, texts = stub.WatchFeed(v1.WatchFeedRequest(user_id=user)), []
        async for message in call:
            if message.HasField("caught_up"):
                ready.release()
            texts += [event.posted.item.post.text for event in message.batch.events]
            if len(texts) == 5:
                call.cancel()
                return texts

    async def all_of_them():
        async with grpc.aio.insecure_channel(server.address, options=CHANNEL_OPTIONS) as channel:
            stub, ready = v1_grpc.FeedServiceStub(channel), asyncio.Semaphore(0)
            for user in watchers:
                await stub.Follow(v1.FollowRequest(user_id=user, followee_id=alice))
            tasks = [asyncio.create_task(watch(stub, user, ready)) for user in watchers]
            for _ in tasks:
                await ready.acquire()
            for number in range(5):
                await stub.Publish(v1.PublishRequest(user_id=alice, text=f"post {number}"))
            return await asyncio.gather(*tasks)

    histories = asyncio.run(asyncio.wait_for(all_of_them(), WAIT_S))
    assert histories == [[f"post {number}" for number in range(5)]] * len(watchers)
