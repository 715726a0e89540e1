"""Runs the blocks of documents as a reader would: pasted into a shell, or as a Python program.

It never changes a block.
"""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc_tools
from server import BINARY, REPOSITORY

# The address in the documents, which is the default.
ADDRESS = "127.0.0.1:50051"
SESSION_S_MAX = 120


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


def generate_client(folder: Path):
    """Writes the Python client into `folder`, by the command of docs/api.md."""
    google = Path(grpc_tools.__file__).parent / "_proto"
    protos = sorted((REPOSITORY / "proto").rglob("*.proto"))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{REPOSITORY / 'proto'}", f"-I{google}"]
    command += [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    subprocess.run(command + protos, check=True, timeout=SESSION_S_MAX)
