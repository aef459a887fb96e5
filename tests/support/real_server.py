"""The server as `make serve` starts it: on `config/serve.yaml`, on its own Ray cluster, on a free port."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import yaml

from deployments.load_shedder import OPENER, VARIABLE
from segmentation.weights.manifest import PROJECT_ROOT

START_S = 240
SHIPPED_VARIABLES = {
    "MALLOC_ARENA_MAX": "1",
    "RAY_metric_cardinality_level": "low",
    "RAY_SERVE_COMPACT_LONG_POLL_METRIC_TAGS": "1",
    "RAY_SERVE_REQUEST_LATENCY_BUCKETS_MS": "20,100,500,2000,10000,60000",
    "RAY_SERVE_REPLICA_STARTUP_SHUTDOWN_LATENCY_BUCKETS_MS": "1000,5000,20000,60000",
}
"""Of Ray's and glibc's own: what `make serve` and the image set."""
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Where the server has a cluster of its own."""
FAILED = "Deploying app 'sam' failed"
"""What the controller writes when an application can't be deployed; the process that started it goes on."""


@dataclass
class RealServer:
    """A running server, and the processes behind it.

    roots: process ids of `deployments.run` and of the nodes that it does not start itself.
    """

    url: str
    log: Path
    process: "subprocess.Popen[bytes]"
    roots: tuple[int, ...]

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=120)

    def processes(self) -> dict[int, str]:
        """The command line of every process of this server, by process id."""
        return {pid: command_of(pid) for root in self.roots for pid in descendants(root)}

    def replicas(self, deployment: str) -> list[int]:
        """Process ids of a deployment's replicas. Only processes of this server are looked at."""
        title = f"ray::ServeReplica:sam:{deployment}"
        return [pid for pid, command in self.processes().items() if command.startswith(title)]

    def kill(self, deployment: str) -> int:
        """Kills one replica as a crash would; returns its process id."""
        pid = self.replicas(deployment)[0]
        os.kill(pid, signal.SIGKILL)
        return pid


@contextmanager
def serving(
    folder: Path,
    variables: Mapping[str, str],
    *,
    wait: bool = True,
    change: Callable[[dict[str, Any]], None] = lambda document: None,
    address: str = "local",
    nodes: tuple[int, ...] = (),
) -> Iterator[RealServer]:
    """A server with these `SAM_` variables, whose log and home are in the folder.

    Args:
        wait: until it is ready.
        change: edits the config document before it is used.
        address, nodes: the cluster to run on, and process ids of its nodes; by default one of its own.
    """
    port = free_port()
    document = yaml.safe_load((PROJECT_ROOT / "config" / "serve.yaml").read_text())
    document["http_options"]["port"] = port
    change(document)
    config, log = folder / "serve.yaml", folder / "serve.log"
    config.write_text(yaml.safe_dump(document))
    command = [sys.executable, "-m", "deployments.run", "--address", address, config]
    environment = server_environment(folder, {**(LOOPBACK if address == "local" else {}), **variables})
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=PROJECT_ROOT, env=environment, stdout=output, stderr=output)
    try:
        server = RealServer(f"http://127.0.0.1:{port}", log, process, (process.pid, *nodes))
        if wait:
            _wait(server)
        yield server
    finally:
        process.terminate()
        time.sleep(0.3)
        process.terminate()  # at once: nobody waits for an answer any more
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def server_environment(home: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without settings of Ray and of ours but these, and with a home of its own.

    What is not a setting is as `make serve` has it.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SAM_", "RAY_"))}
    return inherited | {
        "HOME": str(home),
        "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR", ""),
        "RAY_AUTH_MODE": "disabled",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        VARIABLE: OPENER,
        **SHIPPED_VARIABLES,
        **variables,
    }


def _wait(server: RealServer) -> None:
    deadline = time.monotonic() + START_S
    with server.client() as client:
        while time.monotonic() < deadline:
            try:
                if client.get("/health").status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            if server.process.poll() is not None or FAILED in server.log.read_text(errors="replace"):
                break
            time.sleep(0.5)
    raise RuntimeError(f"the server did not start:\n{server.log.read_text(errors='replace')[-4000:]}")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now.

    It lies below the ports that Linux gives out by itself: Ray's own services take those, also
    between this look and the server's start.
    """
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("a hundred ports are taken")


def descendants(root: int) -> list[int]:
    """The process, its children, theirs, and so on."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def command_of(pid: int) -> str:
    """The command line of a process, or the title it gave itself; empty once it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""
