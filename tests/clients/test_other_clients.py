"""Clients of other protocols or with other settings, and the answer that each gets."""

import http.client
import json
import socket
import ssl
import subprocess
import sys
import urllib.parse
from pathlib import Path

import grpc
import pytest
from client import Client, reason
from generated import v1
from server import WAIT_S, Server

BUF = Path(sys.executable).with_name("buf")
GZIP = grpc.Compression.Gzip


def host_and_port(server) -> tuple[str, int]:
    """The server's address in its two parts."""
    host, _, port = server.address.rpartition(":")
    return host, int(port)


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
def test_http_1_gets_an_answer_in_its_protocol(server, method):
    """A browser, a probe, or curl without options: a sentence, not a reset."""
    connection = http.client.HTTPConnection(*host_and_port(server), timeout=60)
    connection.request(method, "/whimbrel.v1.FeedService/Publish", body="x" * 10_000)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    assert response.status == (415 if method == "POST" else 405)
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    if method != "HEAD":
        assert body.startswith("The content-type of a call is" if method == "POST" else "A call is a POST")


@pytest.mark.parametrize("protocol", ["connect", "grpc", "grpcweb"])
def test_buf_curl_needs_no_protos(server, users, protocol):
    """It asks the server's reflection for them, in the protocol of the call."""
    alice, bob, _ = users
    command = [BUF, "curl", "--http2-prior-knowledge", "--protocol", protocol]
    command += ["-d", json.dumps({"userId": alice, "followeeId": bob})]
    command += [f"http://{server.address}/whimbrel.v1.FeedService/Follow"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=True)
    assert json.loads(done.stdout)["changed"] is True, done.stderr


def test_curl_calls_in_json(server, users):
    """Two calls over one connection, without a library of gRPC; and one by GET, in the query."""
    alice, bob, _ = users
    connection = http.client.HTTPConnection(*host_and_port(server), timeout=60)

    def ask(method: str, path: str, body: dict | None = None) -> dict:
        text = json.dumps(body) if body is not None else None
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, f"/whimbrel.v1.FeedService/{path}", body=text, headers=headers)
        response = connection.getresponse()
        assert response.status == 200, response.read()
        return json.loads(response.read())

    assert ask("POST", "Follow", {"userId": alice, "followeeId": bob})["changed"]
    post = ask("POST", "Publish", {"userId": bob, "text": "by JSON"})["post"]
    assert ask("POST", "NewsFeed", {"userId": alice})["items"][0]["post"] == post
    message = urllib.parse.quote(json.dumps({"userId": alice}))
    page = ask("GET", f"NewsFeed?encoding=json&message={message}")
    connection.close()
    assert page["items"][0]["post"] == post


def test_tls_fails_with_a_reason(server):
    """A client with TLS gets the alert that no version it offers is supported."""
    context = ssl.create_default_context()
    with socket.create_connection(host_and_port(server), timeout=60) as raw:
        with pytest.raises(ssl.SSLError) as caught:
            context.wrap_socket(raw, server_hostname="localhost")
    assert "ALERT_PROTOCOL_VERSION" in str(caught.value)


def test_a_name_can_be_listened_on(tmp_path):
    """As in `serve --listen localhost:50051`, here with a free port."""
    server = Server(tmp_path, address="localhost:0")
    try:
        with Client(server) as client:
            assert client.publish("alice", "hello").post.text == "hello"
    finally:
        server.stop()


def test_requests_may_be_compressed(server, users):
    """gzip as grpcio does it, in a call and for a stream."""
    alice, _, _ = users
    text = "compressed " * 20
    with Client(server) as client:
        request = v1.PublishRequest(user_id=alice, text=text)
        published = client.stub.Publish(request, compression=GZIP, timeout=60)
        assert published.post.text == text
        request = v1.WatchFeedRequest(user_id=alice)
        stream = client.stub.WatchFeed(request, compression=GZIP, timeout=60)
        assert next(stream).WhichOneof("kind") == "opened"
        stream.cancel()


def test_another_compression_is_refused(server, users):
    """The error names the compression that is supported."""
    alice, _, _ = users
    with Client(server) as client:
        request = v1.PublishRequest(user_id=alice, text="x" * 1_000)
        with pytest.raises(grpc.RpcError) as caught:
            client.stub.Publish(request, compression=grpc.Compression.Deflate, timeout=60)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert reason(caught.value) == "UNSUPPORTED" and "use gzip" in caught.value.details()
