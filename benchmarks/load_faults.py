"""Deaths under load, the long forms of tests/chaos: replicas at random, the ingress, a node of a simulated cluster."""

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.kills import kill_at_random, kill_node, node_to_kill, recovery_s, replica_counts
from tests.support.ray_nodes import on_nodes
from tests.support.real_server import RealServer, serving
from tests.support.siege import CLIENTS, Siege, under_siege

SEED = 21
VARIABLES = {"SAM_MODEL_TYPE": "demo", "SAM_BACKEND": "onnx"}
AFTERWARDS_S = 5


def kills(count: int = 20) -> dict[str, object]:
    """Encoder, decoder and grid replicas killed at random, 1 to 8 s apart. Bar: no request fails, no mask is wrong."""
    with _alone() as server:
        before = replica_counts(server)
        with under_siege(server, SEED) as siege:
            killed = kill_at_random(server, count, SEED, pauses_s=(1, 8))
            recovered_s = recovery_s(server, before)
            time.sleep(AFTERWARDS_S)
    return {"killed": dict(killed), **_figures(siege, recovered_s), "met": not siege.failed and not siege.wrong}


def ingress(count: int = 5) -> dict[str, object]:
    """The ingress killed again and again. Bar: only what it had let in fails, with a 5xx; nothing hangs."""
    deaths: list[float] = []
    recoveries: list[float] = []
    with _alone() as server:
        before = replica_counts(server)
        with under_siege(server, SEED) as siege:
            for _ in range(count):
                time.sleep(AFTERWARDS_S)
                deaths.append(time.monotonic())
                os.kill(server.replicas("Ingress")[0], signal.SIGKILL)
                recoveries.append(recovery_s(server, before))
            time.sleep(AFTERWARDS_S)
    others = [
        reply
        for reply in siege.failed
        if not 500 <= reply.status < 600 or not any(reply.began <= death <= reply.ended for death in deaths)
    ]
    figures = _figures(siege, max(recoveries))
    return {"killed": {"Ingress": count}, **figures, "not_its_own": len(others), "met": not others and not siege.wrong}


def node(count: int = 3) -> dict[str, object]:
    """One of three nodes dies with all its processes, not the one with the ingress. Bar: as for replicas."""
    with on_nodes(count) as (server, nodes):
        before = replica_counts(server)
        with under_siege(server, SEED) as siege:
            time.sleep(AFTERWARDS_S)
            killed = kill_node(node_to_kill(server, nodes.workers))
            recovered_s = recovery_s(server, before)
            time.sleep(AFTERWARDS_S)
    return {"killed": dict(killed), **_figures(siege, recovered_s), "met": not siege.failed and not siege.wrong}


@contextmanager
def _alone() -> Iterator[RealServer]:
    with tempfile.TemporaryDirectory(prefix="sam") as folder, serving(Path(folder), VARIABLES) as server:
        yield server


def _figures(siege: Siege, recovered_s: float) -> dict[str, object]:
    return {"clients": CLIENTS, **siege.figures(), "recovery_s": round(recovered_s, 1)}
