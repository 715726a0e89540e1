"""A small client on the generated stubs, as an application would write it.

It checks on every stream what the protos promise for all streams: the order of messages, the chain
of cursors, and revisions that only rise. It does not know the expected feed.
"""

import queue
import threading

import grpc
from generated import (
    graph,
    graph_grpc,
    log,
    log_grpc,
    meta,
    meta_grpc,
    notifications,
    notifications_grpc,
    posts,
    posts_grpc,
    v1,
    v1_grpc,
)
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from server import WAIT_S

# A server that was restarted is found again at once, and not after the default of seconds.
CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
)


class Client:
    """One connection. Calls wait until the server is there."""

    def __init__(self, server, *options: tuple):
        options = CHANNEL_OPTIONS + options
        self.channel = grpc.insecure_channel(server.address, options=options)
        self.stub = v1_grpc.FeedServiceStub(self.channel)
        # Each service's stub, with the module that has its messages.
        self._services = (
            (self.stub, v1),
            (posts_grpc.PostServiceStub(self.channel), posts),
            (graph_grpc.GraphServiceStub(self.channel), graph),
            (log_grpc.LogServiceStub(self.channel), log),
            (meta_grpc.MetaServiceStub(self.channel), meta),
            (notifications_grpc.NotificationServiceStub(self.channel), notifications),
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def service(self, rpc: str):
        """The stub of the service that has the RPC, and the module with its messages."""
        return next(pair for pair in self._services if hasattr(pair[0], rpc))

    def call(self, rpc: str, **request):
        """Makes a unary call, of whichever service has the RPC."""
        stub, messages = self.service(rpc)
        message = getattr(messages, f"{rpc}Request")(**request)
        return getattr(stub, rpc)(message, timeout=WAIT_S, wait_for_ready=True)

    def publish(self, author: str, text: str, request_id: str = "") -> v1.PublishResponse:
        """Publishes a post."""
        return self.call("Publish", user_id=author, text=text, request_id=request_id)

    def follow(self, user: str, followee: str) -> v1.FollowResponse:
        """Makes a user follow another."""
        return self.call("Follow", user_id=user, followee_id=followee)

    def unfollow(self, user: str, followee: str) -> v1.UnfollowResponse:
        """Ends a user's following of another."""
        return self.call("Unfollow", user_id=user, followee_id=followee)

    def feed(self, user: str, **request) -> list:
        """A whole feed, page by page, newest first."""
        items, token = [], ""
        while True:
            page = self.call("NewsFeed", user_id=user, page_token=token, **request)
            items += page.items
            token = page.next_page_token
            if not token:
                return items

    def watch(self, user: str, timeout: float | None = None, **request) -> "Watch":
        """Opens a live feed."""
        message = v1.WatchFeedRequest(user_id=user, **request)
        return Watch(self.stub.WatchFeed, message, timeout)

    def watch_notifications(self, user: str, timeout: float | None = None, **request) -> "Watch":
        """Opens live notifications."""
        message = notifications.WatchNotificationsRequest(user_id=user, **request)
        stub, _ = self.service("WatchNotifications")
        return Watch(stub.WatchNotifications, message, timeout)


class Watch:
    """A live stream that is open. A thread reads it, so that each wait for it has an end.

    Use as a context: leaving it cancels the call.
    """

    def __init__(self, rpc, request, timeout: float | None):
        self.cursor = request.after_cursor
        self._revision = 0
        self._opened = self._caught_up = self._closing = False
        self._pending = []
        self._queue = queue.Queue()
        self._reading = threading.Event()
        self._reading.set()
        self._call = rpc(request, timeout=timeout, wait_for_ready=True)
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cancel()

    def cancel(self):
        """Hangs up."""
        self._call.cancel()
        self.go_on()

    def hold(self):
        """Reads no more than one further message, so that the server has to wait."""
        self._reading.clear()

    def go_on(self):
        """Reads again."""
        self._reading.set()

    def next(self) -> tuple[str, object]:
        """The next message: its kind and itself. The stream's end is raised."""
        message = self._queue.get(timeout=WAIT_S)
        if isinstance(message, grpc.RpcError):
            self._queue.put(message)
            raise message
        kind = message.WhichOneof("kind")
        message = getattr(message, kind)
        self._check(kind, message)
        self.cursor = message.cursor
        return kind, message

    def until(self, wanted: str):
        """The first message that is a `wanted`. Events before it are kept for `events`."""
        while True:
            kind, message = self.next()
            if kind == "batch":
                self._pending += message.events
            if kind == wanted:
                return message

    def events(self, count: int) -> list:
        """The next events, however they are spread over batches; exactly so many."""
        while len(self._pending) < count:
            self.until("batch")
        events, self._pending = self._pending[:count], self._pending[count:]
        return events

    def posts(self, count: int) -> list:
        """As `events`, where all of them must be posts."""
        events = self.events(count)
        assert [event.WhichOneof("change") for event in events] == ["posted"] * count
        return [event.posted.item.post for event in events]

    def end(self) -> grpc.RpcError:
        """Reads on to the end, and returns the error that ended the stream."""
        while True:
            try:
                kind, message = self.next()
            except grpc.RpcError as error:
                return error
            if kind == "batch":
                self._pending += message.events

    def rest(self) -> list[v1.FeedEvent]:
        """The events that were read but not returned yet."""
        events, self._pending = self._pending, []
        return events

    def _check(self, kind: str, message):
        assert not self._closing, f"{kind} after closing"
        if not self._opened:
            assert kind == "opened"
            # Where a resumed stream starts is where the one before it had got to.
            assert self.cursor in ("", message.cursor)
            self._opened = True
        elif kind == "caught_up":
            assert not self._caught_up
            self._caught_up = True
        elif kind == "batch":
            assert message.prev_cursor == self.cursor
            assert message.events
            for event in message.events:
                assert event.revision > self._revision
                self._revision = event.revision
        elif kind == "bookmark":
            assert self._caught_up
        elif kind == "closing":
            self._closing = True
        else:
            raise AssertionError(f"unexpected {kind}")

    def _read(self):
        try:
            for message in self._call:
                self._queue.put(message)
                self._reading.wait()
        except grpc.RpcError as error:
            self._queue.put(error)
        else:
            self._queue.put(AssertionError("the stream ended with OK"))


def details(error: grpc.RpcError) -> dict:
    """The details of an error, by their types' names."""
    status = rpc_status.from_call(error)
    assert status is not None, f"no details: {error}"
    found = {}
    for detail in status.details:
        name = detail.TypeName().rpartition(".")[2]
        found[name] = getattr(error_details_pb2, name)()
        assert detail.Unpack(found[name])
    return found


def reason(error: grpc.RpcError) -> str:
    """Why, in one word; all errors have one."""
    info = details(error)["ErrorInfo"]
    assert info.domain == "whimbrel"
    return info.reason
