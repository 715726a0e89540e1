"""Clients of other languages over TLS: what a server makes for a try on one machine is accepted by
their libraries, and refused by a client that does not trust it.
"""

import json

import grpc
import grpcurl
import pytest
from generated import v1, v1_grpc
from server import WAIT_S


@pytest.fixture
def tls_server(own_server):
    """A server with a certificate of its own making."""
    return own_server("--tls-self-signed")


def at(server, host: str) -> str:
    """The address of the server by another name of this machine."""
    return f"{host}:{server.address.rpartition(':')[2]}"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_python_client_calls_and_watches(tls_server, host):
    trusted = grpc.ssl_channel_credentials(tls_server.ca_file.read_bytes())
    with grpc.secure_channel(at(tls_server, host), trusted) as channel:
        stub = v1_grpc.FeedServiceStub(channel)
        watch = stub.WatchFeed(v1.WatchFeedRequest(user_id="bob"), timeout=WAIT_S)
        assert next(watch).HasField("opened")
        stub.Publish(v1.PublishRequest(user_id="bob", text="hello"), timeout=WAIT_S)
        page = stub.NewsFeed(v1.NewsFeedRequest(user_id="bob"), timeout=WAIT_S)
        assert [item.post.text for item in page.items] == ["hello"]
        batch = next(message for message in watch if message.HasField("batch"))
        assert len(batch.batch.events) == 1
        watch.cancel()


def test_a_client_that_does_not_trust_it_sends_nothing(tls_server):
    with grpc.secure_channel(tls_server.address, grpc.ssl_channel_credentials()) as channel:
        stub = v1_grpc.FeedServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.Publish(v1.PublishRequest(user_id="bob", text="hello"), timeout=WAIT_S)
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


def test_grpcurl_calls(tls_server):
    trusted = ("-cacert", str(tls_server.ca_file))
    listed = grpcurl.run(*trusted, at(tls_server, "localhost"), "list")
    assert "whimbrel.v1.FeedService" in listed.stdout, listed.stderr
    request = json.dumps({"user_id": "alice", "followee_id": "bob"})
    follow = (at(tls_server, "localhost"), f"{grpcurl.SERVICE}/Follow")
    done = grpcurl.run(*trusted, "-d", request, *follow)
    assert done.returncode == 0, done.stderr
    untrusted = grpcurl.run("-d", request, *follow)
    assert "unknown authority" in untrusted.stderr
    clear = grpcurl.run("-plaintext", "-d", request, *follow)
    assert clear.returncode != 0
