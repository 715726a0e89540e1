"""The examples in Go and TypeScript, each with a client that is generated as its README says: through a restart."""

import os
import queue
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from postgres import cluster, needs_postgresql  # noqa: F401
from server import REPOSITORY, WAIT_S
from test_console import call

BUF = Path(sys.executable).with_name("buf")
POST = "The tide goes out."


def copy(language: str, folder: Path) -> Path:
    """The example and the protos, at their places in a folder of the test: what is made there is not kept."""
    example = folder / "examples" / language
    # What a developer has made there is not taken, so that nothing old is run.
    made = shutil.ignore_patterns("gen", "built", "node_modules")
    shutil.copytree(REPOSITORY / "examples" / language, example, ignore=made)
    shutil.copytree(REPOSITORY / "proto", folder / "proto")
    return example


def make(*command: str | Path, cwd: Path):
    """Runs a step of the building."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def go(tmp_path_factory):
    """The built example in Go. The plugins are those of its go.mod."""
    example = copy("go", tmp_path_factory.mktemp("go"))
    make(BUF, "generate", cwd=example)
    make("go", "vet", ".", cwd=example)
    make("go", "build", "-o", "example", ".", cwd=example)
    return [example / "example"]


@pytest.fixture(scope="module")
def typescript(tmp_path_factory):
    """The built example in TypeScript, with the packages that .ci/run has installed."""
    example = copy("typescript", tmp_path_factory.mktemp("typescript"))
    (example / "node_modules").symlink_to(REPOSITORY / "examples/typescript/node_modules")
    make(BUF, "generate", cwd=example)
    make("node_modules/.bin/tsc", cwd=example)
    return ["node", example / "built/main.js"]


class Lines:
    """A program that runs, and the lines that it prints."""

    def __init__(self, command: list):
        self._lines = queue.Queue()
        environment = {**os.environ, "NO_PROXY": "127.0.0.1"}
        self._program = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._program.stdout:
            self._lines.put(line.rstrip("\n"))

    def next(self) -> str:
        """The next line."""
        return self._lines.get(timeout=WAIT_S)

    def until(self, last: str) -> list[str]:
        """The lines up to this one, without those about the connection."""
        lines = []
        while last not in lines:
            lines.append(self.next())
        return [line for line in lines if not line.startswith("connecting again: ")]

    def code(self) -> int:
        """Waits until it has ended."""
        return self._program.wait(WAIT_S)

    def end(self):
        """Ends it."""
        self._program.kill()
        self._program.wait()
        self._program.stdout.close()


@pytest.fixture
def started():
    """Starts programs that are ended with the test."""
    programs = []

    def start(command: list) -> Lines:
        programs.append(Lines(command))
        return programs[-1]

    yield start
    for program in programs:
        program.end()


@pytest.mark.parametrize("language", ["go", "typescript"])
def test_it_reads_pages_watches_and_resumes(language, request, own_server, started):
    """Each post comes once: on a page, live, or after the server was killed or stopped."""
    command = request.getfixturevalue(language)
    server = own_server()

    def publish(text: str):
        call(server, "FeedService/Publish", userId="bob", text=text)

    for text in ["one", "two", "three"]:
        publish(text)
    program = started([*command, server.address])
    pages = [f"page: bob: {text}" for text in [POST, "three", "two", "one"]]
    assert program.until("watching") == ["alice follows bob, changed: true", *pages, "watching"]
    publish("live")
    assert program.until("live: bob: live") == ["live: bob: live"]

    server.kill()
    server.start()
    publish("after a crash")
    resumed = program.until("live: bob: after a crash")
    assert resumed == ["watching", "live: bob: after a crash"]

    server.stop()
    server.start()
    publish("after a stop")
    assert program.until("live: bob: after a stop")[-1] == "live: bob: after a stop"


@needs_postgresql
@pytest.mark.parametrize("language", ["go", "typescript"])
def test_it_goes_on_at_another_node(language, request, own_server, started, cluster):  # noqa: F811
    """Each post comes once, while one node after the other is killed, and comes back."""
    command = request.getfixturevalue(language)
    nodes = [own_server("--store", cluster.address) for _ in range(2)]
    program = started([*command, *(node.address for node in nodes)])
    assert program.until("watching")[-2:] == [f"page: bob: {POST}", "watching"]
    for turn in range(4):
        killed, other = nodes[turn % 2], nodes[1 - turn % 2]
        killed.kill()
        text = f"turn {turn}"
        call(other, "FeedService/Publish", userId="bob", text=text)
        live = [line for line in program.until(f"live: bob: {text}") if line != "watching"]
        assert live == [f"live: bob: {text}"]
        killed.start()


@pytest.mark.parametrize("language", ["go", "typescript"])
def test_it_says_that_no_server_is_there(language, request, own_server, started):
    """It ends with the address that it called."""
    command = request.getfixturevalue(language)
    server = own_server()
    server.stop()
    program = started([*command, server.address])
    assert program.code() == 1
    assert server.address in program.next()
