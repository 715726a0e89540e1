"""The built server as a process: started, stopped in order, killed, and started again.

It never looks into the server's data, and knows nothing of its API.
"""

import json
import os
import select
import signal
import socket
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("WHIMBREL_BIN", "target/debug/whimbrel"))
# How long anything may take before a test gives it up. Generous: a slow machine is no failure.
WAIT_S = 120


def free_port() -> int:
    """A port of this machine for a process that cannot choose one and say which."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Server:
    """A server on a data folder. It keeps its address when it is started again, as real ones do."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        address: str = "127.0.0.1:0",
        log: Path | None = None,
    ):
        self.address = address
        # Of the admin listener, if the options ask for one.
        self.admin_address = None
        self._data = folder / "data"
        self._log = log or folder / "log"
        self._options = options
        self._process = None
        self.start()

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self._data

    @property
    def ca_file(self) -> Path:
        """What a client trusts, if the server makes its own certificate."""
        return self._data / "tls" / "ca.pem"

    def log(self) -> str:
        """All that it has logged."""
        return self._log.read_text()

    def start(self):
        """Starts it, and returns once it listens."""
        command = [REPOSITORY / BINARY, "--json", "serve", "--data", self._data]
        command += ["--listen", self.address, *self._options]
        # Several servers run at once, on free ports.
        environment = {**os.environ, "WHIMBREL_ADMIN_LISTEN": "none"}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, env=environment
            )
        output = self._process.stdout
        readable, _, _ = select.select([output], [], [], WAIT_S)
        first_line = output.readline() if readable else b""
        assert first_line, f"the server does not start; its log:\n{self.log()}"
        serving = json.loads(first_line)["serving"]
        self.address, self.admin_address = serving["listen"], serving["admin"]

    def freeze(self):
        """Makes it stand still, with all of its connections."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        """Makes it go on."""
        self._process.send_signal(signal.SIGCONT)

    def terminate(self):
        """Asks it to stop, and returns at once."""
        self._process.terminate()

    def wait(self) -> int:
        """Waits until it has ended. Returns its exit code."""
        code = self._process.wait(WAIT_S)
        self._process.stdout.close()
        return code

    def kill(self):
        """Ends it as a crash would."""
        self._process.kill()
        self.wait()

    def stop(self):
        """Ends it if it still runs, in order if it can."""
        if self._process.poll() is not None:
            return
        self.terminate()
        try:
            self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
