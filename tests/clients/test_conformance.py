"""What others test of HTTP/2, gRPC and Connect, against the built server: h2spec, gRPC's own client, and Connect's
conformance suite.

All are built from tests/conformance/go.mod: `go build -o … PACKAGE` in that folder, and their paths in H2SPEC,
INTEROP_CLIENT and CONNECTCONFORMANCE. The suite of Connect has a service of its own, which the program of
tests/conformance/server serves by the layers of the server; its path is in CONFORMANCE_SERVER. What does not pass or
does not apply is in docs/conformance.md, and nowhere else.
"""

import os
import re
import socket
import subprocess
import xml.etree.ElementTree as xml
from collections import Counter

import pytest
import test_interop_cases
from client import Client
from server import REPOSITORY, WAIT_S
from test_other_clients import host_and_port

H2SPEC = os.environ.get("H2SPEC", "h2spec")
INTEROP_CLIENT = os.environ.get("INTEROP_CLIENT", "client")
CONNECTCONFORMANCE = os.environ.get("CONNECTCONFORMANCE", "connectconformance")
CONFORMANCE_SERVER = os.environ.get("CONFORMANCE_SERVER", "whimbrel-conformance-server")
# How long the suite of Connect may take, in seconds: it takes five on two cores.
CONNECT_S_MAX = 300
# What the suite says of the details that each error of the server has, which the protocols allow. The types of
# Google's details are in no descriptor of the suite.
DETAILS = (
    r"actual error contain [23] details; expecting 0",
    r"connect error JSON: details\[\d\]: could not check debug data because message type "
    r'"google\.rpc\.\w+" could not be resolved: proto: not found',
)
# Of h2spec, with the strict ones. Fewer mean that it was not run whole.
CASES = 146
# How long h2spec waits for an answer, in seconds. What it expects not to come costs that time.
ANSWER_S = 5
# How often a case that failed is run again. Those that depend on timing fail once in 50 times.
AGAIN_MAX = 4

PAGE = (REPOSITORY / "docs/conformance.md").read_text()
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS = 0, 1, 3, 4
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def rows(heading: str) -> list[list[str]]:
    """The cells of each row of the table below a heading of the page."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def interop_cases(beginning: str) -> list[str]:
    """The cases of gRPC whose second cell begins so."""
    return [case.strip("`") for case, how, _ in rows("gRPC") if how.startswith(beginning)]


def h2spec(server, report, *sections: str) -> tuple[int, set[str], str]:
    """Runs the cases of these sections, or all. The number of cases, those that fail, and the output."""
    host, port = host_and_port(server)
    command = [H2SPEC, *sections, "-h", host, "-p", str(port), "-S", "-o", str(ANSWER_S)]
    command += ["-j", report]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert report.exists(), done.stdout + done.stderr
    cases = list(xml.parse(report).iter("testcase"))
    # A case that passed has nothing in it.
    failed = {f"`{case.get('package')}` {case.get('classname')}" for case in cases if len(case)}
    return len(cases), failed, done.stdout.partition("Failures:")[2]


def test_h2spec(own_server, tmp_path):
    """All cases pass but those of the page, and of those none does."""
    server, report = own_server(), tmp_path / "report.xml"
    listed = {case for case, *_ in rows("HTTP/2")}
    count, failed, output = h2spec(server, report)
    assert count == CASES, output
    assert not listed - failed, "these pass: take them off the page"
    unlisted = failed - listed
    # The page says why a case may fail by chance.
    for _ in range(AGAIN_MAX):
        if unlisted:
            sections = {case.split("`")[1] for case in unlisted}
            _, failed, output = h2spec(server, report, *sections)
            unlisted &= failed
    assert not unlisted, output


@pytest.mark.parametrize("case", interop_cases("as it is"))
def test_interop(server, case):
    """A case of gRPC's own client passes."""
    host, port = host_and_port(server)
    command = [INTEROP_CLIENT, "-server_host", host, "-server_port", str(port)]
    command += ["-test_case", case]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 0, done.stderr


