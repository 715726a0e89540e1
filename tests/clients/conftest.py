"""Fixtures: a server for all tests, servers of one test, and users of one test.

To run them by hand: `cargo build`, install requirements.txt, the identity provider and what the example in TypeScript
needs (`npm ci --prefix tests/clients/provider`, and `--prefix examples/typescript`), have jq, grpcurl and the collector of traces (`go -C tests/clients/collector install .`)
in the PATH (or the paths of the latter two in GRPCURL and COLLECTOR), for pages Chromium (or its path in CHROMIUM), for several nodes PostgreSQL (Debian's package postgresql), and
`python -m pytest tests/clients`.
WHIMBREL_BIN names another binary to test.
"""

import itertools

import pytest
from browser import browser, windows  # noqa: F401
from pasted import ADDRESS, wait_for_ports
from server import Server

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server that all tests share: none may stop it."""
    server = Server(tmp_path_factory.mktemp("shared"))
    yield server
    server.stop()


@pytest.fixture
def own_server(tmp_path):
    """Starts servers that one test may do anything to: `own_server(option, …)`."""
    servers = []

    def start(*options: str) -> Server:
        folder = tmp_path / str(len(servers))
        folder.mkdir()
        servers.append(Server(folder, *options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def ports():
    """The ports that the documents name, free."""
    wait_for_ports()


@pytest.fixture
def serving(tmp_path, ports):
    """A server on new data, at the address in the documents."""
    server = Server(tmp_path, address=ADDRESS)
    yield server
    server.stop()


@pytest.fixture
def users():
    """Alice, Bob and Carol, of this test alone."""
    number = next(_numbers)
    return f"alice-{number}", f"bob-{number}", f"carol-{number}"
