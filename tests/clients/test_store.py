"""Three nodes on one log in a PostgreSQL with standbys: nothing acknowledged is lost, and nothing is there twice."""

import itertools
import threading
import time

import grpc
import pytest
from client import Client
from generated import v1
from postgres import cluster, needs_postgresql  # noqa: F401
from server import WAIT_S

pytestmark = needs_postgresql
NODES = 3
CALL_S = 20


class Publisher(threading.Thread):
    """Publishes as one user, at one node after the other, each post until it is acknowledged."""

    def __init__(self, name, nodes):
        super().__init__(daemon=True)
        self.user, self.nodes = name, nodes
        self.acknowledged, self.cursors = [], []
        self.stopping = threading.Event()

    def run(self):
        number = 0
        while not self.stopping.is_set():
            text = f"{self.user} {number}"
            for attempt in itertools.count():
                if self.stopping.is_set():
                    return
                node = self.nodes[(number + attempt) % len(self.nodes)]
                try:
                    request = v1.PublishRequest(user_id=self.user, text=text, request_id=text)
                    answer = node.stub.Publish(request, timeout=CALL_S)
                    self.acknowledged.append((answer.post.post_id, text))
                    self.cursors.append(answer.cursor)
                    break
                except grpc.RpcError:
                    self.stopping.wait(0.05)
            number += 1

    def stop(self):
        self.stopping.set()
        self.join()


def feed(node, user, at_least):
    """All posts of a user, oldest first, up to a cursor or a later one."""
    posts, token = [], ""
    while True:
        request = v1.NewsFeedRequest(user_id=user, page_size=100, page_token=token, at_least_cursor=at_least)
        page = node.stub.NewsFeed(request, timeout=CALL_S)
        posts += [(item.post.post_id, item.post.text) for item in page.items]
        token = page.next_page_token
        if not token:
            return posts[::-1]


def more(publishers, count):
    """Waits until so many more posts are acknowledged."""
    acknowledged = lambda: sum(len(publisher.acknowledged) for publisher in publishers)  # noqa: E731
    wanted, give_up_at = acknowledged() + count, time.monotonic() + WAIT_S
    while acknowledged() < wanted:
        assert time.monotonic() < give_up_at, "nothing is acknowledged any more"
        time.sleep(0.05)


def test_the_primary_is_lost(own_server, cluster):  # noqa: F811
    """Three times, each with all that it had not sent, while nine users publish at three nodes; and a node is lost, too."""
    servers = [own_server("--store", cluster.address) for _ in range(NODES)]
    nodes = [Client(server) for server in servers]
    publishers = [Publisher(f"user-{number}", nodes) for number in range(9)]
    for publisher in publishers:
        publisher.start()
    for lost in range(3):
        more(publishers, 100)
        if lost == 1:
            servers[1].kill()
        cluster.fail_over()
        more(publishers, 100)
        cluster.replace_lost()
        if lost == 1:
            servers[1].start()
    more(publishers, 100)
    for publisher in publishers:
        publisher.stop()
    for publisher in publishers:
        newest, give_up_at = publisher.cursors[-1], time.monotonic() + WAIT_S
        while True:
            feeds = [feed(node, publisher.user, newest) for node in nodes]
            if feeds[0] == feeds[1] == feeds[2]:
                break
            # A call that its client has given up may still be under way.
            assert time.monotonic() < give_up_at, "nodes show different feeds"
            time.sleep(0.1)
        assert set(publisher.acknowledged) <= set(feeds[0]), "an acknowledged post is lost"
        texts = [text for _, text in feeds[0]]
        assert len(set(texts)) == len(texts), "a post is there twice"
        assert texts == sorted(texts, key=lambda text: int(text.split()[1])), "in another order than they were published"


def test_a_commit_that_no_standby_has_is_not_shown(own_server, cluster):  # noqa: F811
    """A primary that was killed and started again shows it, and a fail-over takes it away: no node has shown it by then, and
    all go on."""
    servers = [own_server("--store", cluster.address) for _ in range(NODES)]
    nodes = [Client(server) for server in servers]
    nodes[0].stub.Publish(v1.PublishRequest(user_id="bob", text="before"), timeout=CALL_S)
    lost, standbys = cluster.primary, [machine for machine in cluster.machines if machine is not cluster.primary]
    count = "SELECT count(*) FROM whimbrel.log"
    had = int(lost.sql(count))
    lost.hold_back()
    waits = nodes[0].stub.Publish.future(v1.PublishRequest(user_id="bob", text="ghost", request_id="1"), timeout=CALL_S)
    give_up_at = time.monotonic() + WAIT_S
    # It is written, and waits for a standby.
    while waiting(lost) == 0:
        assert time.monotonic() < give_up_at, "no append waits"
        time.sleep(0.02)
    for standby in standbys:
        standby.freeze()
    lost.kill()
    lost.start()
    assert int(lost.sql(count)) == had + 1, "it shows what no standby has"
    # Every node has found it again, and waits for a standby.
    while waiting(lost) < NODES:
        assert time.monotonic() < give_up_at, "the nodes do not come back"
        time.sleep(0.02)
    for node in nodes:
        assert shown(node) == ["before"]
    lost.kill()
    for standby in standbys:
        standby.thaw()
        assert int(standby.sql(count)) == had, "no successor has it"
    cluster.promote_one()
    # The call is answered now, or its time ran out: its client tries again.
    ghost = v1.PublishRequest(user_id="bob", text="ghost", request_id="1")
    published = insist(nodes[1], ghost)
    assert waits.exception() is not None or waits.result().post == published.post
    after = insist(nodes[2], v1.PublishRequest(user_id="bob", text="after", request_id="2"))
    for node in nodes:
        assert [text for _, text in feed(node, "bob", after.cursor)] == ["before", "ghost", "after"]


