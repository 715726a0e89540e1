#!/usr/bin/env python3
"""Makes a fixture: a data folder of a given program, and what that program answered.

    tests/it/storage/versions/make.py PROGRAM NAME

PROGRAM is a built whimbrel of any version; NAME is the folder next to this script that gets the fixture, as
the README there says. Verbs that the program does not have are left out.
"""

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# The longest that anything here may take, in seconds.
PATIENCE = 60
# What a process that uses the folder leaves in it.
LEFT_OUT = {"lock", "index.busy", "api-keys.lock"}


class Program:
    """The program, and a folder of its data."""

    def __init__(self, program, data):
        self.program, self.data, self.process, self.address = program, data, None, None
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("WHIMBREL_")}
        self.environment["XDG_CONFIG_HOME"] = str(data.parent / "nobody")

    def has(self, verb, option=""):
        ran = self.raw([verb, "--help"])
        return ran.returncode == 0 and f"{verb} " in ran.stdout and option in ran.stdout

    def start(self, *arguments):
        command = [self.program, "serve", "--data", self.data, "--listen", "127.0.0.1:0", *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=self.environment
        )
        self.address = re.search(r"127\.0\.0\.1:\d+", self.process.stdout.readline()).group()

    def stop(self, how):
        self.process.send_signal(how)
        self.process.wait(PATIENCE)

    def raw(self, arguments):
        return subprocess.run(
            [self.program, *arguments], capture_output=True, text=True, env=self.environment, timeout=PATIENCE
        )

    def call(self, *arguments):
        """The lines that a call prints; None if it fails."""
        ran = self.raw(["--json", *arguments, "--addr", self.address])
        return None if ran.returncode else ran.stdout

    def change(self, *arguments):
        """Makes a change. Returns its response; None if the program cannot make it."""
        if not self.has(arguments[0]):
            return None
        # A user may make few changes in a second.
        for _ in range(PATIENCE):
            printed = self.call(*arguments)
            if printed is not None:
                return json.loads(printed)
            time.sleep(0.5)
        raise SystemExit(f"{arguments} failed")

    def publish(self, verb, *arguments):
        printed = self.change(verb, *arguments)
        return printed and find(printed, "postId")


def find(value, key):
    """The first value with this key, anywhere inside. Early programs write post_id for postId."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name.replace("_", "").lower() == key.lower():
                return inner
        value = list(value.values())
    if isinstance(value, list):
        return next((found for found in (find(part, key) for part in value) if found), None)
    return None


def wait_until(is_so, what):
    for _ in range(PATIENCE * 10):
        if is_so():
            return
        time.sleep(0.1)
    raise SystemExit(f"it never came to this: {what}")


def content(folder):
    """The bytes of the log."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return b"".join(path.read_bytes() for path in files if "log" in str(path.relative_to(folder)))


def make_history(program):
    """Every kind of change that the program knows. Returns the ids of the posts."""
    change, publish = program.change, program.publish
    change("follow", "alice", "bob")
    change("follow", "carol", "alice")
    hello = publish("publish", "bob", "hello @alice, see https://example.org #birds")
    first = publish("publish", "alice", "first post of alice")
    reply = publish("reply", "alice", hello, "a reply to bob") if hello else None
    quote = publish("quote", "bob", first, "quoting alice") if first else None
    change("like", "alice", hello)
    change("like", "carol", hello)
    change("repost", "alice", hello)
    secret = publish("publish", "bob", "a secret of bob for @carol")
    if program.has("delete"):
        change("delete", "bob", secret)
        if program.has("serve", "--compact-every"):
            wait_until(lambda: b"a secret of bob" not in content(program.data), "the secret is erased")
    change("block", "carol", "dave")
    change("mute", "alice", "erin")
    change("follow", "alice", "frank")
    change("unfollow", "alice", "frank")
    change("follow", "gina", "alice")
    change("block", "alice", "gina")
    change("unblock", "alice", "gina")
    change("mute", "alice", "harry")
    change("unmute", "alice", "harry")
    change("like", "alice", quote)
    change("unlike", "alice", quote)
    change("repost", "carol", first)
    change("unrepost", "carol", first)
    change("seen", "alice")
    attached = None
    if program.has("publish", "--attach"):
        attached = publish(
            "publish", "bob", "after the erasure", "--attach", "https://example.org/a.png image/png A wader",
            "--lang", "en", "--request-id", "request-1",
        )
    else:
        attached = publish("publish", "bob", "the last one", "--request-id", "request-1")
    # Deleted, and not erased: the interval of the next start is a day.
    return [hello, first, reply, quote, attached]


