"""The social surface with the generated Python client, streams above all."""

import pytest
from client import Client
from generated import notifications, posts, v1

Removed = v1.AuthorRemovedEvent
Kind = notifications.Notification


@pytest.fixture
def client(server):
    """A client of the shared server."""
    with Client(server) as client:
        yield client


def publish(client, author: str, text: str, **more):
    """Publishes a post, and returns it."""
    return client.call("Publish", user_id=author, text=text, **more).post


def test_a_feed_hears_of_everything_that_happens_to_it(client, users):
    """Reposts, deletions, mutes and blocks; a stream that resumes from the start gets those that
    still hold.
    """
    alice, bob, carol = users
    client.follow(carol, bob)
    with client.watch(carol) as watch:
        start = watch.until("caught_up").cursor
        post = publish(client, alice, "hello")
        client.call("Repost", user_id=bob, post_id=post.post_id)
        (event,) = watch.events(1)
        assert event.reposted.item.post == post
        assert event.reposted.item.reposted_by_user_id == bob
        # Pushed items are the same for all watchers, so they have no counts.
        assert not event.reposted.item.HasField("counts")

        client.call("Unrepost", user_id=bob, post_id=post.post_id)
        (event,) = watch.events(1)
        assert (event.unreposted.post_id, event.unreposted.user_id) == (post.post_id, bob)

        own = publish(client, bob, "soon gone")
        assert watch.posts(1) == [own]
        client.call("DeletePost", user_id=bob, post_id=own.post_id)
        (event,) = watch.events(1)
        assert event.deleted.post_id == own.post_id

        client.call("Mute", user_id=carol, muted_id=bob)
        client.call("Unmute", user_id=carol, muted_id=bob)
        muted, added = watch.events(2)
        assert muted.author_removed == Removed(author_id=bob, reason=v1.REMOVED_REASON_MUTE)
        assert added.author_added.author_id == bob

        client.call("Block", user_id=bob, blocked_id=carol)
        (event,) = watch.events(1)
        assert event.author_removed == Removed(author_id=bob, reason=v1.REMOVED_REASON_BLOCK)
        after = watch.cursor

    with client.watch(carol, after_cursor=start) as watch:
        watch.until("caught_up")
        events = watch.rest()
        assert not any(event.HasField("posted") for event in events)
        assert events[-1].author_removed.reason == v1.REMOVED_REASON_BLOCK
    with client.watch(carol, after_cursor=after) as watch:
        watch.until("caught_up")
        assert watch.rest() == []


def test_replies_follow_the_same_rule_in_pages_and_streams(client, users):
    """Only replies to followed users, unless all are requested."""
    alice, bob, carol = users
    client.follow(carol, bob)
    post = publish(client, alice, "hello")
    with client.watch(carol) as few, client.watch(carol, include_all_replies=True) as all_of_them:
        few.until("caught_up"), all_of_them.until("caught_up")
        reply = publish(client, bob, "to a stranger", reply_to_post_id=post.post_id)
        plain = publish(client, bob, "to everybody")
        assert few.posts(1) == [plain]
        assert all_of_them.posts(2) == [reply, plain]
    assert [item.post for item in client.feed(carol)] == [plain]
    assert [item.post for item in client.feed(carol, include_all_replies=True)] == [plain, reply]


def test_a_list_is_paged_without_gap_or_repeat(client, users):
    """Pages of any size give the same listing, however it changes meanwhile."""
    alice, *_ = users
    followers = [f"{alice}-{number}" for number in range(7)]
    for follower in followers:
        client.follow(follower, alice)
    for page_size in (1, 3, 100):
        listed, token = [], ""
        while True:
            page = client.call(
                "ListFollowers",
                user_id=alice,
                of_user_id=alice,
                page_size=page_size,
                page_token=token,
            )
            listed += [user.user_id for user in page.users]
            token = page.next_page_token
            client.follow(f"late-{alice}-{page_size}", alice)
            if not token:
                break
        late = [user for user in listed if user.startswith("late")]
        assert [user for user in listed if user not in late] == followers[::-1]
    profile = client.call("GetProfile", user_id=alice, of_user_id=alice).profile
    assert profile.follower_count == len(followers) + 3


def test_notifications_are_resumed(client, users):
    """From the cursor of the last message processed: nothing missing, nothing twice."""
    alice, bob, carol = users
    post = publish(client, alice, "hello")
    with client.watch_notifications(alice) as watch:
        cursor = watch.until("caught_up").cursor
    kinds = []
    for user, kind in ((bob, Kind.KIND_REPLY), (carol, Kind.KIND_QUOTE)):
        field = "reply_to_post_id" if kind == Kind.KIND_REPLY else "quote_post_id"
        publish(client, user, "well", **{field: post.post_id})
        with client.watch_notifications(alice, after_cursor=cursor) as watch:
            (event,) = watch.events(1)
            cursor = watch.cursor
        assert event.notified.notification.subject_post_id == post.post_id
        kinds.append(event.notified.notification.kind)
    assert kinds == [Kind.KIND_REPLY, Kind.KIND_QUOTE]

    client.call("Mute", user_id=alice, muted_id=bob)
    with client.watch_notifications(alice, after_cursor=cursor) as watch:
        (event,) = watch.events(1)
    removed = event.actor_removed
    assert (removed.actor_id, removed.reason) == (bob, v1.REMOVED_REASON_MUTE)
    listed = client.call("ListNotifications", user_id=alice)
    assert [it.actor_id for it in listed.notifications] == [carol]

    seen = client.call("MarkNotificationsSeen", user_id=alice, until_cursor=listed.cursor)
    again = client.call("MarkNotificationsSeen", user_id=alice, until_cursor=listed.cursor)
    assert seen.changed and not again.changed
    assert client.call("ListNotifications", user_id=alice).unseen_count == 0


def test_a_chain_stays_the_same(client, users):
    """The chain of a revision, whatever comes after it."""
    alice, _, _ = users
    post = publish(client, alice, "hello")
    chain = client.call("GetChain", revision=post.revision)
    client.call("DeletePost", user_id=alice, post_id=post.post_id)
    assert client.call("GetChain", revision=post.revision) == chain
    assert client.call("GetChain").revision > chain.revision


def test_a_thread_has_its_gaps(client, users):
    """A post that one reader cannot see is a gap for that reader only."""
    alice, bob, carol = users
    root = publish(client, alice, "root")
    middle = publish(client, bob, "middle", reply_to_post_id=root.post_id)
    leaf = publish(client, alice, "leaf", reply_to_post_id=middle.post_id)
    client.call("Block", user_id=carol, blocked_id=bob)

    def shown(user):
        thread = client.call("GetThread", user_id=user, post_id=leaf.post_id)
        return [entry.WhichOneof("shown") for entry in (*thread.ancestors, thread.post)]

    assert shown(alice) == ["view", "view", "view"]
    assert shown(carol) == ["view", "gap", "view"]
    thread = client.call("GetThread", user_id=carol, post_id=root.post_id)
    assert [entry.depth for entry in thread.replies] == [1, 2]
    assert thread.replies[0].gap == posts.ThreadPost.GAP_REASON_HIDDEN
