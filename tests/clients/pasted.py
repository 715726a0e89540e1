"""Runs the blocks of documents as a reader would: pasted into a shell, or as a Python program.

It never changes a block.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import grpc_tools
from server import BINARY, REPOSITORY

# The address in the documents, which is the default.
ADDRESS = "127.0.0.1:50051"
SESSION_S_MAX = 120
# Those that the documents name. They are among the ports that a connection may have at its own end, and for a minute
# after it: then nothing can listen there.
PORTS = (50051, 50052, 50061, 50062)


def paste(block: str, folder: Path, language: str = "sh") -> str:
    """Runs a block by itself. Returns what it printed."""
    grpcurl = Path(os.environ.get("GRPCURL", "grpcurl")).parent
    path = os.pathsep.join([str(grpcurl), str((REPOSITORY / BINARY).parent), os.environ["PATH"]])
    interpreters = {"sh": ["bash", "-eu", "-o", "pipefail"], "python": [sys.executable, "-"]}
    # Its own group of processes: what a block that fails has left running ends with it.
    with subprocess.Popen(
        interpreters[language],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as ran:
        try:
            printed, _ = ran.communicate(block, SESSION_S_MAX)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(ran.pid, signal.SIGKILL)
    assert ran.returncode == 0, printed
    return printed


def wait_for_ports():
    """Waits until a server can listen on each port that the documents name."""
    give_up_at = time.monotonic() + SESSION_S_MAX
    for port in PORTS:
        while not can_listen(port):
            assert time.monotonic() < give_up_at, f"port {port} of this machine stays in use: end what uses it"
            time.sleep(0.5)


def can_listen(port: int) -> bool:
    with socket.socket() as listener:
        # As servers do.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen()
        except OSError:
            return False
        return True


def generate_client(folder: Path):
    """Writes the Python client into `folder`, by the command of docs/api.md."""
    google = Path(grpc_tools.__file__).parent / "_proto"
    protos = sorted((REPOSITORY / "proto").rglob("*.proto"))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{REPOSITORY / 'proto'}", f"-I{google}"]
    command += [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    subprocess.run(command + protos, check=True, timeout=SESSION_S_MAX)
