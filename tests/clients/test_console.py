"""The console in a real browser: what a person does there, also while the server is killed."""

import json
import os
import subprocess
import urllib.request

import pytest
from browser import needs_chromium
from grpcurl import GRPCURL
from playwright.sync_api import expect
from server import REPOSITORY, WAIT_S

pytestmark = needs_chromium

EVIL = "<img src=x onerror=\"document.title='evil'\"> <script>document.title='evil'</script> javascript:alert(1)"


def call(server, rpc, **request):
    """A call in JSON."""
    url = f"http://{server.address}/whimbrel.v1.{rpc}"
    body = json.dumps(request).encode()
    headers = {"content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=WAIT_S) as answer:
        return json.load(answer)


def console(server, place=""):
    return f"http://{server.address}/console/{place}"


def live(page):
    """Waits until the stream of the page is live."""
    page.wait_for_selector("[data-state=live]")


def empty(page):
    """Waits until what was written is published."""
    expect(page.locator(".composer textarea")).to_have_value("", timeout=1_000 * WAIT_S)


def texts(page):
    return page.locator("[data-list=feed] .post .text").all_inner_texts()


def test_a_post_shows_up_in_the_other_window(own_server, windows):
    """Also one that is published after a kill -9, and each once."""
    server = own_server()
    call(server, "FeedService/Follow", userId="alice", followeeId="bob")
    alice = windows.open(console(server), "alice")
    bob = windows.open(console(server), "bob")
    live(alice)
    live(bob)

    def publish(text):
        bob.keyboard.press("Escape")
        bob.keyboard.press("n")
        bob.keyboard.type(text)
        bob.keyboard.press("Control+Enter")
        bob.wait_for_selector(f"[data-list=feed] .text:text-is('{text}')")
        # The stream may be faster than the answer, without which the text stays.
        empty(bob)

    publish("before")
    alice.wait_for_selector("[data-list=feed] .text:text-is('before')")
    server.kill()
    alice.wait_for_selector("[data-state=lost]")
    # What is published before the window is back.
    alice.context.set_offline(True)
    server.start()
    call(server, "FeedService/Publish", userId="bob", text="meanwhile")
    alice.context.set_offline(False)
    live(alice)
    live(bob)
    alice.wait_for_selector("[data-kind=resumed]")
    publish("after")
    alice.wait_for_selector("[data-list=feed] .text:text-is('after')")
    assert texts(alice) == texts(bob) == ["after", "meanwhile", "before"]


def test_a_list_that_is_kept_is_the_page(own_server, windows):
    """After changes of every kind that a stream tells of, while the window is open."""
    server = own_server()
    follow = lambda other: call(server, "FeedService/Follow", userId="alice", followeeId=other)  # noqa: E731
    publish = lambda user, **more: call(server, "FeedService/Publish", userId=user, text=f"by {user}", **more)["post"]["postId"]  # noqa: E731
    follow("bob")
    follow("carol")
    old = [publish("bob") for _ in range(3)] + [publish("dave")]
    page = windows.open(console(server), "alice")
    live(page)
    call(server, "PostService/DeletePost", userId="bob", postId=old[0])
    call(server, "PostService/Repost", userId="carol", postId=old[3])
    taken_back = publish("erin")
    for user in ("carol", "bob"):
        call(server, "PostService/Repost", userId=user, postId=taken_back)
    call(server, "PostService/Unrepost", userId="carol", postId=taken_back)
    follow("dave")
    publish("dave", replyToPostId=old[1])
    call(server, "GraphService/Mute", userId="alice", mutedId="carol")
    call(server, "FeedService/Unfollow", userId="alice", followeeId="dave")
    call(server, "GraphService/Unmute", userId="alice", mutedId="carol")
    last = publish("bob")
    page.wait_for_selector(f"[data-list=feed] [data-post={last}]")
    shown = page.locator("[data-list=feed] .post").evaluate_all("all => all.map(card => card.dataset.post)")
    items = call(server, "FeedService/NewsFeed", userId="alice")["items"]
    assert shown == [item["post"]["postId"] for item in items] and len(items) > 3


def test_pages_that_could_not_be_read_again_are_read_later(own_server, windows):
    """An event asks for the pages again, and that call fails: the batch comes again, and so does the call."""
    server = own_server()
    old = call(server, "FeedService/Publish", userId="dave", text="before the follow")["post"]["postId"]
    page = windows.open(console(server), "alice")
    live(page)
    failed = []

    def fail_once(route):
        if failed:
            route.continue_()
        else:
            failed.append(route)
            route.abort()

    page.route("**/whimbrel.v1.FeedService/NewsFeed", fail_once)
    call(server, "FeedService/Follow", userId="alice", followeeId="dave")
    page.wait_for_selector(f"[data-list=feed] [data-post={old}]")
    assert failed


def test_a_post_whose_answer_is_lost_is_published_once(own_server, windows):
    """The call is made again by itself; and what is written after it is another post."""
    server = own_server()
    page = windows.open(console(server), "alice")
    live(page)
    answers = []

    def lose_two(route):
        answers.append(route.fetch())
        if len(answers) <= 2:
            route.abort()
        else:
            route.fulfill(response=answers[-1])

    page.route("**/whimbrel.v1.FeedService/Publish", lose_two)
    for text in ("Low tide", "High tide"):
        page.fill(".composer textarea", text)
        page.keyboard.press("Control+Enter")
        empty(page)
        page.wait_for_selector(f"[data-list=feed] .text:text-is('{text}')")
    assert texts(page) == ["High tide", "Low tide"]
    assert len(answers) == 4


def test_another_text_after_a_failure_is_another_post(own_server, windows):
    """No one is refused because of the id of a text that was changed."""
    server = own_server()
    page = windows.open(console(server), "alice")
    live(page)

    def lose_all(route):
        route.fetch()
        route.abort()

    page.route("**/whimbrel.v1.FeedService/Publish", lose_all)
    page.fill(".composer textarea", "Low tide")
    page.keyboard.press("Control+Enter")
    page.locator(".composer .failure", has_text="cannot be reached").wait_for()
    page.unroute("**/whimbrel.v1.FeedService/Publish")
    page.keyboard.type(" at six")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("[data-list=feed] .text:text-is('Low tide at six')")
    assert texts(page) == ["Low tide at six", "Low tide"]


def test_a_window_keeps_a_thousand_entries(own_server, windows):
    """The newest; the oldest ones go, and are not asked for again."""
    server = own_server()
    page = windows.open(console(server), "alice")
    live(page)
    for number in range(1_020):
        call(server, "FeedService/Publish", userId="alice", text=str(number))
    page.wait_for_selector("[data-list=feed] .text:text-is('1019')")
    assert texts(page) == [str(number) for number in range(1_019, 19, -1)]
    assert page.get_by_role("button", name="Older posts").is_hidden()


def test_a_text_is_never_markup(own_server, windows):
    """Not in a feed, a thread or a notification."""
    server = own_server()
    post = call(server, "FeedService/Publish", userId="alice", text=EVIL)["post"]
    call(server, "FeedService/Publish", userId="bob", text=EVIL, replyToPostId=post["postId"])
    page = windows.open(console(server), "alice")
    live(page)
    for place in ("#/feed", f"#/post/{post['postId']}", "#/notifications", "#/user/alice"):
        page.goto(console(server, place))
        page.locator(".text", has_text="javascript:alert").first.wait_for()
        assert EVIL in page.locator(".text").first.inner_text()
        assert page.locator("main img, main script, a[href^=javascript]").count() == 0
        assert "evil" not in page.title()


def test_likes_replies_and_deletions(own_server, windows):
    """What one does, the other is shown."""
    server = own_server()
    call(server, "FeedService/Follow", userId="alice", followeeId="bob")
    post = call(server, "FeedService/Publish", userId="bob", text="Low tide")["post"]["postId"]
    alice = windows.open(console(server), "alice")
    bob = windows.open(console(server, "#/notifications"), "bob")
    live(bob)
    live(alice)
    alice.keyboard.press("j")
    alice.keyboard.press("l")
    like = alice.locator(f"[data-post={post}] [data-action=like]")
    alice.wait_for_selector(f"[data-post={post}] [data-action=like][aria-pressed=true]")
    assert like.inner_text() == "♥1"
    bob.locator(".notification", has_text="likes your post").wait_for()
    alice.locator(f"[data-post={post}]").focus()
    alice.keyboard.press("Enter")
    alice.wait_for_selector(".post.large")
    alice.fill(".composer textarea", "I see 40 of them")
    alice.keyboard.press("Control+Enter")
    alice.locator(".level-1 .text", has_text="I see 40 of them").wait_for()
    bob.locator(".notification", has_text="I see 40 of them").wait_for()

    bob.goto(console(server, f"#/post/{post}"))
    bob.locator(".post.large [data-action=delete]").click()
    bob.locator(".gap", has_text="deleted").wait_for()
    alice.goto(console(server))
    live(alice)
    alice.locator("[data-list=feed] .post").first.wait_for()
    assert alice.locator(f"[data-list=feed] [data-post={post}]").count() == 0


def test_the_graph_around_a_user(own_server, windows):
    """Who follows whom is drawn, and changes by a click."""
    server = own_server()
    for one, other in [("alice", "bob"), ("bob", "alice"), ("carol", "bob"), ("bob", "dave")]:
        call(server, "FeedService/Follow", userId=one, followeeId=other)
    page = windows.open(console(server, "#/user/bob"), "alice")
    page.wait_for_selector(".person.self")
    around = {kind: page.locator(f".person.{kind} text").all_text_contents() for kind in ("in", "out", "both")}
    assert around == {"in": ["carol"], "out": ["dave"], "both": ["alice"]}
    page.locator("[data-action=follow]").click()
    page.wait_for_selector(".person.out text:text-is('alice')")
    page.locator("[data-action=block]").click()
    page.locator(".failure", has_text="BLOCKED").wait_for()
    relation = call(server, "GraphService/GetRelationships", userId="alice", otherIds=["bob"])
    assert relation["relationships"][0]["blocking"]


def test_every_call_is_in_the_playground(own_server, windows):
    """With its documentation; one is made, one is refused, and one is a stream."""
    server = own_server()
    page = windows.open(console(server, "#/calls/whimbrel.v1.FeedService/Follow"), "alice")
    page.wait_for_selector(".docs table")
    described = json.loads((REPOSITORY / "docs/openapi.json").read_text())
    rpcs = [path[1:] for path in described["paths"] if path.startswith("/whimbrel.v1.")]
    links = page.locator(".rpcs a").evaluate_all("all => all.map(a => a.hash.slice('#/calls/'.length))")
    assert sorted(links) == sorted(rpcs) and len(rpcs) > 30
    assert "Makes user_id a follower" in page.locator(".docs").inner_text()

    page.locator("[data-action=call]").click()
    page.locator("[role=status]", has_text="OK in").wait_for()
    assert json.loads(page.locator("[data-result]").inner_text())["changed"]
    page.fill("textarea[name=request]", '{"userId": "alice", "followeeId": "alice"}')
    page.locator("[data-action=call]").click()
    page.locator("[role=status]", has_text="SELF_FOLLOW").wait_for()
    page.fill("textarea[name=request]", "{")
    page.locator(".failure", has_text="no JSON").wait_for()

    page.goto(console(server, "#/calls/whimbrel.v1.FeedService/WatchFeed"))
    page.locator("[data-action=call]").click()
    page.locator("[data-result]", has_text="caughtUp").wait_for()
    page.get_by_role("button", name="Stop").click()
    page.locator("[role=status]", has_text="stopped").wait_for()


def test_the_lines_for_a_shell_work(own_server, windows):
    """Those of the last click, pasted: curl's and grpcurl's answers are that of the page."""
    server = own_server()
    text = "It's \"low\" tide, $HOME `x`"
    call(server, "FeedService/Publish", userId="alice", text=text)
    page = windows.open(console(server, "#/calls/whimbrel.v1.FeedService/NewsFeed"), "alice")
    page.locator("[data-action=call]").click()
    page.locator("[role=status]", has_text="OK in").wait_for()
    page.fill("textarea[name=request]", json.dumps({"userId": "alice", "pageSize": 3}))
    page.locator("[data-action=call]").click()
    page.locator("[role=status]", has_text="OK in").wait_for()
    lines = page.locator(".last-call .line").all_inner_texts()
    assert [line.split()[0] for line in lines] == ["curl", "grpcurl"]
    for line in lines:
        line = line.replace("grpcurl", GRPCURL, 1) if line.startswith("grpcurl") else line
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=WAIT_S, check=True)
        assert json.loads(done.stdout)["items"][0]["post"]["text"] == text


