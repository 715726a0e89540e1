"""The program `whimbrel` as a person or a script runs it: arguments in, text out."""

import json
import os
import subprocess

from server import BINARY, REPOSITORY, WAIT_S


def run(*arguments: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess:
    """Runs it to its end. Variables of its own name are those given here."""
    rest = {name: value for name, value in os.environ.items() if not name.startswith("WHIMBREL_")}
    return subprocess.run(
        [REPOSITORY / BINARY, *arguments],
        input=stdin,
        env=rest | variables,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )


def lines(server, *arguments: str) -> list[dict]:
    """The JSON lines of a verb, which must succeed."""
    done = run("--json", "--addr", server.address, *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
