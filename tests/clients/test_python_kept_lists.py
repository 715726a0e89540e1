"""Clients that keep a list: pages, then a stream applied by the rules of the protos."""

from client import Client
from kept_list import KeptFeed, KeptNotifications


def publish(client, author: str, text: str, **more):
    """Publishes a post, and returns it."""
    return client.call("Publish", user_id=author, text=text, **more).post


def test_a_kept_feed_is_the_feed(server, users):
    """All changes that remove entries or bring them back, as both sides see them."""
    viewer, bob, dave = users
    with Client(server) as client:
        client.follow(viewer, bob)
        client.follow(viewer, dave)
        stranger = f"{viewer}-stranger"
        post = publish(client, stranger, "the post")
        own = publish(client, dave, "of dave's")
        publish(client, bob, "to dave", reply_to_post_id=own.post_id)
        kept = KeptFeed(client, viewer, page_size=50)
        steps = [
            lambda: client.call("Repost", user_id=bob, post_id=post.post_id),
            lambda: client.call("Repost", user_id=dave, post_id=post.post_id),
            lambda: client.call("Unrepost", user_id=bob, post_id=post.post_id),
            lambda: client.call("Repost", user_id=bob, post_id=own.post_id),
            lambda: client.call("Mute", user_id=viewer, muted_id=stranger),
            lambda: client.call("Unmute", user_id=viewer, muted_id=stranger),
            lambda: client.call("Block", user_id=stranger, blocked_id=viewer),
            lambda: client.call("Unblock", user_id=stranger, blocked_id=viewer),
            lambda: client.unfollow(viewer, dave),
            lambda: client.follow(viewer, dave),
            lambda: client.call("DeletePost", user_id=dave, post_id=own.post_id),
        ]
        counts = []
        with client.watch(viewer, after_cursor=kept.cursor) as watch:
            watch.until("caught_up")
            for step in steps:
                step()
                # A change that changes nothing in this feed has an event all the same, or none; a
                # post of the viewer marks that all before it has come.
                mark = publish(client, viewer, "so far")
                while mark.revision not in kept.items:
                    (event,) = watch.events(1)
                    kept.apply(event)
                assert kept.shown() == kept.expected()
                client.call("DeletePost", user_id=viewer, post_id=mark.post_id)
                counts.append(len(kept.items) - 1)
        assert counts == [3, 3, 3, 3, 2, 3, 2, 3, 1, 3, 2]


def test_kept_notifications_are_the_notifications(server, users):
    """An open list follows what is taken back, deleted, hidden and shown again."""
    viewer, bob, carol = users
    with Client(server) as client:
        post = publish(client, viewer, "hello")
        kept = KeptNotifications(client, viewer)
        reply = None

        def answer():
            nonlocal reply
            reply = publish(client, bob, "well", reply_to_post_id=post.post_id)

        steps = [
            (lambda: client.follow(bob, viewer), 1),
            (lambda: client.call("Like", user_id=bob, post_id=post.post_id), 2),
            (lambda: client.call("Repost", user_id=carol, post_id=post.post_id), 3),
            (answer, 4),
            (lambda: client.call("Unlike", user_id=bob, post_id=post.post_id), 3),
            (lambda: client.call("Mute", user_id=viewer, muted_id=bob), 1),
            (lambda: client.call("Unmute", user_id=viewer, muted_id=bob), 3),
            (lambda: client.call("DeletePost", user_id=bob, post_id=reply.post_id), 2),
            (lambda: client.unfollow(bob, viewer), 1),
            (lambda: client.call("Unrepost", user_id=carol, post_id=post.post_id), 0),
            (lambda: client.call("Repost", user_id=carol, post_id=post.post_id), 1),
            (lambda: client.call("DeletePost", user_id=viewer, post_id=post.post_id), 0),
        ]
        with client.watch_notifications(viewer, after_cursor=kept.cursor) as watch:
            watch.until("caught_up")
            for number, (step, count) in enumerate(steps):
                step()
                (event,) = watch.events(1)
                kept.apply(event)
                assert kept.items == kept.expected(), f"step {number}"
                assert len(kept.items) == count, f"step {number}"
