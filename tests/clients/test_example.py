"""The Rust example, run as its first lines say: against a server, once and again."""

import subprocess

from server import BINARY, REPOSITORY, WAIT_S

EXAMPLE = REPOSITORY / BINARY.parent / "examples" / "follow_and_watch"
POSTS = ["The tide goes out.", "It rains on the mud flats.", "The tide comes in."]


def run(address: str) -> list[str]:
    """Returns the lines that it printed."""
    command = [EXAMPLE, address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_it_follows_reads_watches_and_resumes(own_server):
    """Each post comes once, on the page or live."""
    first, second, third = (f"bob: {post}" for post in POSTS)
    live = ["watching", f"live: {second}", "watching", f"live: {third}"]
    server = own_server()
    assert run(server.address) == ["alice follows bob", f"page: {first}", *live]
    page = [f"page: {post}" for post in [first, third, second, first]]
    assert run(server.address) == ["alice follows bob already", *page, *live]


def test_it_says_that_no_server_is_there(own_server):
    """It ends with the address that it called."""
    server = own_server()
    server.stop()
    command = [EXAMPLE, server.address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 1 and server.address in done.stderr, done
