"""A PostgreSQL of the system's packages with two standbys, one of which has each commit before it is acknowledged.

It never knows what is in it. As root it runs as the user `postgres`, since PostgreSQL refuses root.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from server import WAIT_S, free_port

_FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
BIN = _FOUND[-1].parent if _FOUND else None

needs_postgresql = pytest.mark.skipif(
    not BIN and "WHIMBREL_NEEDS_POSTGRES" not in os.environ, reason="there is no PostgreSQL here"
)

NAMES = ("one", "two", "three")


def _as_postgres(*command: object, **options):
    as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"] if os.geteuid() == 0 else []
    return subprocess.run([*as_user, *map(str, command)], check=True, capture_output=True, timeout=WAIT_S, **options)


class Machine:
    """One PostgreSQL: a primary, or a standby of another one."""

    def __init__(self, name: str, folder: Path):
        self.name, self.folder, self.port = name, folder, free_port()
        self.data = folder / name

    def sql(self, statement: str) -> str:
        done = _as_postgres(BIN / "psql", "-XqAt", "-h", "127.0.0.1", "-p", self.port, "-U", "whimbrel", "postgres", "-c", statement)
        return done.stdout.decode().strip()

    def initialise(self):
        _as_postgres(BIN / "initdb", "-D", self.data, "-U", "whimbrel", "-A", "trust", "-E", "UTF8", "--locale=C", "--data-checksums", "--no-sync")
        others = ", ".join(NAMES)
        self._write(f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n"
                    # Before any standby is cloned: one that begins without it may lack what was acknowledged.
                    f"synchronous_standby_names = 'ANY 1 ({others})'\nwal_receiver_status_interval = 1\n")

    def clone(self, primary: "Machine"):
        """Becomes a standby of `primary`."""
        _as_postgres(BIN / "pg_basebackup", "-D", self.data, "-h", "127.0.0.1", "-p", primary.port, "-U", "whimbrel", "-c", "fast")
        (self.data / "standby.signal").touch()
        if os.geteuid() == 0:
            shutil.chown(self.data / "standby.signal", "postgres")
        self._write(f"port = {self.port}\n")
        self.follow(primary)

    def follow(self, primary: "Machine"):
        self._write(f"primary_conninfo = 'host=127.0.0.1 port={primary.port} user=whimbrel application_name={self.name}'\n")
        if self.runs():
            _as_postgres(BIN / "pg_ctl", "-D", self.data, "reload")

    def start(self):
        _as_postgres(BIN / "pg_ctl", "-D", self.data, "-l", self.folder / f"{self.name}.log", "-w", "-t", WAIT_S, "start")

    def promote(self):
        """Becomes the primary."""
        _as_postgres(BIN / "pg_ctl", "-D", self.data, "-w", "-t", WAIT_S, "promote")

    def runs(self) -> bool:
        return (self.data / "postmaster.pid").exists()

    def hold_back(self):
        """Sends nothing more to its standbys, which then do not know of it."""
        self._signal(signal.SIGSTOP, self._children("-f", "walsender"))

    def freeze(self):
        """Stands still, with all of its connections."""
        self._signal(signal.SIGSTOP, [self._first(), *self._children()])

    def thaw(self):
        self._signal(signal.SIGCONT, [self._first(), *self._children()])

    def kill(self):
        """All of its processes at once, as with its machine."""
        # Before any of them can finish something because another one is gone.
        self._signal(signal.SIGSTOP, [self._first()])
        self._signal(signal.SIGKILL, [*self._children(), self._first()])
        (self.data / "postmaster.pid").unlink()

    def _first(self) -> int:
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def _children(self, *which: str) -> list[int]:
        found = subprocess.run(["pgrep", "-P", str(self._first()), *which], capture_output=True, text=True, check=False)
        return [int(pid) for pid in found.stdout.split()]

    @staticmethod
    def _signal(number: int, pids: list[int]):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _write(self, settings: str):
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.write(settings)


class Cluster:
    """A primary and its standbys."""

    def __init__(self, folder: Path):
        folder.mkdir()
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
            for parent in folder.parents:
                if parent.stat().st_mode & 0o001 == 0:
                    parent.chmod(parent.stat().st_mode | 0o011)
        self.machines = [Machine(name, folder) for name in NAMES]
        self.primary, *standbys = self.machines
        self.primary.initialise()
        self.primary.start()
        for standby in standbys:
            standby.clone(self.primary)
            standby.start()
        self.wait_for_standby()

    @property
    def address(self) -> str:
        """For all that may become the primary."""
        hosts = ",".join(f"127.0.0.1:{machine.port}" for machine in self.machines)
        return f"postgres://whimbrel@{hosts}/postgres"

    def wait_for_standby(self):
        give_up_at = time.monotonic() + WAIT_S
        while self.primary.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "0":
            assert time.monotonic() < give_up_at, "no standby follows"
            time.sleep(0.1)

    def fail_over(self):
        """The primary's machine is lost with what it has not sent for a moment; the standby that has most takes its place, and
        the other one follows it."""
        self.primary.hold_back()
        time.sleep(0.3)
        self.primary.kill()
        self.promote_one()

    def promote_one(self):
        """Of the standbys that run, the one that has most becomes the primary."""
        left = [machine for machine in self.machines if machine.runs()]
        received = {machine: machine.sql("SELECT pg_last_wal_receive_lsn() - '0/0'::pg_lsn") for machine in left}
        self.primary = max(left, key=lambda machine: int(received[machine] or 0))
        self.primary.promote()
        for machine in left:
            if machine is not self.primary:
                machine.follow(self.primary)
        self.wait_for_standby()

    def replace_lost(self):
        """The machines that were lost come back, empty, as standbys."""
        for machine in self.machines:
            if not machine.runs():
                shutil.rmtree(machine.data)
                machine.clone(self.primary)
                machine.start()

    def stop(self):
        for machine in self.machines:
            if machine.runs():
                machine.kill()


@pytest.fixture
def cluster(tmp_path):
    """A PostgreSQL that survives the loss of a machine."""
    assert BIN, "there is no PostgreSQL"
    cluster = Cluster(tmp_path / "postgres")
    yield cluster
    cluster.stop()
