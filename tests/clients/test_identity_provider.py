"""The tokens of a real identity provider: of people and of a backend, and while its keys change."""

import os
import re
import shlex
import subprocess
import sys
import time

import grpc
import pytest
from generated import reasons, v1, v1_grpc
from client import reason
from identity import SCOPE, Provider, make_key
from server import BINARY, REPOSITORY, WAIT_S

Code = grpc.StatusCode


@pytest.fixture
def provider(tmp_path):
    provider = Provider(tmp_path)
    yield provider
    provider.stop()


@pytest.fixture
def trusting(provider, own_server, tmp_path):
    """Starts a server that takes the provider's tokens, with the keys that it has then."""

    def start(*options: str):
        discovered = provider.discovered()
        settings = tmp_path / "auth.toml"
        settings.write_text(
            f'[[issuer]]\nissuer = "{discovered["issuer"]}"\naudience = "feed"\n'
            f'jwks_url = "{discovered["jwks_uri"]}"\nroles = {{ "{SCOPE}" = "service" }}\n'
        )
        return own_server("--auth-file", str(settings), *options)

    return start


def bearer(token: str) -> tuple:
    return (("authorization", f"Bearer {token}"),)


def stub_of(server):
    return v1_grpc.FeedServiceStub(grpc.insecure_channel(server.address))


def test_people_and_a_backend_call_with_its_tokens(provider, trusting):
    provider.start(make_key("one"))
    stub = stub_of(trusting())
    alice = bearer(provider.user_token("alice"))
    stub.Follow(v1.FollowRequest(followee_id="bob"), metadata=alice, timeout=WAIT_S)
    with pytest.raises(grpc.RpcError) as refused:
        stub.Publish(v1.PublishRequest(user_id="bob", text="no"), metadata=alice, timeout=WAIT_S)
    assert (refused.value.code(), reason(refused.value)) == (Code.PERMISSION_DENIED, "OTHER_USER")

    backend = bearer(provider.backend_token())
    stub.Publish(v1.PublishRequest(user_id="bob", text="hello"), metadata=backend, timeout=WAIT_S)
    page = stub.NewsFeed(v1.NewsFeedRequest(), metadata=alice, timeout=WAIT_S)
    assert [item.post.text for item in page.items] == ["hello"]
    with pytest.raises(grpc.RpcError) as refused:
        stub.NewsFeed(v1.NewsFeedRequest(), timeout=WAIT_S)
    assert (refused.value.code(), reason(refused.value)) == (Code.UNAUTHENTICATED, "NO_TOKEN")


def recipe(replaced: dict[str, str]) -> list[str]:
    """The blocks of the recipe in docs/security.md, with what is another on each machine replaced."""
    text = (REPOSITORY / "docs/security.md").read_text()
    start = text.index("<!-- recipe:")
    blocks = re.findall(r"```\w+\n(.*?)```", text[start : text.index("\n## ", start)], re.DOTALL)
    for old, new in replaced.items():
        assert sum(block.count(old) for block in blocks) == 1, f"the recipe has no {old!r}, or two"
        blocks = [block.replace(old, new) for block in blocks]
    return blocks


def test_the_recipe_leads_to_a_call_with_a_token_over_tls(provider, tmp_path):
    provider.start(make_key("one"))
    discovered = provider.discovered()
    (tmp_path / "proto").symlink_to(REPOSITORY / "proto")
    shell, python = recipe(
        {
            # The tests are in such an environment, and have a provider and a program of their own.
            "python3 -m venv env && . env/bin/activate && pip install grpcio grpcio-tools\n": "",
            "python3 -m grpc_tools.protoc": f"{shlex.quote(sys.executable)} -m grpc_tools.protoc",
            '"https://login.example.org/"': f'"{discovered["issuer"]}"',
            "https://login.example.org/.well-known/jwks.json": discovered["jwks_uri"],
            "cargo run --release --": f"exec {shlex.quote(str(REPOSITORY / BINARY))}",
        }
    )
    with subprocess.Popen(["bash", "-euc", shell], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as serving:
        try:
            while "listens on" not in (line := serving.stdout.readline()):
                assert line, "the server of the recipe does not start"
            environment = {**os.environ, "TOKEN": provider.user_token("alice")}
            called = subprocess.run(
                [sys.executable, "-c", python],
                cwd=tmp_path,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=WAIT_S,
                check=False,
            )
        finally:
            serving.terminate()
    assert called.returncode == 0, called.stdout
    assert 'author_id: "alice"' in called.stdout and 'text: "Hello."' in called.stdout, called.stdout


def test_its_keys_change_while_a_stream_is_open(provider, trusting):
    one, two = make_key("one"), make_key("two")
    provider.start(one)
    stub = stub_of(trusting())
    old = bearer(provider.user_token("alice"))
    watch = stub.WatchFeed(v1.WatchFeedRequest(), metadata=old, timeout=WAIT_S)
    cursor = next(watch).opened.cursor
    stub.Publish(v1.PublishRequest(text="before"), metadata=old, timeout=WAIT_S)

    # Both keys are published, and the new one signs: the open stream goes on.
    provider.start(two, one)
    new = bearer(provider.user_token("alice"))
    until_taken(stub, new)
    stub.Publish(v1.PublishRequest(text="between"), metadata=old, timeout=WAIT_S)

    # The old one is withdrawn. A token of the newest key makes the server notice.
    provider.start(make_key("three"), two)
    until_taken(stub, bearer(provider.user_token("alice")))
    texts, closing = [], None
    with pytest.raises(grpc.RpcError) as ended:
        for message in watch:
            if message.HasField("batch"):
                texts += [event.posted.item.post.text for event in message.batch.events]
            if message.HasField("closing"):
                closing = message.closing
    assert ended.value.code() == Code.UNAUTHENTICATED
    assert closing.reason == reasons.ERROR_REASON_KEY_REVOKED
    assert texts == ["before", "between"] and cursor != closing.cursor

    stub.Publish(v1.PublishRequest(text="after"), metadata=new, timeout=WAIT_S)
    request = v1.WatchFeedRequest(after_cursor=closing.cursor)
    resumed = stub.WatchFeed(request, metadata=new, timeout=WAIT_S)
    batch = next(message.batch for message in resumed if message.HasField("batch"))
    assert [event.posted.item.post.text for event in batch.events] == ["after"]
    resumed.cancel()


def until_taken(stub, token: tuple):
    """Calls until the server knows the key of a token: it fetches keys every ten seconds at most."""
    give_up_at = time.monotonic() + WAIT_S
    while True:
        try:
            return stub.NewsFeed(v1.NewsFeedRequest(), metadata=token, timeout=WAIT_S)
        except grpc.RpcError as error:
            assert reason(error) == "INVALID_TOKEN", error
            assert time.monotonic() < give_up_at, "the new key is never fetched"
            time.sleep(0.5)
