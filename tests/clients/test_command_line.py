"""`whimbrel` in a shell: its JSON is that of grpcurl, and its refusals."""

import os
import pty
import re
import subprocess

import grpcurl
import program
import pytest
from server import BINARY, REPOSITORY, WAIT_S

POST, GRAPH, NOTIFICATION, LOG = (
    f"whimbrel.v1.{name}Service" for name in ("Post", "Graph", "Notification", "Log")
)


@pytest.fixture
def scene(server, users):
    """Alice follows Bob, whose post has replies, likes and so on. Returns the users and the post."""
    alice, bob, carol = users
    grpcurl.call(server, "Follow", userId=alice, followeeId=bob)
    picture = {"uri": "https://example.org/a.png", "mediaType": "image/png", "alt": "A wader"}
    post = {"userId": bob, "text": f"hello @{alice}", "langs": ["en"], "attachments": [picture]}
    post = grpcurl.call(server, "Publish", **post)["post"]["postId"]
    about = {"userId": carol, "postId": post}
    reply = {"userId": carol, "text": "well", "replyToPostId": post}
    reply = grpcurl.call(server, "Publish", **reply)["post"]["postId"]
    below = {"userId": alice, "text": "below", "replyToPostId": reply}
    grpcurl.call(server, "Publish", **below)
    grpcurl.call(server, f"{POST}/DeletePost", userId=carol, postId=reply)
    grpcurl.call(server, "Publish", userId=carol, text="see", quotePostId=post)
    grpcurl.call(server, f"{POST}/Like", **about)
    grpcurl.call(server, f"{POST}/Repost", **about)
    grpcurl.call(server, f"{GRAPH}/Mute", userId=bob, mutedId=f"{bob}-muted")
    grpcurl.call(server, f"{GRAPH}/Block", userId=bob, blockedId=f"{bob}-blocked")
    return alice, bob, carol, post


def test_lists_are_those_of_grpcurl(server, scene):
    """One line for each entry with its kind, then the rest of the answer as `page`."""
    alice, bob, _, post = scene
    of_post = {"userId": alice, "postId": post}
    for verb, kind, field, rpc, request in [
        (["feed", alice], "item", "items", "NewsFeed", {"userId": alice}),
        (["feed", alice, "--page-size", "1"], "item", "items", "NewsFeed", {"userId": alice, "pageSize": 1}),
        (["posts", alice, bob], "item", "items", f"{POST}/ListPosts", {"userId": alice, "authorId": bob}),
        (["show", alice, post], "post", "posts", f"{POST}/GetPosts", {"userId": alice, "postIds": [post]}),
        (["replies", alice, post], "post", "posts", f"{POST}/ListReplies", of_post),
        (["quotes", alice, post], "post", "posts", f"{POST}/ListQuotes", of_post),
        (["likes", alice, post], "user", "users", f"{POST}/ListLikes", of_post),
        (["reposts", alice, post], "user", "users", f"{POST}/ListReposts", of_post),
        (["followers", bob], "user", "users", f"{GRAPH}/ListFollowers", {"userId": bob, "ofUserId": bob}),
        (["following", alice], "user", "users", f"{GRAPH}/ListFollowing", {"userId": alice, "ofUserId": alice}),
        (["blocks", bob], "user", "users", f"{GRAPH}/ListBlocks", {"userId": bob}),
        (["mutes", bob], "user", "users", f"{GRAPH}/ListMutes", {"userId": bob}),
        (
            ["relationships", alice, bob],
            "relationship",
            "relationships",
            f"{GRAPH}/GetRelationships",
            {"userId": alice, "otherIds": [bob]},
        ),
        (
            ["notifications", bob],
            "notification",
            "notifications",
            f"{NOTIFICATION}/ListNotifications",
            {"userId": bob},
        ),
    ]:
        answer = grpcurl.call(server, rpc, **request)
        entries = answer.pop(field, [])
        printed = program.lines(server, *verb)
        # Page tokens are random, and cursors advance with the changes of other tests.
        for page in (answer, printed[-1]["page"]):
            assert page.pop("cursor")
            page.pop("nextPageToken", None)
        assert printed == [{kind: entry} for entry in entries] + [{"page": answer}], verb


def test_other_answers_are_those_of_grpcurl(server, scene):
    """The whole answer, as `response`."""
    alice, bob, carol, post = scene
    of_post = {"userId": alice, "postId": post}
    for verb, rpc, request in [
        (["follow", alice, bob], "Follow", {"userId": alice, "followeeId": bob}),
        (["unlike", alice, post], f"{POST}/Unlike", of_post),
        (["thread", alice, post], f"{POST}/GetThread", of_post),
        (["profile", alice, bob], f"{GRAPH}/GetProfile", {"userId": alice, "ofUserId": bob}),
        (
            ["post", carol, "once", "--request-id", "r"],
            "Publish",
            {"userId": carol, "text": "once", "requestId": "r"},
        ),
    ]:
        # The first call may change something; from the second on all answers are the same.
        program.lines(server, *verb)
        (printed,) = program.lines(server, *verb)
        answer = grpcurl.call(server, rpc, **request)
        assert printed["response"].pop("cursor") and answer.pop("cursor")
        assert printed == {"response": answer}, verb


