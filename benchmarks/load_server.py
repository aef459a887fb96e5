"""The server that load falls on: the demo model on ONNX Runtime, as `serve run` starts it, and the no-op graph.

Everything is as `config/serve.yaml` has it, on a Ray cluster of its own.
"""

import json
import shutil
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.load_client import Client, client
from tests.support.real_server import RealServer, serving

MODEL = "demo"
NOOP = "/noop"
ANSWER_BYTES = 1200
"""Of an answer with three masks in run lengths: about what the demo gives on a megapixel."""
REPORTED_S = 25
"""Ray reports metrics every 10 s, and its agents pass them on as often."""


@dataclass(frozen=True, slots=True)
class Target:
    """A running server, a client for it, and the folder where its Ray lists its metrics."""

    server: RealServer
    client: Client
    ray_folder: Path

    def batches(self, deployment: str) -> Counter[int]:
        """How many batches of each weight a deployment has reported since it started."""
        below: Counter[float] = Counter()
        nodes = json.loads((self.ray_folder / "ray" / "prom_metrics_service_discovery.json").read_text())
        for address in nodes[0]["targets"]:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
                for family in text_string_to_metric_families(answer.read().decode()):
                    for sample in family.samples:
                        if sample.name == "ray_sam_batch_weight_bucket" and sample.labels["deployment"] == deployment:
                            below[float(sample.labels["le"])] += int(sample.value)
        found: Counter[int] = Counter()
        before = 0
        for bound in sorted(below):
            found[int(min(bound, 65))] += below[bound] - before
            before = below[bound]
        return +found

    def settled_batches(self, deployment: str) -> Counter[int]:
        """`batches`, once everything that has happened is sure to be reported."""
        time.sleep(REPORTED_S)
        return self.batches(deployment)


@asynccontextmanager
async def target(variables: Mapping[str, str] = {}, *, noop: bool = False) -> AsyncIterator[Target]:
    """A server with these settings; `noop` deploys the no-op graph under `/noop` too."""

    def change(document: dict[str, Any]) -> None:
        if noop:
            document["applications"].append(
                {
                    "name": "noop",
                    "route_prefix": NOOP,
                    "import_path": "benchmarks.load_noop:build",
                    "args": {"answer_bytes": ANSWER_BYTES},
                }
            )

    home, ray_folder = (Path(tempfile.mkdtemp(prefix=prefix)) for prefix in ("load", "sam"))
    settings = {"SAM_MODEL_TYPE": MODEL, "SAM_BACKEND": "onnx", "RAY_TMPDIR": str(ray_folder), **variables}
    try:
        with serving(home, settings, change=change) as server:
            async with client(server.url) as caller:
                yield Target(server, caller, ray_folder)
    finally:
        for folder in (home, ray_folder):
            shutil.rmtree(folder, ignore_errors=True)