def test_each_interop_case_is_listed():
    """The client's cases are on the page, each once, and the page's tests are tests."""
    done = subprocess.run(
        [INTEROP_CLIENT, "-help"], capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    known = set(re.findall(r"^\s+([a-z0-9_]+) ?: ", done.stderr, re.MULTILINE))
    assert len(known) > 20, done.stderr
    listed = [case.strip("`") for case, *_ in rows("gRPC")]
    assert known <= set(listed) and len(listed) == len(set(listed))
    tests = {by.strip("`") for _, how, by in rows("gRPC") if how.startswith("equivalent")}
    assert tests == {name for name in vars(test_interop_cases) if name.startswith("test_")}
    others = {by for _, how, by in rows("gRPC") if how.startswith("does not apply")}
    assert others == {"–"}


def connect_suite() -> tuple[Counter, list[tuple[str, str, list[str]]]]:
    """Runs Connect's suite. How many cases of each protocol there are; the protocol and the case of each difference,
    and what it is besides details."""
    command = [CONNECTCONFORMANCE, "-v", "--mode", "server"]
    command += ["--conf", str(REPOSITORY / "tests/conformance/connect.yaml"), "--", CONFORMANCE_SERVER]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=CONNECT_S_MAX, check=False
    )
    run, counts = done.stdout + done.stderr, Counter()
    for count, protocol in re.findall(r"^Running (\d+) tests .*, PROTOCOL_(\w+),", run, re.MULTILINE):
        counts[protocol] += int(count)
    total = re.search(r"^Total cases: (\d+)$", run, re.MULTILINE)
    assert total and int(total[1]) == sum(counts.values()), run
    differences = []
    for failed in run.partition("\nTotal cases:")[0].split("\nFAILED: ")[1:]:
        name, _, why = failed.partition(":\n")
        lines = [line.strip(" \t;") for line in why.splitlines()]
        others = [line for line in lines if line and not any(re.fullmatch(it, line) for it in DETAILS)]
        suite, _, rest = name.partition("/")
        of_protocol = re.search(r"Protocol:PROTOCOL_(\w+)", rest)
        protocol = of_protocol[1] if of_protocol else suite.split()[0].upper().replace("-", "_")
        case = re.sub(r"\b\w+:\w+/", "", rest)
        # Here the client has the same deadline, and what the server says may come after it.
        if suite == "Timeouts" and not others:
            continue
        differences.append((protocol, f"`{suite}` {case}", others))
    return counts, differences


def test_connect_suite():
    """Each case passes but for the details of errors, or is on the page; and the page has the numbers."""
    counts, differences = connect_suite()
    listed = {case for case, *_ in rows("Connect")}
    other = {case for _, case, others in differences if others}
    assert other <= listed, [it for it in differences if it[1] in other - listed]
    assert listed <= other, "these pass: take them off the page"
    numbers = []
    for protocol in ("CONNECT", "GRPC_WEB", "GRPC"):
        of_protocol = [others for it, _, others in differences if it == protocol]
        listed_count = sum(1 for others in of_protocol if others)
        numbers += [counts[protocol], len(of_protocol) - listed_count, listed_count]
    assert [int(cell) for row in rows("Cases of Connect's suite") for cell in row[1:]] == numbers


def frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    """A frame of HTTP/2."""
    head = len(content).to_bytes(3, "big") + bytes([kind, flags])
    return head + stream.to_bytes(4, "big") + content


def frames(connection):
    """The frames that the server sends: kind, flags, stream and content."""
    reader = connection.makefile("rb")
    while head := reader.read(9):
        content = reader.read(int.from_bytes(head[:3], "big"))
        yield head[3], head[4], int.from_bytes(head[5:], "big"), content


def field(name: bytes, value: bytes) -> bytes:
    """A header field in HPACK, as a literal that is not indexed."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def test_a_pseudo_header_in_trailers_is_ignored(server, users):
    """The deviation that h2spec does not see. If this fails, it is mended: change the page."""
    alice, _, _ = users
    message = b"\x0a" + bytes([len(alice)]) + alice.encode() + b"\x12\x02hi"
    # Of the static table: POST, http.
    head = b"\x83\x86" + field(b":path", b"/whimbrel.v1.FeedService/Publish")
    head += field(b"content-type", b"application/grpc") + field(b"te", b"trailers")
    with socket.create_connection(host_and_port(server), timeout=WAIT_S) as connection:
        connection.sendall(
            PREFACE
            + frame(SETTINGS, 0, 0, b"")
            + frame(HEADERS, END_HEADERS, 1, head)
            + frame(DATA, 0, 1, b"\0" + len(message).to_bytes(4, "big") + message)
            + frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x83")
        )
        answers = (kind for kind, _, stream, _ in frames(connection) if stream == 1)
        assert next(answers) == HEADERS
    with Client(server) as client:
        assert [item.post.text for item in client.feed(alice)] == ["hi"]
