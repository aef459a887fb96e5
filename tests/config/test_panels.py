"""`scripts/panels.py` against a server that answers as Prometheus does: labels, units, and what it fails on."""

import json
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from segmentation.weights.manifest import PROJECT_ROOT

STATES = {
    "ray_sam_server_info": ({"deployment": "ImageEncoder", "model": "demo"}, "1"),
    "ray_serve_deployment_replica_healthy": ({"deployment": "PromptDecoder"}, "2"),
    "ray_node_cpu_utilization": ({"NodeAddress": "127.0.0.1"}, "12.5"),
    "ray_node_mem_used": ({"NodeAddress": "127.0.0.1"}, "0.25"),
    "histogram_quantile(0.5,": ({"route": "/segment"}, "0.0421"),
    "histogram_quantile(0.95,": ({"route": "/segment"}, "NaN"),
}


@pytest.fixture
def prometheus() -> Iterator[tuple[str, dict[str, tuple[dict[str, str], str]]]]:
    """(its address, what it knows: a part of a query -> labels and value)."""
    known = dict(STATES)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            expression = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["query"][0]
            assert "$" not in expression
            found = [
                {"metric": labels, "value": [0, value]} for part, (labels, value) in known.items() if part in expression
            ]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"status": "success", "data": {"result": found}}).encode())

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", known
    server.shutdown()
    server.server_close()


def panels(address: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(PROJECT_ROOT / "scripts" / "panels.py"), address]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_series_have_labels_and_units_and_an_idle_server_is_healthy(
    prometheus: tuple[str, dict[str, tuple[dict[str, str], str]]],
) -> None:
    done = panels(prometheus[0])
    assert done.returncode == 0, done.stdout
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["Median", "/segment", "0.0421", "s"] in lines
    assert ["CPU", "127.0.0.1", "12.5", "%"] in lines
    assert ["Memory", "127.0.0.1", "25", "%"] in lines
    assert ["What", "runs", "ImageEncoder", "demo", "1"] in lines
    assert ["Evictions", "no", "data", "yet"] in lines
    assert ["95th", "percentile", "no", "data", "yet"] in lines


def test_an_empty_panel_of_every_healthy_server_fails(
    prometheus: tuple[str, dict[str, tuple[dict[str, str], str]]],
) -> None:
    address, known = prometheus
    del known["ray_serve_deployment_replica_healthy"]
    done = panels(address)
    assert done.returncode == 1
    assert "a healthy server has data for Healthy replicas" in done.stdout


def test_no_prometheus() -> None:
    done = panels("http://127.0.0.1:9")
    assert done.returncode == 1
    assert "doesn't answer as Prometheus does" in done.stdout
