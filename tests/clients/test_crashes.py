"""The real server, killed, or with its disk cut off, in the middle of publishing and erasing.

What was answered for is there afterwards: in its order, with its text, and deleted if it was deleted. It
never looks at how the server stores anything.
"""

import fcntl
import itertools
import json
import os
import random
import subprocess
import threading
import time
from pathlib import Path

import grpc
import pytest
from client import Client
from generated import posts, v1
from program import run
from server import WAIT_S, Server

ROUNDS = 6
WRITERS = 16
# Every such post of a writer is deleted, so that the server always has something to erase.
DELETED_OF = 4
# How long the writers write before the server is lost.
WRITING_S = (0.2, 1.2)
# GetPosts takes no more.
PAGE_POSTS = 100
# Erases every second, which a restarted server goes on with.
ERASING = ("--compact-every", "1", "--disk-free-min", "1")
# linux/ext4.h: _IOR('X', 125, __u32), and whether the journal is written before.
EXT4_IOC_SHUTDOWN = 0x8004587D
JOURNAL = {"flushed": 1, "lost": 2}
DISK_BYTES = 512 << 20
# What an answer that never came looks like.
NO_ANSWER = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN)


class Written:
    """What was answered for, over all lives of a server."""

    def __init__(self):
        self.numbers = itertools.count()
        self.lock = threading.Lock()
        # Post id → revision and text.
        self.posts = {}
        self.deleted = set()
        # Their deletion was asked for, and not answered.
        self.undecided = set()

    def write(self, server: Server) -> list[threading.Thread]:
        """Starts threads that publish and delete until the server is gone."""
        threads = [threading.Thread(target=self._write, args=[server]) for _ in range(WRITERS)]
        for thread in threads:
            thread.start()
        return threads

    def _write(self, server: Server):
        with Client(server) as client:
            publish, delete = client.stub.Publish, client.service("DeletePost")[0].DeletePost
            try:
                while True:
                    with self.lock:
                        text = f"post {next(self.numbers)}"
                    request = v1.PublishRequest(user_id="alice", text=text)
                    post = publish(request, timeout=WAIT_S).post
                    with self.lock:
                        self.posts[post.post_id] = (post.revision, text)
                    if post.revision % DELETED_OF == 0:
                        with self.lock:
                            self.undecided.add(post.post_id)
                        request = posts.DeletePostRequest(user_id="alice", post_id=post.post_id)
                        delete(request, timeout=WAIT_S)
                        with self.lock:
                            self.undecided.remove(post.post_id)
                            self.deleted.add(post.post_id)
            except grpc.RpcError as error:
                assert error.code() in NO_ANSWER, error

    def check(self, server: Server):
        """The server has exactly what it answered for."""
        with Client(server) as client:
            kept = [post_id for post_id in self.posts if post_id not in self.undecided]
            there = {}
            for start in range(0, len(kept), PAGE_POSTS):
                page = kept[start : start + PAGE_POSTS]
                views = client.call("GetPosts", user_id="bob", post_ids=page).posts
                there |= {
                    view.post.post_id: (view.post.revision, view.post.text) for view in views
                }
            assert there == {
                post_id: self.posts[post_id] for post_id in kept if post_id not in self.deleted
            }


def verified(data: Path, written: Written):
    """The log has no damage, by the tool that reads all of it, and posts in it were erased."""
    verify = run("--json", "check", "--data", str(data))
    assert verify.returncode == 0, verify.stdout + verify.stderr
    report = json.loads(verify.stdout.splitlines()[-1])["checked"]
    assert int(report["revision"]) >= max(revision for revision, _ in written.posts.values())
    assert int(report["erasedUntil"]) > 0 and written.deleted


def lose(server: Server, written: Written, how):
    """Loses the server by `how` while it is written to."""
    writing = written.write(server)
    time.sleep(random.uniform(*WRITING_S))
    how()
    for thread in writing:
        thread.join(WAIT_S)
        assert not thread.is_alive(), "a call is never answered"


def test_a_server_that_is_killed_keeps_what_it_answered_for(tmp_path):
    """kill -9, again and again on one folder."""
    written = Written()
    server = Server(tmp_path, *ERASING)
    try:
        for _ in range(ROUNDS):
            lose(server, written, server.kill)
            server.start()
            written.check(server)
    finally:
        server.stop()
    verified(tmp_path / "data", written)


@pytest.fixture(params=JOURNAL.values(), ids=JOURNAL.keys())
def disk(tmp_path, request):
    """A file system of its own, which can be cut off."""
    image, folder = tmp_path / "disk.img", tmp_path / "disk"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)

    def tool(*command) -> bool:
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            return False

    mount = ("mount", "-o", "loop", image, folder)
    if not (os.geteuid() == 0 and tool("mkfs.ext4", "-q", image) and tool(*mount)):
        pytest.skip("needs root, mkfs.ext4 and loop mounts")

    def cut():
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            flags = request.param.to_bytes(4, "little")
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, flags)
        finally:
            os.close(descriptor)

    def repair():
        assert tool("umount", folder), "something still uses the disk"
        assert tool(*mount), "the disk cannot be mounted again"

    yield folder, cut, repair
    tool("umount", folder)


def test_a_server_whose_disk_is_cut_off_ends_and_keeps_what_it_answered_for(disk, tmp_path):
    """Every write fails from one moment on, and what was not flushed is lost."""
    folder, cut, repair = disk
    written = Written()
    server = Server(folder, *ERASING, log=tmp_path / "log")
    try:
        for _ in range(ROUNDS):
            lose(server, written, cut)
            assert server.wait() != 0, "it says nothing of the lost disk"
            repair()
            server.start()
            written.check(server)
    finally:
        server.stop()
    verified(folder / "data", written)
