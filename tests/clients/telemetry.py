"""An OpenTelemetry Collector as a process, and a store behind it for what it passes on.

It never changes what arrives, and knows nothing of the server that sends it.
"""

import json
import os
import re
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from server import REPOSITORY, WAIT_S, free_port

COLLECTOR = os.environ.get("COLLECTOR", "collector")
GO_MOD = REPOSITORY / "tests/clients/collector/go.mod"


def eventually(what: str, probe):
    """What `probe` returns, once that is true."""
    give_up_at = time.monotonic() + WAIT_S
    while not (found := probe()):
        assert time.monotonic() < give_up_at, f"it never comes: {what}"
        time.sleep(0.05)
    return found


def total(address: str, metric: str, label: str = "") -> float:
    """The sum of a metric over its series that have this label, written `name="value"`."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=WAIT_S) as answer:
        text = answer.read().decode()
    series = re.findall(rf"^{metric}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    return sum(float(value) for labels, value in series if label in labels)


class _Handler(BaseHTTPRequestHandler):
    """A request to a `Store`."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.store.take(self.path, body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass

    def handle(self):
        try:
            super().handle()
        except ConnectionError:
            # The collector was killed while its request was held.
            pass


class Store:
    """What a collector passes on to: OTLP in JSON over HTTP. It keeps what it has answered with OK."""

    def __init__(self):
        self._resource_spans = []
        # What it answers, unless a request is held.
        self.status = 200
        self._released = threading.Event()
        self._released.set()
        self._holds = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.store = self
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def stop(self):
        """Takes nothing more."""
        self.release()
        self._server.shutdown()
        self._server.server_close()

    def hold(self):
        """Requests wait from now on, and are not taken."""
        self._holds.clear()
        self._released.clear()

    def wait_until_it_holds(self):
        """Waits for a request that waits."""
        assert self._holds.wait(WAIT_S), "no request comes"

    def release(self):
        """Requests that wait are refused, and later ones are answered."""
        self._released.set()

    def take(self, path: str, body: bytes) -> int:
        """Takes a request, and returns the status of its answer."""
        assert path == "/v1/traces", path
        if not self._released.is_set():
            self._holds.set()
            self._released.wait(WAIT_S)
            return 503
        if self.status == 200:
            self._resource_spans += json.loads(body)["resourceSpans"]
        return self.status

    def resources(self) -> list[dict]:
        """The attributes of who sent spans, each once."""
        found = [attributes(sent["resource"]) for sent in list(self._resource_spans)]
        return [resource for at, resource in enumerate(found) if resource not in found[:at]]

    def spans(self) -> list[dict]:
        """All spans, with their attributes as a dictionary, and their times as numbers."""
        return [
            span
            | {"attributes": attributes(span)}
            | {key: int(span[key]) for key in ("startTimeUnixNano", "endTimeUnixNano")}
            for sent in list(self._resource_spans)
            for scope in sent["scopeSpans"]
            for span in scope["spans"]
        ]


def attributes(of: dict) -> dict:
    """The attributes of a span or a resource. OTLP writes 64-bit numbers in JSON as strings."""
    pairs = {pair["key"]: pair["value"] for pair in of.get("attributes", [])}
    assert len(pairs) == len(of.get("attributes", [])), "a key comes twice"
    return {
        key: int(value["intValue"]) if "intValue" in value else value["stringValue"]
        for key, value in pairs.items()
    }


class Collector:
    """A collector that passes on to a store at once. It keeps its ports when it is started again."""

    def __init__(self, folder: Path, store: Store):
        self._config, self._log = folder / "collector.yaml", folder / "collector.log"
        self._process = None
        port, metrics_port = free_port(), free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        self.metrics_address = f"127.0.0.1:{metrics_port}"
        # Without a queue it answers when the store has: nothing that it took can be lost with it.
        exporter = {
            "endpoint": store.url,
            "encoding": "json",
            "compression": "none",
            "sending_queue": {"enabled": False},
            "retry_on_failure": {"enabled": False},
        }
        prometheus = {"host": "127.0.0.1", "port": metrics_port}
        reader = {"pull": {"exporter": {"prometheus": prometheus}}}
        config = {
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{port}"}}}},
            "exporters": {"otlp_http": exporter},
            "service": {
                "telemetry": {"metrics": {"readers": [reader]}},
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["otlp_http"]}},
            },
        }
        # JSON is YAML.
        self._config.write_text(json.dumps(config))

    def start(self):
        """Starts it, and returns once it takes spans."""
        with self._log.open("wb") as log:
            command = [COLLECTOR, "--config", self._config]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually("the collector to be ready", self._is_ready)

    def kill(self):
        """Ends it as a crash would, if it runs."""
        if self._process:
            self._process.kill()
            self._process.wait(WAIT_S)
            self._process = None

    def total(self, metric: str) -> float:
        """One of its own metrics, since it was started."""
        return total(self.metrics_address, metric)

    def _is_ready(self) -> bool:
        log = self._log.read_text()
        assert self._process.poll() is None, f"the collector does not start; its log:\n{log}"
        return "Everything is ready" in log
