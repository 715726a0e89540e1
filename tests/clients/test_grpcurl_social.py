"""grpcurl on the social surface: posts, users and notifications in a shell."""

import re

import grpcurl

# grpcurl ends with 64 and the status code.
INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, FAILED_PRECONDITION = 64 + 3, 64 + 5, 64 + 7, 64 + 9

POST, GRAPH, NOTIFICATION = (
    f"whimbrel.v1.{name}Service" for name in ("Post", "Graph", "Notification")
)


def publish(server, author: str, text: str, **more) -> dict:
    """Publishes a post, and returns it."""
    return grpcurl.call(server, "Publish", userId=author, text=text, **more)["post"]


def test_a_thread_in_a_shell(server, users):
    """A reply names its parent; a deleted post leaves a gap with the reason."""
    alice, bob, carol = users
    root = publish(server, alice, "root", langs=["en"])
    picture = {"uri": "https://example.org/a.png", "mediaType": "image/png", "alt": "A wader"}
    reply = publish(server, bob, "", replyToPostId=root["postId"], attachments=[picture])
    assert reply["attachments"] == [picture]
    assert reply["replyTo"] == {
        "postId": root["postId"],
        "authorId": alice,
        "rootPostId": root["postId"],
        "rootAuthorId": alice,
    }
    below = publish(server, carol, "below", replyToPostId=reply["postId"])

    ask = {"userId": carol, "postId": root["postId"]}
    thread = grpcurl.call(server, f"{POST}/GetThread", **ask)
    assert thread["post"]["view"]["post"] == root
    assert thread["post"]["view"]["counts"] == {"replyCount": "1"}
    shown = [(entry["depth"], entry["view"]["post"]) for entry in thread["replies"]]
    assert shown == [(1, reply), (2, below)]

    delete = {"userId": bob, "postId": reply["postId"]}
    refused = grpcurl.attempt(server, f"{POST}/DeletePost", **delete | {"userId": alice})
    assert refused.returncode == PERMISSION_DENIED and '"NOT_THE_AUTHOR"' in refused.stderr
    deleted = grpcurl.call(server, f"{POST}/DeletePost", **delete)
    assert set(deleted) == {"changed", "revision", "cursor"}
    again = grpcurl.call(server, f"{POST}/DeletePost", "-emit-defaults", **delete)
    assert again["changed"] is False and again["revision"] == deleted["revision"]
    gap, left = grpcurl.call(server, f"{POST}/GetThread", **ask)["replies"]
    assert gap["gap"] == "GAP_REASON_DELETED" and "view" not in gap
    assert left["view"]["post"] == below
    refused = grpcurl.attempt(server, f"{POST}/Like", **ask | {"postId": reply["postId"]})
    assert refused.returncode == NOT_FOUND and '"POST_NOT_FOUND"' in refused.stderr


def test_likes_and_reposts_are_counted_and_listed(server, users):
    """Each count is the length of a list, and the viewer state has the reader's own part."""
    alice, bob, carol = users
    post = publish(server, alice, "hello")["postId"]
    grpcurl.call(server, "Follow", userId=carol, followeeId=bob)
    for user in (bob, carol):
        assert grpcurl.call(server, f"{POST}/Like", userId=user, postId=post)["changed"] is True
    reposted = grpcurl.call(server, f"{POST}/Repost", userId=bob, postId=post)
    quote = publish(server, bob, "see", quotePostId=post)

    unknown = re.sub(r"^p\d+", "p999999", post)
    ask = {"userId": bob, "postIds": [post, unknown]}
    (view,) = grpcurl.call(server, f"{POST}/GetPosts", **ask)["posts"]
    assert view["counts"] == {"likeCount": "2", "repostCount": "1", "quoteCount": "1"}
    assert view["viewer"] == {"liked": True, "reposted": True}
    likes = grpcurl.call(server, f"{POST}/ListLikes", userId=bob, postId=post, pageSize=1)
    assert [user["userId"] for user in likes["users"]] == [carol]
    ask = {"userId": bob, "postId": post, "pageToken": likes["nextPageToken"]}
    likes = grpcurl.call(server, f"{POST}/ListLikes", **ask)
    assert [user["userId"] for user in likes["users"]] == [bob]
    quotes = grpcurl.call(server, f"{POST}/ListQuotes", userId=bob, postId=post)["posts"]
    assert [view["post"] for view in quotes] == [quote]

    feed = grpcurl.call(server, "NewsFeed", userId=carol)["items"]
    assert [item["post"]["postId"] for item in feed] == [quote["postId"], post]
    assert feed[1]["repostedByUserId"] == bob and feed[1]["revision"] == reposted["revision"]


