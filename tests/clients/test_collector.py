"""Traces as an OpenTelemetry Collector takes them, and what it passes on. See Traces in docs/logs.md.

The collector is in COLLECTOR. Nothing here asks what the server itself thinks of its spans, but for how many
it counts.
"""

import re
import time

import grpc
import grpcurl
import program
import pytest
from client import Client, reason
from generated import v1
from server import REPOSITORY, WAIT_S
from telemetry import GO_MOD, Collector, Store, eventually, total

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
# Kinds, flags and the status of spans in OTLP.
INTERNAL, SERVER = 1, 2
OF_THE_CALLER, OF_THE_SERVER = 0x301, 0x101
NO_STATUS, ERROR = {}, 2
# The waits in docs/logs.md.
WAITS = {"authentication", "request", "answers", "cursor", "queue", "flush", "apply", "turn", "read"}
# By how much two clocks of one machine may differ.
CLOCKS_NS = 1_000_000_000


@pytest.fixture
def store():
    """What is behind the collector."""
    store = Store()
    yield store
    store.stop()


@pytest.fixture
def collector(tmp_path, store):
    """A collector that one test may do anything to."""
    collector = Collector(tmp_path, store)
    collector.start()
    yield collector
    collector.kill()


@pytest.fixture
def traced(own_server, collector):
    """A server that traces all calls."""
    options = ("--otlp-endpoint", collector.endpoint, "--trace-sampling", "1")
    return own_server(*options, "--admin-listen", "127.0.0.1:0")


def read(client: Client, call_id: str, **headers: str) -> str:
    """Reads a feed, which must succeed. Returns the id of the call as the answer has it."""
    headers |= {"x-request-id": call_id} if call_id else {}
    call = client.stub.NewsFeed.with_call
    request = v1.NewsFeedRequest(user_id="alice")
    _, call = call(request, metadata=tuple(headers.items()), timeout=WAIT_S)
    return dict(call.initial_metadata())["x-request-id"]


def calls(store: Store) -> list[dict]:
    """The spans of calls: those which are no wait in another."""
    return [span for span in store.spans() if span["kind"] == SERVER]


def span_of(store: Store, call_id: str) -> dict:
    """The one span of a call, once it is there."""

    def found() -> list[dict]:
        return [span for span in calls(store) if span["attributes"]["whimbrel.call_id"] == call_id]

    eventually(f"the span of {call_id}", found)
    (span,) = found()
    return span


def waits_of(store: Store, span: dict) -> list[dict]:
    """The spans of the waits in a span. They lie in it, and have no attributes."""
    found = [wait for wait in store.spans() if wait.get("parentSpanId") == span["spanId"]]
    for wait in found:
        began_at, ended_at = wait["startTimeUnixNano"], wait["endTimeUnixNano"]
        assert span["startTimeUnixNano"] <= began_at <= ended_at <= span["endTimeUnixNano"]
        assert wait == {
            "traceId": span["traceId"],
            "parentSpanId": span["spanId"],
            "flags": OF_THE_SERVER,
            "kind": INTERNAL,
            "attributes": {},
            "status": NO_STATUS,
        } | {key: wait[key] for key in ("spanId", "name", "startTimeUnixNano", "endTimeUnixNano")}
    assert {wait["name"] for wait in found} <= WAITS
    return found


def counts(server) -> dict[str, float]:
    """How many traced calls came to which end, as the server counts."""
    outcomes = ("exported", "dropped", "failed")
    metric = "whimbrel_traced_calls_total"
    return {it: total(server.admin_address, metric, f'outcome="{it}"') for it in outcomes}


def check_counts(server, exported: int, failed: int = 0):
    """Waits until the spans of so many calls came to these ends, and no other has one."""
    eventually("all calls to be counted", lambda: sum(counts(server).values()) >= exported + failed)
    assert counts(server) == {"exported": exported, "dropped": 0, "failed": failed}


def described(rpc: str, call_id: str, code: int = 0, **more: str) -> dict:
    """The attributes of the span of a call."""
    service, _, method = rpc.partition("/")
    return {
        "rpc.system": "grpc",
        "rpc.service": service,
        "rpc.method": method,
        "rpc.grpc.status_code": code,
        "whimbrel.call_id": call_id,
        "client.address": "127.0.0.1",
    } | {key.replace("_", "."): value for key, value in more.items()}


def test_a_publish_goes_on_with_the_trace_of_its_caller(traced, collector, store):
    """Every field of its span, who sent it, and its waits. grpcurl knows the call from the proto files."""
    began_at = time.time_ns()
    headers = {"traceparent": TRACEPARENT, "tracestate": "a=1,b=2", "x-request-id": "published"}
    headers = [part for header in headers.items() for part in ("-rpc-header", ": ".join(header))]
    grpcurl.call(traced, "Publish", *grpcurl.PROTO_FILES, *headers, user_id="bob", text="hello")
    ended_at = time.time_ns()
    span = span_of(store, "published")
    times = (span.pop("startTimeUnixNano"), span.pop("endTimeUnixNano"))
    assert began_at - CLOCKS_NS <= times[0] < times[1] <= ended_at + CLOCKS_NS
    assert re.fullmatch("[0-9a-f]{16}", span.pop("spanId"))
    assert span == {
        "traceId": TRACE,
        "parentSpanId": PARENT,
        "traceState": "a=1,b=2",
        "flags": OF_THE_CALLER,
        "name": "whimbrel.v1.FeedService/Publish",
        "kind": SERVER,
        "attributes": described("whimbrel.v1.FeedService/Publish", "published"),
        "status": NO_STATUS,
    }
    names = [wait["name"] for wait in waits_of(store, span_of(store, "published"))]
    assert {"request", "queue", "flush", "apply"} <= set(names)
    (resource,) = store.resources()
    uuid = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert re.fullmatch(uuid, resource.pop("service.instance.id"))
    version = program.run("--version").stdout.split()[1]
    assert resource == {"service.name": "whimbrel", "service.version": version}
    check_counts(traced, 1)


