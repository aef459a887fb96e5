"""A Ray cluster of several simulated nodes on this machine, in a process of its own, and the server on it.

Run as a program it starts them, prints one JSON line and stays until its input ends.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segmentation.weights.manifest import PROJECT_ROOT
from tests.support.real_server import RealServer, server_environment, serving

CPUS = 4
"""Logical ones of each node."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """address: of the cluster. head, workers: process ids of the nodes' raylets."""

    address: str
    head: int
    workers: tuple[int, ...]


@contextmanager
def ray_nodes(folder: Path, count: int, cpus: int) -> Iterator[Nodes]:
    """A cluster of that many nodes with that many logical CPUs each; its home is the folder."""
    environment = server_environment(folder, {"RAY_TMPDIR": str(folder)}) | {"PYTHONPATH": str(PROJECT_ROOT)}
    command = [sys.executable, "-m", "tests.support.ray_nodes", str(count), str(cpus)]
    log = (folder / "nodes.log").open("wb")
    process = subprocess.Popen(
        command, cwd=PROJECT_ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the cluster did not start:\n{(folder / 'nodes.log').read_text()[-4000:]}")
        started = json.loads(line)
        yield Nodes(started["address"], started["head"], tuple(started["workers"]))
    finally:
        process.communicate(timeout=60)
        log.close()


@contextmanager
def on_nodes(count: int) -> Iterator[tuple[RealServer, Nodes]]:
    """The demo server on that many nodes, with room for all its replicas on one node less."""

    def change(document: dict[str, Any]) -> None:
        document["proxy_location"] = "HeadOnly"  # all nodes are this machine: one port, one proxy
        (application,) = document["applications"]
        application["runtime_env"]["env_vars"] = {
            "SAM_MODEL_TYPE": "demo",
            "SAM_BACKEND": "onnx",
            "SAM_GRID_REPLICAS": "3",
            "SAM_THREADS": "1",
        }

    with tempfile.TemporaryDirectory(prefix="sam") as name, ray_nodes(Path(name), count, CPUS) as nodes:
        pids = (nodes.head, *nodes.workers)
        with serving(Path(name), {}, change=change, address=nodes.address, nodes=pids) as server:
            yield server, nodes


def _main(count: int, cpus: int) -> None:
    from ray.cluster_utils import Cluster  # noqa: PLC0415 (only the program needs Ray)

    said = os.dup(1)
    os.dup2(2, 1)  # what Ray prints goes to the log
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": cpus, "include_dashboard": False})
    workers = [cluster.add_node(num_cpus=cpus) for _ in range(count - 1)]
    head, *others = (node.all_processes["raylet"][0].process.pid for node in (cluster.head_node, *workers))
    os.write(said, json.dumps({"address": cluster.address, "head": head, "workers": others}).encode() + b"\n")
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    _main(*map(int, sys.argv[1:]))
