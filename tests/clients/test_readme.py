"""The README's first session, pasted into a shell as a reader would."""

import os
import re
import subprocess
from pathlib import Path

from server import BINARY, REPOSITORY, Server

README = REPOSITORY / "README.md"
# What the README tells to listen on, which is the default.
ADDRESS = "127.0.0.1:50051"
SESSION_S_MAX = 120


def session() -> str:
    """The shell blocks between the marker and the next subject, one after the other."""
    text = README.read_text()
    start = text.index("<!-- session:")
    end = text.index("Clients for other languages")
    return "".join(re.findall(r"```sh\n(.*?)```", text[start:end], re.DOTALL))


def test_every_line_of_the_first_session_works(tmp_path):
    server = Server(tmp_path, address=ADDRESS)
    grpcurl = Path(os.environ.get("GRPCURL", "grpcurl")).parent
    path = os.pathsep.join([str(grpcurl), str((REPOSITORY / BINARY).parent), os.environ["PATH"]])
    try:
        shell = subprocess.run(
            ["bash", "-eu"],
            input=session(),
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SESSION_S_MAX,
        )
    finally:
        server.stop()
    assert shell.returncode == 0, shell.stdout
    for said in [
        "whimbrel.v1.FeedService",
        "Publishes a post",
        '"deduplicated": true',
        '"caughtUp"',
        "SELF_FOLLOW",
        "carol now follows bob",
        "The tide comes in.",
        "carol now likes p",
        "carol answered p",
        "bob deleted p",
    ]:
        assert said in shell.stdout, shell.stdout
    # The second watch shows what the first had not, and nothing again.
    assert shell.stdout.count("    It rains on the mud flats.") == 3, shell.stdout