def test_a_block_in_a_shell(server, users):
    """Neither sees the other; a refusal has the reason, but not who blocks."""
    alice, bob, _ = users
    grpcurl.call(server, "Follow", userId=bob, followeeId=alice)
    post = publish(server, alice, "hello")["postId"]
    block = grpcurl.call(server, f"{GRAPH}/Block", userId=alice, blockedId=bob)
    assert set(block) == {"changed", "revision", "cursor"}

    between = grpcurl.call(server, f"{GRAPH}/GetRelationships", userId=bob, otherIds=[alice])
    assert between["relationships"] == [{"userId": alice, "blockedBy": True}]
    assert "items" not in grpcurl.call(server, "NewsFeed", userId=bob)
    assert "posts" not in grpcurl.call(server, f"{POST}/GetPosts", userId=bob, postIds=[post])
    refused = grpcurl.attempt(server, f"{POST}/Like", userId=bob, postId=post)
    assert refused.returncode == FAILED_PRECONDITION and '"BLOCKED"' in refused.stderr
    profile = grpcurl.call(server, f"{GRAPH}/GetProfile", userId=alice, ofUserId=alice)["profile"]
    assert profile == {"userId": alice, "postCount": "1"}
    blocks = grpcurl.call(server, f"{GRAPH}/ListBlocks", userId=alice)["users"]
    assert blocks == [{"userId": bob, "revision": block["revision"]}]

    assert grpcurl.call(server, f"{GRAPH}/Unblock", userId=alice, blockedId=bob)["changed"] is True
    assert "items" not in grpcurl.call(server, "NewsFeed", userId=bob)


def test_notifications_in_a_shell(server, users):
    """Notifications, the number of unseen ones, and live the later ones."""
    alice, bob, _ = users
    post = publish(server, alice, "hello")["postId"]
    like = grpcurl.call(server, f"{POST}/Like", userId=bob, postId=post)
    listed = grpcurl.call(server, f"{NOTIFICATION}/ListNotifications", userId=alice)
    (notification,) = listed["notifications"]
    del notification["createTime"]
    assert notification == {
        "revision": like["revision"],
        "kind": "KIND_LIKE",
        "actorId": bob,
        "subjectPostId": post,
    }
    assert listed["unseenCount"] == 1

    watch = {"userId": alice, "afterCursor": listed["cursor"]}
    with grpcurl.Stream(server, f"{NOTIFICATION}/WatchNotifications", **watch) as stream:
        stream.until("caughtUp")
        mention = publish(server, bob, f"well, @{alice}?")
        (event,) = stream.next()["batch"]["events"]
        assert event["notified"]["notification"]["kind"] == "KIND_MENTION"
        assert event["notified"]["notification"]["post"] == mention
        seen = {"userId": alice, "untilCursor": listed["cursor"]}
        grpcurl.call(server, f"{NOTIFICATION}/MarkNotificationsSeen", **seen)
        (event,) = stream.next()["batch"]["events"]
        assert int(event["seen"]["untilRevision"]) >= int(like["revision"])
    listed = grpcurl.call(server, f"{NOTIFICATION}/ListNotifications", userId=alice)
    assert listed["unseenCount"] == 1 and len(listed["notifications"]) == 2


def test_facets_in_a_shell(server, users):
    """Facets of a text, as detected and as given; with ids of identity providers."""
    alice, bob, _ = users
    provided = f"auth0|{bob}"
    for user in (bob, provided):
        publish(server, user, "here I am")
    text = f"cc:@{bob} #birds https://example.org/a."
    name, tag, link = f"@{bob}", "#birds", "https://example.org/a"

    def facet(part: str, **feature) -> dict:
        start = text.index(part)
        return {"byteStart": start, "byteEnd": start + len(part), **feature}

    found = publish(server, alice, text)
    assert found["facets"] == [
        facet(name, mention={"userId": bob}),
        facet(tag, tag={"tag": "birds"}),
        facet(link, link={"uri": link}),
    ]
    meant = [facet(name, mention={"userId": provided})]
    assert publish(server, alice, text, facets=meant)["facets"] == meant
    assert "facets" not in publish(server, alice, text, plainText=True)
    for user in (bob, provided):
        listed = grpcurl.call(server, f"{NOTIFICATION}/ListNotifications", userId=user)
        (notification,) = listed["notifications"]
        assert notification["kind"] == "KIND_MENTION" and notification["actorId"] == alice

    bad = [facet(tag, tag={"tag": "birds"}), facet(name, mention={"userId": bob})]
    refused = grpcurl.attempt(server, "Publish", userId=alice, text=text, facets=bad)
    assert refused.returncode == INVALID_ARGUMENT
    assert "facets[1].byte_start must not be before the end" in refused.stderr