def answers(program, posts, early):
    """What the program answers: the arguments of calls, each with the lines that it printed."""
    hello, first, _, quote, attached = posts
    told = []

    def ask(*arguments):
        printed = program.call(*arguments) if program.has(arguments[0]) else None
        if printed is not None:
            told.append("> " + " ".join(arguments) + "\n" + printed)
        return printed

    cursor = None
    for user in ("alice", "bob", "carol"):
        cursor = find([json.loads(line) for line in ask("feed", user).splitlines()], "cursor")
    page = ask("feed", "alice", "--page-size", "2")
    token = find([json.loads(line) for line in page.splitlines()], "nextPageToken")
    if token:
        ask("feed", "alice", "--page-size", "2", "--page-token", token, "--at-least", cursor)
    ask("thread", "alice", hello)
    ask("posts", "alice", "bob")
    for verb in ("likes", "reposts", "replies"):
        ask(verb, "alice", hello)
    ask("quotes", "alice", first)
    for user in ("alice", "bob", "carol"):
        ask("notifications", user)
        ask("profile", "alice", user)
        ask("blocks", user)
        ask("mutes", user)
        ask("followers", "alice", user)
        ask("following", "alice", user)
    ask("relationships", "alice", "bob", "carol", "dave", "erin", "frank", "gina", "harry")
    ask("show", "alice", *[post for post in (hello, quote, attached) if post])
    ask("watch", "alice", "--after", early, "--limit", "4")
    ask("chain", "12")
    return "".join(told).encode()


def pack(folder, target):
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in LEFT_OUT:
            content = path.read_bytes()
            # Nothing but zeros is a segment that nothing was written to: a start makes it again.
            if any(content):
                save(target / f"{path.relative_to(folder)}.gz", content)


def save(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, 0) as out:
        out.write(content)


def main():
    program, name = sys.argv[1:]
    target = Path(__file__).parent / name
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        running = Program(program, data)
        # Changes come faster here than from people.
        often = [a for flag in ("--user-changes-max", "--address-changes-max")
                 if running.has("serve", flag) for a in (flag, "100000")]
        erasing = ["--compact-every", "1"] if running.has("serve", "--compact-every") else []
        running.start(*often, *erasing)
        posts = make_history(running)
        early = find([json.loads(line) for line in running.call("feed", "alice").splitlines()], "cursor")
        running.stop(signal.SIGTERM)

        # Ended in order, with a part that is not erased, and keys.
        running.start(*often)
        gone = running.publish("publish", "bob", "deleted, and not erased yet")
        running.change("follow", "alice", "ida")
        running.change("delete", "bob", gone)
        for number in range(3):
            running.publish("publish", "ida", f"number {number}")
        save(target / "stopped.txt.gz", answers(running, posts, early))
        if running.has("backup"):
            taken = running.raw(["backup", "--addr", running.address, "--to", Path(scratch) / "backup"])
            assert taken.returncode == 0, taken
            pack(Path(scratch) / "backup", target / "backup")
        running.stop(signal.SIGTERM)
        if running.has("dump"):
            dumped = running.raw(["dump", "--data", data])
            assert dumped.returncode == 0, dumped
            save(target / "dump.jsonl.gz", dumped.stdout.encode())
        if running.has("key"):
            made = running.raw(["key", "create", "--role", "admin", "--name", "a key", "--data", data])
            assert made.returncode == 0, made
            listed = running.raw(["--json", "key", "list", "--data", data])
            assert listed.returncode == 0, listed
            save(target / "keys.txt.gz", listed.stdout.encode())
        pack(data, target / "stopped")

        # Killed: nothing of what is acknowledged may be lacking.
        running.start(*often)
        for number in range(3, 6):
            running.publish("publish", "ida", f"number {number}")
        running.change("follow", "ida", "alice")
        killed = answers(running, posts, early)
        running.stop(signal.SIGKILL)
        pack(data, target / "killed")
        save(target / "killed.txt.gz", killed)
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip()
    total = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target.name}: {version}, {total} bytes")


if __name__ == "__main__":
    main()
