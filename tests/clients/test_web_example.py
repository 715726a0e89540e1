"""The example of a page, `examples/web`, in a real browser: a live feed that goes on through a restart."""

import http.server
import re
import threading
from functools import partial

import pytest
from browser import needs_chromium
from server import REPOSITORY
from test_console import call

pytestmark = needs_chromium


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files, and says nothing of it."""

    def log_message(self, *_):
        pass


@pytest.fixture
def page_server():
    """Serves the example as its README says, from another origin than the server's."""
    handler = partial(Quiet, directory=REPOSITORY / "examples/web")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def texts(page):
    return page.locator("#feed li").evaluate_all("all => all.map(line => line.lastChild.textContent)")


def watch(windows, server, page_server):
    page = windows.open(page_server)
    page.fill("input[name=server]", f"http://{server.address}")
    page.get_by_role("button", name="Watch").click()
    return page


def test_it_goes_on_through_a_restart(own_server, windows, page_server):
    """By the browser's own means. What was published meanwhile comes once."""
    server = own_server("--cors-origin", page_server)
    call(server, "FeedService/Follow", userId="alice", followeeId="bob")
    call(server, "FeedService/Publish", userId="bob", text="one")
    page = watch(windows, server, page_server)
    page.locator("#state", has_text="live").wait_for()
    page.fill("input[name=text]", "two <b>by</b> the page")
    page.get_by_role("button", name="Publish").click()
    page.locator("#feed li", has_text="two").wait_for()

    server.kill()
    page.locator("#state", has_text="connection lost").wait_for()
    server.start()
    call(server, "FeedService/Publish", userId="bob", text="three")
    page.locator("#feed li", has_text="three").wait_for()
    page.locator("#state", has_text="live").wait_for()
    assert texts(page) == ["three", "two <b>by</b> the page", "one"]


def test_its_origin_must_be_named(own_server, windows, page_server):
    """Else the server refuses what the page asks."""
    page = watch(windows, own_server("--cors-origin", "https://app.example.org"), page_server)
    page.locator("#state", has_text="refused").wait_for()
    windows.complaints = [it for it in windows.complaints if "CORS policy" not in it]
    assert not windows.complaints


def test_the_lines_in_the_readme(serving, windows):
    """Run as they stand there, in the console of a page: each post is written there."""
    block = re.search(r"```js\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)[1]
    assert len(block.splitlines()) == 5
    call(serving, "FeedService/Follow", userId="alice", followeeId="bob")
    call(serving, "FeedService/Publish", userId="bob", text="before")
    page = windows.open(f"http://{serving.address}/console/", "carol")
    with page.expect_console_message(lambda line: line.text == "before"):
        page.evaluate(block)
    with page.expect_console_message(lambda line: line.text == "live"):
        call(serving, "FeedService/Publish", userId="bob", text="live")