def test_the_chain_is_that_of_grpcurl(server, scene):
    """By both, and the newest is another one after each change."""
    alice, _, _, _ = scene
    (printed,) = program.lines(server, "chain", "1")
    assert printed == {"response": grpcurl.call(server, f"{LOG}/GetChain", revision=1)}
    before = grpcurl.call(server, f"{LOG}/GetChain")
    grpcurl.call(server, "Publish", userId=alice, text="one more")
    after = grpcurl.call(server, f"{LOG}/GetChain")
    assert int(after["revision"]) == int(before["revision"]) + 1
    assert after["logId"] == before["logId"] and after["chain"] != before["chain"]
    assert re.fullmatch("[0-9a-f]{16}", after["logId"]) and re.fullmatch("[0-9a-f]{64}", after["chain"])


@pytest.mark.parametrize("stream", ["WatchFeed", f"{NOTIFICATION}/WatchNotifications"])
def test_streams_are_those_of_grpcurl(server, scene, stream):
    """Message by message, as they come."""
    _, bob, _, _ = scene
    watch = ["watch", bob] if stream == "WatchFeed" else ["notifications", bob, "--watch"]
    printed = program.lines(server, *watch, "--snapshot", "3", "--limit", "1")
    with grpcurl.Stream(server, stream, userId=bob, snapshot={"limit": 3}) as messages:
        sent = [messages.next() for _ in printed]
    for message in (*printed, *sent):
        ((_, content),) = message.items()
        # The changes of other tests move these.
        for name in ("cursor", "headCursor", "prevCursor"):
            content.pop(name, None)
    assert [list(message) for message in printed] == [["opened"], ["batch"]]
    assert printed == sent


def test_an_address_of_another_protocol_is_refused(server, users):
    """With code 2 and the reason, although a server listens there."""
    alice, bob, _ = users
    clear = program.run("follow", alice, bob, "--addr", f"https://{server.address}")
    assert clear.returncode == 1 and "it speaks no TLS there" in clear.stderr, clear
    for scheme in ("ftp", "grpc"):
        given = f"{scheme}://{server.address}"
        done = program.run("follow", alice, bob, "--addr", given)
        assert done.returncode == 2 and f"{scheme}://" in done.stderr, done
        assert done.stdout == ""
    assert program.lines(server, "following", alice)[:-1] == []


def test_an_import_with_a_byte_order_mark(server, users, tmp_path):
    """As spreadsheets and some editors write files."""
    alice, bob, _ = users
    (tmp_path / "follows.tsv").write_bytes(f"\ufeff{alice}\t{bob}\r\n".encode())
    done = program.run("import", "--addr", server.address, "--follows", str(tmp_path / "follows.tsv"))
    assert done.returncode == 0, done.stderr
    users = [line["user"]["userId"] for line in program.lines(server, "following", alice)[:-1]]
    assert users == [bob]


def log_on_a_terminal(folder, **variables: str) -> bytes:
    """The log of a server whose standard error is a terminal."""
    ours, theirs = pty.openpty()
    command = [REPOSITORY / BINARY, "serve", "--data", folder / "data", "--listen", "127.0.0.1:0"]
    command += ["--admin-listen", "none"]
    rest = {name: os.environ[name] for name in os.environ if name not in ("NO_COLOR", "TERM")}
    server = subprocess.Popen(
        command, env=rest | variables, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    assert server.stdout.readline()
    server.terminate()
    assert server.wait(WAIT_S) == 0
    server.stdout.close()
    printed = b""
    try:
        while part := os.read(ours, 4096):
            printed += part
    except OSError:
        pass  # On Linux, reading at the end of a terminal is an error.
    os.close(ours)
    assert b"stopped" in printed
    return printed


def test_a_log_has_colours_only_where_they_are_wanted(tmp_path):
    """On a terminal that has them; not with NO_COLOR, unless that is empty; and never in a file."""
    escape = re.compile(rb"\x1b\[")
    assert escape.search(log_on_a_terminal(tmp_path, TERM="xterm"))
    assert escape.search(log_on_a_terminal(tmp_path, TERM="xterm", NO_COLOR=""))
    assert not escape.search(log_on_a_terminal(tmp_path, TERM="xterm", NO_COLOR="1"))
    assert not escape.search(log_on_a_terminal(tmp_path, TERM="dumb"))


def test_a_log_filter_never_silences_by_mistake(tmp_path):
    """Parts that it does not name are logged as usual."""
    printed = log_on_a_terminal(tmp_path, TERM="dumb", WHIMBREL_LOG="wihmbrel=debug")
    assert b"INFO" in printed


def test_status_waits_until_the_server_serves(own_server):
    """It ends when the server does, or when its time is over."""
    server = own_server()
    server.kill()
    over = program.run("status", "--addr", server.address, "--wait", "1")
    assert over.returncode == 3, over
    command = [REPOSITORY / BINARY, "status", "--addr", server.address, "--wait", str(WAIT_S)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as waiting:
        server.start()
        printed, _ = waiting.communicate(timeout=WAIT_S)
    assert waiting.returncode == 0, printed
    assert "yes" in printed, printed
