"""Lists that a client keeps up to date by the rules of the protos only."""


class KeptFeed:
    """The entries of a home feed, by their revision, down to the end of the pages."""

    def __init__(self, client, user: str, page_size: int):
        self._client, self._user = client, user
        page = client.call("NewsFeed", user_id=user, page_size=page_size)
        self.cursor = page.cursor
        self.items = {item.revision: item for item in page.items}
        self._floor = page.items[-1].revision if page.next_page_token else 0

    def apply(self, event):
        """Takes in one event of WatchFeed."""
        kind = event.WhichOneof("change")
        content = getattr(event, kind)
        if kind in ("posted", "reposted"):
            self._put(content.item)
        elif kind == "unreposted":
            gone = (content.post_id, content.user_id)
            self._drop(lambda item: (item.post.post_id, item.reposted_by_user_id) == gone)
            if content.HasField("stand_in"):
                self._put(content.stand_in)
        elif kind == "deleted":
            self._drop(lambda item: item.post.post_id == content.post_id)
        elif kind == "author_removed":
            by = content.author_id
            self._drop(lambda item: by == (item.reposted_by_user_id or item.post.author_id))
        if event.page_again_revision:
            self._page_again(event.page_again_revision)

    def shown(self) -> list[tuple[int, str, str]]:
        """Its items, newest first: revision, post, and reposter."""
        return [shown(item) for _, item in sorted(self.items.items(), reverse=True)]

    def expected(self) -> list[tuple[int, str, str]]:
        """The items of NewsFeed now."""
        items = self._client.feed(self._user)
        return [shown(item) for item in items if item.revision >= self._floor]

    def _put(self, item):
        if item.revision >= self._floor:
            self.items[item.revision] = item

    def _drop(self, is_gone):
        self.items = {revision: item for revision, item in self.items.items() if not is_gone(item)}

    def _page_again(self, revision: int):
        self._drop(lambda item: item.revision <= revision)
        for item in self._client.feed(self._user):
            if item.revision <= revision:
                self._put(item)


class KeptNotifications:
    """A user's notifications, by their revision."""

    def __init__(self, client, user: str):
        self._client, self._user = client, user
        page = client.call("ListNotifications", user_id=user, page_size=100)
        assert not page.next_page_token, "all of them are on one page"
        self.cursor = page.cursor
        self.items = {item.revision: item for item in page.notifications}

    def apply(self, event):
        """Takes in one event of WatchNotifications."""
        kind = event.WhichOneof("change")
        content = getattr(event, kind)
        if kind == "notified":
            self.items[content.notification.revision] = content.notification
        elif kind == "withdrawn":
            self.items.pop(content.notification_revision, None)
        elif kind == "deleted":
            gone = content.post_id
            self._drop(lambda item: gone in (item.subject_post_id, item.post.post_id))
        elif kind == "actor_removed":
            self._drop(lambda item: item.actor_id == content.actor_id)
        if revision := event.page_again_revision:
            self._drop(lambda item: item.revision <= revision)
            page = self._client.call("ListNotifications", user_id=self._user, page_size=100)
            self.items |= {it.revision: it for it in page.notifications if it.revision <= revision}

    def expected(self) -> dict:
        """The notifications of ListNotifications now."""
        page = self._client.call("ListNotifications", user_id=self._user, page_size=100)
        return {item.revision: item for item in page.notifications}

    def _drop(self, is_gone):
        self.items = {revision: item for revision, item in self.items.items() if not is_gone(item)}


def shown(item) -> tuple[int, str, str]:
    """The revision of an entry, its post, and its reposter."""
    return item.revision, item.post.post_id, item.reposted_by_user_id