def test_the_node_that_decides_hangs(own_server, cluster):  # noqa: F811
    """It stands still, and goes on later; and is killed. Posts that others forwarded to it meanwhile are there once; a change
    without a request id has no answer, or is made."""
    servers = [own_server("--store", cluster.address) for _ in range(NODES)]
    nodes = [Client(server) for server in servers]
    for node in nodes:
        deciding(node, servers[0])
    publishers = [Publisher(f"user-{number}", nodes[1:]) for number in range(6)]
    for publisher in publishers:
        publisher.start()
    more(publishers, 100)
    servers[0].freeze()
    try:
        # Sent to it, and never answered: nobody knows whether it is made.
        with pytest.raises(grpc.RpcError) as refused:
            while True:
                nodes[1].stub.Follow(v1.FollowRequest(user_id="alice", followee_id="user-1"), timeout=CALL_S)
                nodes[1].stub.Unfollow(v1.UnfollowRequest(user_id="alice", followee_id="user-1"), timeout=CALL_S)
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        assert "may or may not" in refused.value.details()
        deciding(nodes[1], servers[1])
        more(publishers, 100)
    finally:
        servers[0].thaw()
    for node in nodes:
        deciding(node, servers[0])
    more(publishers, 100)
    servers[0].kill()
    more(publishers, 300)
    servers[0].start()
    for publisher in publishers:
        publisher.stop()
    for publisher in publishers:
        shown = feed(nodes[2], publisher.user, publisher.cursors[-1])
        assert set(publisher.acknowledged) <= set(shown), "an acknowledged post is lost"
        texts = [text for _, text in shown]
        assert len(set(texts)) == len(texts), "a post is there twice"


def deciding(node, server):
    """Waits until a node knows that changes are decided at `server`."""
    give_up_at = time.monotonic() + WAIT_S
    while True:
        nodes = node.call("GetCluster").nodes
        if [it.address for it in nodes if it.decides] == [f"http://{server.address}"]:
            return
        assert time.monotonic() < give_up_at, f"it is never known: {nodes}"
        time.sleep(0.05)


def test_settings_that_keep_nothing_stop_changes_only(own_server, cluster):  # noqa: F811
    """A PostgreSQL that is left without a standby: reads go on, changes wait until it has one again, on connections that are there
    and on new ones."""
    node = Client(own_server("--store", cluster.address))
    insist(node, v1.PublishRequest(user_id="bob", text="before"))
    for setting in ["''", "'ANY 1 (one, two, three)'"]:
        cluster.primary.sql(f"ALTER SYSTEM SET synchronous_standby_names = {setting}")
        cluster.primary.sql("SELECT pg_reload_conf()")
        if setting == "''":
            with pytest.raises(grpc.RpcError):
                node.stub.Publish(v1.PublishRequest(user_id="bob", text="meanwhile", request_id="1"), timeout=3)
            cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'whimbrel'"
            assert int(cluster.primary.sql(cut)) > 0
            with pytest.raises(grpc.RpcError):
                node.stub.Publish(v1.PublishRequest(user_id="bob", text="meanwhile", request_id="1"), timeout=3)
            assert shown(node) == ["before"]
    insist(node, v1.PublishRequest(user_id="bob", text="meanwhile", request_id="1"))
    assert shown(node) == ["meanwhile", "before"]


def insist(node, request):
    """Publishes, by the same request as often as needed."""
    give_up_at = time.monotonic() + WAIT_S
    while True:
        try:
            return node.stub.Publish(request, timeout=CALL_S)
        except grpc.RpcError:
            assert time.monotonic() < give_up_at, "it is never acknowledged"
            time.sleep(0.05)


def waiting(machine):
    """How many statements of nodes wait for a standby, or for another one that does."""
    events = "('SyncRep', 'transactionid', 'tuple')"
    return int(machine.sql(f"SELECT count(*) FROM pg_stat_activity WHERE application_name = 'whimbrel' AND wait_event IN {events}"))


def shown(node):
    page = node.stub.NewsFeed(v1.NewsFeedRequest(user_id="bob"), timeout=CALL_S)
    return [item.post.text for item in page.items]
