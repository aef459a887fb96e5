"""Deaths on a server under siege: replicas at random, an ingress, a whole node."""

import os
import random
import signal
import time
from collections import Counter

from tests.support.real_server import RealServer, command_of, descendants
from tests.support.waiting import wait_until

WORKERS = ("ImageEncoder", "PromptDecoder", "MaskGridGenerator")
RECOVERY_S = 120


def replica_counts(server: RealServer) -> dict[str, int]:
    """How many replicas of each kind live."""
    return {name: len(server.replicas(name)) for name in (*WORKERS, "Ingress")}


def kill_at_random(server: RealServer, kills: int, seed: int, pauses_s: tuple[float, float]) -> Counter[str]:
    """Kills that many replicas, one after each pause; returns how many of each kind.

    Every kind comes up before one comes up again. A kind without a replica, because its last was just killed, waits.
    """
    rng = random.Random(seed)
    killed: Counter[str] = Counter()
    for number in range(kills):
        if number % len(WORKERS) == 0:
            order = rng.sample(WORKERS, len(WORKERS))
        name = order[number % len(WORKERS)]
        time.sleep(rng.uniform(*pauses_s))
        wait_until(lambda name=name: server.replicas(name), RECOVERY_S)
        os.kill(rng.choice(server.replicas(name)), signal.SIGKILL)
        killed[name] += 1
    return killed


def recovery_s(server: RealServer, before: dict[str, int]) -> float:
    """Seconds until there are as many replicas as before and the server says that it is well.

    Raises:
        TimeoutError: it does not come to that.
    """
    started = time.monotonic()
    with server.client() as client:
        wait_until(lambda: replica_counts(server) == before and client.get("/health").status_code == 200, RECOVERY_S)
    return time.monotonic() - started


def node_to_kill(server: RealServer, nodes: tuple[int, ...]) -> int:
    """A node, by its raylet's process id, with replicas of ours but without the ingress."""
    for node in nodes:
        commands = [command_of(pid) for pid in descendants(node)]
        ours = [command for command in commands if command.startswith("ray::ServeReplica:sam:")]
        if ours and not any(command.startswith("ray::ServeReplica:sam:Ingress") for command in ours):
            return node
    raise RuntimeError("every node with replicas has the ingress too")


def kill_node(node: int) -> Counter[str]:
    """Ends every process of a node at once, as a power cut does; returns how many replicas of each kind it had."""
    processes = descendants(node)
    lost = Counter(
        command.split(":")[4].split("#")[0]
        for command in map(command_of, processes)
        if command.startswith("ray::ServeReplica:sam:")
    )
    for pid in processes:
        os.kill(pid, signal.SIGKILL)
    return lost
