"""The cases of gRPC's interoperability tests, each with an RPC of this server.

They have the names of https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md, and
docs/conformance.md lists them all.
"""

import queue

import grpc
import pytest
from client import CHANNEL_OPTIONS, Client, details, reason
from generated import log, v1
from grpc_health.v1 import health_pb2, health_pb2_grpc
from server import WAIT_S

Code = grpc.StatusCode
GZIP = grpc.Compression.Gzip
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
# `list_services`, the shortest question.
LIST_SERVICES = b"\x3a\x00"
# 300 graphemes of 10 bytes: the largest text.
LARGE_TEXT = "\N{BIRD}\u200d\N{BLACK LARGE SQUARE}" * 300
PAGE_POSTS = 100
SOAK_CALLS = 1_000
SOAK_CHANNELS = 100
REQUEST_BYTES_MAX = 64 << 10


@pytest.fixture
def client(server):
    """A client of the shared server."""
    with Client(server) as client:
        yield client


@pytest.fixture
def author(client, users):
    """An author with as many large posts as a page has."""
    alice, _, _ = users
    request = v1.PublishRequest(user_id=alice, text=LARGE_TEXT)
    calls = [client.stub.Publish.future(request, timeout=WAIT_S) for _ in range(PAGE_POSTS)]
    for call in calls:
        call.result()
    return alice


class Questions:
    """The requests of a stream, sent one by one."""

    def __init__(self):
        self._queue = queue.Queue()

    def __iter__(self):
        return iter(self._queue.get, None)

    def send(self, question: bytes):
        """Sends a request."""
        self._queue.put(question)

    def close(self):
        """Sends no more."""
        self._queue.put(None)


def reflect(client, questions):
    """Opens a stream with messages in both directions."""
    return client.channel.stream_stream(REFLECTION)(iter(questions), timeout=WAIT_S)


