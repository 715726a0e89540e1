"""grpcurl as a person runs it: arguments in, text out.

Calls are by reflection unless a test passes proto files.
"""

import json
import os
import queue
import subprocess
import threading

from server import REPOSITORY, WAIT_S

GRPCURL = os.environ.get("GRPCURL", "grpcurl")
SERVICE = "whimbrel.v1.FeedService"
PROTO_FILES = ("-import-path", "proto", "-proto", "whimbrel/v1/feed_service.proto")


def run(*arguments: str) -> subprocess.CompletedProcess:
    """Runs grpcurl to its end."""
    command = [GRPCURL, *arguments]
    return subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=WAIT_S, check=False
    )


def text(server, *arguments: str) -> str:
    """The text that grpcurl prints about a server, as for `list` and `describe`."""
    done = run("-plaintext", server.address, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def call(server, rpc: str, *options: str, **request) -> dict:
    """Makes a unary call, and returns the JSON printed."""
    done = attempt(server, rpc, *options, **request)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def attempt(server, rpc: str, *options: str, **request) -> subprocess.CompletedProcess:
    """Makes a call that may fail."""
    return run(*_call_arguments(server, rpc, options, request))


class Stream:
    """A streaming call, read as it prints. Use as a context: leaving it interrupts grpcurl."""

    def __init__(self, server, rpc: str, *options: str, **request):
        command = [GRPCURL, *_call_arguments(server, rpc, options, request)]
        self._process = subprocess.Popen(
            command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._messages = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()

    def next(self) -> dict:
        """The next message."""
        message = self._messages.get(timeout=WAIT_S)
        assert message is not None, f"the stream has ended: {self._process.stderr.read()}"
        return message

    def until(self, kind: str) -> list[dict]:
        """The messages up to and with the first that is a `kind`."""
        messages = [self.next()]
        while kind not in messages[-1]:
            messages.append(self.next())
        return messages

    def end(self) -> tuple[int, str]:
        """Waits for the end: the exit code of grpcurl, and its errors."""
        errors = self._process.stderr.read()
        return self._process.wait(WAIT_S), errors

    def _read(self):
        # A message ends with the brace that stands alone at the start of its line.
        lines = []
        for line in self._process.stdout:
            lines.append(line)
            if line == "}\n":
                self._messages.put(json.loads("".join(lines)))
                lines = []
        self._messages.put(None)


def _call_arguments(server, rpc: str, options, request: dict) -> list[str]:
    method = rpc if "/" in rpc else f"{SERVICE}/{rpc}"
    return ["-plaintext", *options, "-d", json.dumps(request), server.address, method]