def test_numbers_move(own_server, windows):
    """A call shows up in the rates and in the table."""
    server = own_server()
    page = windows.open(console(server, "#/numbers"), "alice")
    page.wait_for_selector(".tile")
    call(server, "FeedService/Publish", userId="alice", text="counted")
    row = page.locator("tr", has_text="whimbrel.v1.FeedService/Publish")
    row.locator("td", has_text="1").last.wait_for()
    assert row.locator("td").all_inner_texts()[-2:] == ["1", "0"]
    page.fill("input[aria-label='Find a metric']", "whimbrel_log_head_revision")
    page.locator("pre.result", has_text="whimbrel_log_head_revision 1.0").wait_for()


def test_a_token_is_needed_where_callers_are_asked(own_server, windows):
    """The page says so; with a token it shows the feed."""
    server = own_server("--development-tokens")
    page = windows.open(console(server), "alice")
    page.locator(".failure", has_text="NO_TOKEN").wait_for()
    token = subprocess.run(
        [REPOSITORY / os.environ.get("WHIMBREL_BIN", "target/debug/whimbrel"), "token", "alice", "--data", server.data],
        capture_output=True, text=True, timeout=WAIT_S, check=True,
    ).stdout.strip()
    page.fill("input[aria-label=Token]", token)
    page.keyboard.press("Enter")
    live(page)
    page.keyboard.press("Escape")
    page.goto(console(server, "#/numbers"))
    page.locator(".failure").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures(own_server, windows, scheme, tmp_path):
    """Every view in both themes. With WHIMBREL_WRITE_DOCS those of the documents are written."""
    server = own_server()
    for one, other in [("alice", "bob"), ("alice", "carol"), ("bob", "alice"), ("carol", "alice"),
                       ("dave", "alice"), ("erin", "alice"), ("alice", "frank")]:
        call(server, "FeedService/Follow", userId=one, followeeId=other)
    publish = lambda user, text, **more: call(server, "FeedService/Publish", userId=user, text=text, **more)["post"]["postId"]  # noqa: E731
    first = publish("bob", "The tide is out: 40 whimbrels on the mud flats near https://example.org/harbour #waders")
    reply = publish("carol", "I count 43 from the other side, @bob.", replyToPostId=first)
    publish("alice", "Two more are coming in from the south.", replyToPostId=reply)
    publish("frank", "High water at 17:20 today.")
    call(server, "PostService/Like", userId="carol", postId=first)
    call(server, "PostService/Repost", userId="carol", postId=first)
    page = windows.open(console(server), "alice", color_scheme=scheme)
    live(page)
    publish("carol", "Good morning @alice. It rains, and they do not mind.")
    documents = REPOSITORY / "docs/pictures"
    for name, place, ready in [
        ("feed", "", "[data-kind=batch]"), ("thread", f"#/post/{first}", ".level-1"), ("user", "#/user/alice", ".person.self"),
        ("calls", "#/calls/whimbrel.v1.FeedService/NewsFeed", ".docs table"), ("numbers", "#/numbers", ".tile"),
    ]:
        if place:
            page.goto(console(server, place))
        page.wait_for_selector(ready)
        file = f"console-{name}-{scheme}.png"
        is_document = "WHIMBREL_WRITE_DOCS" in os.environ and (documents / file).exists()
        picture = page.screenshot(path=(documents if is_document else tmp_path) / file)
        assert len(picture) > 10_000