def test_every_kind_of_call_arrives_once(traced, collector, store):
    """Reads, refusals and a stream, each in a trace of its own; both ends count the same."""
    with Client(traced) as client:
        read_id = read(client, "")
        with pytest.raises(grpc.RpcError) as refused:
            request = v1.FollowRequest(user_id="alice", followee_id="alice")
            client.stub.Follow(request, metadata=(("x-request-id", "refused"),), timeout=WAIT_S)
        assert reason(refused.value) == "SELF_FOLLOW"
        unfeed = client.channel.unary_unary("/whimbrel.v1.FeedService/Unfeed")
        with pytest.raises(grpc.RpcError) as unknown:
            unfeed(b"", metadata=(("x-request-id", "unknown"),), timeout=WAIT_S)
        watch = v1.WatchFeedRequest(user_id="alice")
        stream = client.stub.WatchFeed(watch, metadata=(("x-request-id", "watched"),), timeout=WAIT_S)
        assert next(stream).WhichOneof("kind") == "opened"
        # The stream is still open.
        watched = span_of(store, "watched")
        stream.cancel()
    spans = {id: span_of(store, id) for id in (read_id, "refused", "unknown")} | {"watched": watched}
    feeds = "whimbrel.v1.FeedService"
    assert {id: (span["name"], span["status"]) for id, span in spans.items()} == {
        read_id: (f"{feeds}/NewsFeed", NO_STATUS),
        # What the caller did wrong is no error of a server, by OpenTelemetry's conventions.
        "refused": (f"{feeds}/Follow", NO_STATUS),
        "unknown": ("other", {"code": ERROR, "message": reason(unknown.value)}),
        "watched": (f"{feeds}/WatchFeed", NO_STATUS),
    }
    assert spans[read_id]["attributes"] == described(f"{feeds}/NewsFeed", read_id)
    refusal = described(f"{feeds}/Follow", "refused", 3, error_type="SELF_FOLLOW")
    assert spans["refused"]["attributes"] == refusal
    for span in spans.values():
        assert (span["kind"], span["flags"]) == (SERVER, OF_THE_CALLER)
        assert "parentSpanId" not in span
    assert len({span["traceId"] for span in spans.values()}) == len(spans)
    check_counts(traced, len(spans))
    everything = store.spans()
    assert len({span["spanId"] for span in everything}) == len(everything)
    within = sum(len(waits_of(store, span)) for span in spans.values())
    assert len(everything) == len(spans) + within
    assert collector.total("otelcol_receiver_accepted_spans") == len(everything)
    assert collector.total("otelcol_receiver_refused_spans") == 0
    assert collector.total("otelcol_receiver_failed_spans") == 0


def test_callers_decide_if_they_are_trusted(own_server, collector, store):
    """What a caller does not sample never comes, and what it samples does whatever the ratio is."""
    options = ("--trace-sampling", "0", "--trace-callers-decide", "--admin-listen", "127.0.0.1:0")
    server = own_server("--otlp-endpoint", collector.endpoint, *options)
    with Client(server) as client:
        read(client, "unsampled", traceparent=f"00-{TRACE}-{PARENT}-00")
        read(client, "without")
        read(client, "sampled", traceparent=TRACEPARENT)
    # It sends all that it has.
    server.stop()
    (span,) = calls(store)
    assert (span["traceId"], span["attributes"]["whimbrel.call_id"]) == (TRACE, "sampled")


@pytest.mark.parametrize("is_busy", [False, True], ids=["idle", "busy"])
def test_a_collector_that_is_killed_costs_no_call_and_no_span(traced, collector, store, is_busy):
    """It is away for a while, maybe with a request that it had not answered."""
    with Client(traced) as client:
        read(client, "before")
        span_of(store, "before")
        check_counts(traced, 1)
        if is_busy:
            store.hold()
            read(client, "held")
            store.wait_until_it_holds()
        collector.kill()
        for number in range(20):
            read(client, f"away-{number}")
        eventually("the server to miss it", lambda: "does not take traces" in traced.log())
        read(client, "missed")
        store.release()
        collector.start()
        read(client, "after")
    ids = ["held"] * is_busy + [f"away-{number}" for number in range(20)] + ["missed", "after"]
    for call_id in ids:
        span_of(store, call_id)
    check_counts(traced, 1 + len(ids))
    assert collector.total("otelcol_receiver_refused_spans") == 0


def test_what_the_collector_refuses_is_counted_as_failed(traced, collector, store):
    """It is not sent again, and the next span arrives."""
    store.status = 400
    with Client(traced) as client:
        read(client, "refused")
        eventually("a refusal to be counted", lambda: counts(traced)["failed"])
        store.status = 200
        read(client, "taken")
    span_of(store, "taken")
    check_counts(traced, exported=1, failed=1)
    assert collector.total("otelcol_receiver_refused_spans") > 0
    assert len(calls(store)) == 1


def test_the_documents_name_the_collector_that_is_tested():
    """A new version of it is said there, too."""
    version = re.search(r"collector/otelcol v(\S+)", GO_MOD.read_text()).group(1)
    assert f"OpenTelemetry Collector {version}" in (REPOSITORY / "docs/logs.md").read_text()