def varint(number: int) -> bytes:
    """A number as Protobuf writes it."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def test_empty_unary(client):
    """A request of no bytes."""
    request = log.GetChainRequest()
    assert request.SerializeToString() == b""
    stub, _ = client.service("GetChain")
    assert stub.GetChain(request, timeout=WAIT_S).log_id


def test_large_unary(client, author):
    """A response of 300 KB, a request of as many bytes as there may be, and one with a byte more."""
    request = v1.NewsFeedRequest(user_id=author, page_size=PAGE_POSTS)
    page = client.stub.NewsFeed(request, timeout=WAIT_S)
    assert page.ByteSize() > 300_000
    assert [item.post.text for item in page.items] == [LARGE_TEXT] * PAGE_POSTS

    call = client.channel.unary_unary("/whimbrel.v1.FeedService/NewsFeed")
    # In a field that is not known, and skipped.
    head = request.SerializeToString() + varint(15_000 << 3 | 2)
    rest = REQUEST_BYTES_MAX - len(head) - len(varint(REQUEST_BYTES_MAX))
    answer = call(head + varint(rest) + b"x" * rest, timeout=WAIT_S)
    assert v1.NewsFeedResponse.FromString(answer) == page
    with pytest.raises(grpc.RpcError) as caught:
        call(head + varint(rest + 1) + b"x" * (rest + 1), timeout=WAIT_S)
    assert caught.value.code() == Code.RESOURCE_EXHAUSTED
    assert reason(caught.value) == "MESSAGE_TOO_LARGE"


def test_client_compressed_unary(client, users):
    """Compressed and plain requests in turns, on one channel."""
    alice, _, _ = users
    for compression in (GZIP, grpc.Compression.NoCompression, GZIP):
        request = v1.PublishRequest(user_id=alice, text=LARGE_TEXT)
        answer = client.stub.Publish(request, timeout=WAIT_S, compression=compression)
        assert answer.post.text == LARGE_TEXT


def test_server_streaming(client, users):
    """Messages of several sizes, each once and in order."""
    alice, _, _ = users
    texts = [LARGE_TEXT, "x", LARGE_TEXT[:150], LARGE_TEXT]
    with client.watch(alice) as watch:
        watch.until("caught_up")
        for text in texts:
            client.publish(alice, text)
        assert [post.text for post in watch.posts(len(texts))] == texts


def test_ping_pong(client):
    """Each request after the answer to the one before it."""
    questions = Questions()
    call = reflect(client, questions)
    for _ in range(4):
        questions.send(LIST_SERVICES)
        assert b"whimbrel.v1.FeedService" in next(call)
    questions.close()
    assert list(call) == [] and call.code() == Code.OK


def test_empty_stream(client):
    """A stream without a message in either direction."""
    call = reflect(client, [])
    assert list(call) == [] and call.code() == Code.OK


def test_custom_metadata(client, users):
    """Texts and bytes that no service knows, in a call and for a stream."""
    alice, _, _ = users
    metadata = (
        ("x-grpc-test-echo-initial", "test_initial_metadata_value"),
        ("x-grpc-test-echo-trailing-bin", b"\xab\xab\xab"),
    )
    request = v1.PublishRequest(user_id=alice, text="hello")
    assert client.stub.Publish(request, timeout=WAIT_S, metadata=metadata).post.text == "hello"
    request = v1.WatchFeedRequest(user_id=alice)
    call = client.stub.WatchFeed(request, timeout=WAIT_S, metadata=metadata)
    assert next(call).WhichOneof("kind") == "opened"
    call.cancel()


def test_status_code_and_message(client):
    """The same error of a call and of a stream."""
    for rpc, request in (
        (client.stub.NewsFeed, v1.NewsFeedRequest(user_id="no user")),
        (client.stub.WatchFeed, v1.WatchFeedRequest(user_id="no user")),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            answer = rpc(request, timeout=WAIT_S)
            next(answer)
        assert caught.value.code() == Code.INVALID_ARGUMENT
        assert caught.value.details().startswith("user_id must be ASCII letters")
        assert reason(caught.value) == "INVALID_FIELD"


def test_special_status_message(client):
    """White space and characters outside of ASCII, quoted in the message and whole in its details."""
    name = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
    health = health_pb2_grpc.HealthStub(client.channel)
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(health_pb2.HealthCheckRequest(service=name), timeout=WAIT_S)
    assert caught.value.code() == Code.NOT_FOUND
    quoted = r'"\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"'
    assert quoted in caught.value.details()
    assert details(caught.value)["ErrorInfo"].metadata["service"] == name


def test_cancel_after_begin(client):
    """A call that is cancelled before its first message."""
    call = reflect(client, Questions())
    call.cancel()
    assert call.code() == Code.CANCELLED
    test_empty_unary(client)


def test_cancel_after_first_response(client, users):
    """A stream that is cancelled after its first message."""
    alice, _, _ = users
    call = client.stub.WatchFeed(v1.WatchFeedRequest(user_id=alice), timeout=WAIT_S)
    assert next(call).WhichOneof("kind") == "opened"
    call.cancel()
    assert call.code() == Code.CANCELLED
    test_empty_unary(client)


def test_timeout_on_sleeping_server(client, users):
    """A stream that waits for longer than its time, however short that is."""
    alice, _, _ = users
    for timeout_s in (0.001, 0.2):
        call = client.stub.WatchFeed(v1.WatchFeedRequest(user_id=alice), timeout=timeout_s)
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
        assert caught.value.code() == Code.DEADLINE_EXCEEDED


def test_concurrent_large_unary(client, author):
    """A thousand calls at once, with responses of 30 KB: the client holds them all."""
    request = v1.NewsFeedRequest(user_id=author, page_size=PAGE_POSTS // 10)
    calls = [client.stub.NewsFeed.future(request, timeout=WAIT_S) for _ in range(SOAK_CALLS)]
    for call in calls:
        page = call.result()
        assert [item.post.text for item in page.items] == [LARGE_TEXT] * (PAGE_POSTS // 10)


def test_rpc_soak(client, users):
    """Many calls one after the other."""
    alice, _, _ = users
    for number in range(SOAK_CALLS):
        assert client.publish(alice, f"post {number}").post.text == f"post {number}"
    assert len(client.feed(alice, page_size=PAGE_POSTS)) == SOAK_CALLS


def test_channel_soak(server):
    """Many channels one after the other."""
    options = (*CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1))
    for _ in range(SOAK_CHANNELS):
        with Client(server, *options) as client:
            test_empty_unary(client)
