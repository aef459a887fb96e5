"""Attacks on a real server while another client clicks: what its clicks cost, and what the server's memory does.

    python -m benchmarks.load_attacks [--attackers N] [NAME ...]

A NAME is the beginning of an attack's name in `tests/support/attacks.py`. One line each, at its end:
clicks that failed, the 95th percentile of clicks before and during the attack in milliseconds, and of the process that
grew most its resident megabytes before, at the peak and afterwards.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from segmentation.weights.manifest import PROJECT_ROOT

sys.path.append(str(PROJECT_ROOT / "tests" / "support"))

from attacks import ATTACKS, COINS, Target, prepare
from bystander import FAILED, Memory, clicking, p95, resident, watching_memory

from tests.support.real_server import RealServer, serving

SLOWER = 5
"""The 95th percentile of clicks during an attack, over the idle one, at most."""
GROWTH_BYTES = 500_000_000
LEFT_BYTES, LEFT_SHARE = 50_000_000, 0.05
"""Of a process's growth, what may be left after `SETTLE_S`."""
IDLE_S, AFTER_S, SETTLE_S = 5.0, 1.0, 60.0
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """What one attack did. Times in milliseconds, memory in MB."""

    attack: str
    seconds: float
    clicks: int
    failed: int
    idle_p95: float
    attacked_p95: float
    slowest: float
    process: str
    before: float
    peak: float
    after: float
    lost: list[str]
    unexpected: list[str]

    @property
    def met(self) -> bool:
        left = self.after - self.before
        return (
            not self.failed
            and not self.lost
            and not self.unexpected
            and self.attacked_p95 <= SLOWER * self.idle_p95
            and self.peak - self.before <= GROWTH_BYTES / MB
            and left <= max(LEFT_BYTES / MB, LEFT_SHARE * self.before)
        )

    def line(self) -> str:
        speed = f"{self.idle_p95:6.0f} {self.attacked_p95:6.0f} {self.slowest:7.0f}"
        memory = f"{self.before:6.0f} {self.peak:6.0f} {self.after:6.0f} {self.process:18.18}"
        words = "; ".join([*self.unexpected, *(f"lost: {command}" for command in self.lost)])
        verdict = "" if self.met else " MISSED"
        return (
            f"{self.attack:38.38} {self.seconds:5.0f} {self.clicks:5} {self.failed:4} {speed} {memory}{verdict} {words}"
        )


HEAD = (
    f"{'attack':38} {'s':>5} {'clicks':>5} {'fail':>4} {'idle':>6} {'p95':>6} {'slowest':>7} "
    f"{'MB':>6} {'peak':>6} {'after':>6} process"
)


class Attackers:
    """Processes that attack at the same time. They give way: an attacker is another machine's business."""

    def __init__(self, name: str, target: Target, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._barrier = context.Barrier(count + 1)
        self._found = context.Queue()
        arguments = (name, target, self._barrier, self._found)
        self._processes = [context.Process(target=_attack, args=arguments, daemon=True) for _ in range(count)]

    def __enter__(self) -> Self:
        """Returns once all of them have made what they are going to send."""
        for process in self._processes:
            process.start()
        self._barrier.wait()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()

    def attack(self) -> list[str]:
        """Begins, and returns when all have ended: what they were answered that they should not be."""
        self._barrier.wait()
        return [found for _ in self._processes if (found := self._found.get())]


def _attack(name: str, target: Target, barrier: Any, found: Any) -> None:
    os.nice(10)
    prepare(name)
    barrier.wait()
    barrier.wait()
    try:
        ATTACKS[name](target)
    except Exception as error:  # a row tells of it
        found.put(f"{type(error).__name__}: {error}")
    else:
        found.put("")


def _prepared(server: RealServer, headers: dict[str, str]) -> str:
    with server.client() as client:
        answer = client.post("/embeddings", files={"image": COINS}, headers=headers)
        answer.raise_for_status()
        return str(answer.json()["image_id"])


def attacked(server: RealServer, name: str, attackers: int, headers: dict[str, str]) -> Row:
    """Runs one attack, that many times at once."""
    image_id = _prepared(server, headers)
    target = Target(server.url, image_id, headers)
    with Attackers(name, target, attackers) as ready, watching_memory(server) as memory:
        with clicking(server.url, image_id, headers) as idle:
            time.sleep(IDLE_S)
        with clicking(server.url, image_id, headers) as clicks:
            started = time.monotonic()
            unexpected = ready.attack()
            seconds = time.monotonic() - started
            time.sleep(AFTER_S)
    process, before, peak, after = _settled(server, memory)
    passed = [click for click in clicks if click != FAILED]
    return Row(
        name,
        seconds,
        len(clicks),
        len(clicks) - len(passed),
        1000 * p95(idle),
        1000 * p95(passed) if len(passed) > 1 else FAILED,
        1000 * max(passed, default=FAILED),
        process,
        before / MB,
        peak / MB,
        after / MB,
        memory.lost,
        unexpected,
    )


def _settled(server: RealServer, memory: Memory) -> tuple[str, int, int, int]:
    """(process that grew most, its bytes before, at the peak, afterwards); waits for those that have to shrink."""
    deadline = time.monotonic() + SETTLE_S
    peak_pid = max(memory.peak, key=lambda pid: memory.peak[pid] - memory.before.get(pid, 0))
    while True:
        now = resident(server)
        left = {pid: nbytes - memory.before[pid] for pid, nbytes in now.items() if pid in memory.before}
        over = [pid for pid in left if left[pid] > max(LEFT_BYTES, LEFT_SHARE * memory.before[pid])]
        if not over or time.monotonic() > deadline:
            break
        time.sleep(1)
    shown = max(over, key=left.__getitem__) if over else peak_pid
    title = memory.commands.get(shown, "").removeprefix("ray::ServeReplica:sam:").removeprefix("ray::")
    return title, memory.before.get(shown, 0), memory.peak[shown], now.get(shown, 0)


def attacks(names: list[str], attackers: int, key: str = "") -> list[Row]:
    """The rows of these attacks on one server, each printed when it is known."""
    variables = {"SAM_MODEL_TYPE": "demo"} | ({"SAM_API_KEYS": f"bystander:{key}"} if key else {})
    headers = {"authorization": f"Bearer {key}"} if key else {}
    rows = []
    with tempfile.TemporaryDirectory(prefix="sam") as folder, serving(Path(folder), variables) as server:
        warm_up(server, headers)
        print(HEAD, flush=True)
        for name in names:
            rows.append(attacked(server, name, attackers, headers))
            print(rows[-1].line(), flush=True)
    return rows


def warm_up(server: RealServer, headers: dict[str, str]) -> None:
    """Each kind of work once: what processes take for the first time, they keep."""
    image_id = _prepared(server, headers)
    target = Target(server.url, image_id, headers)
    for name in ("64 prompts of 1,024 points, logits", "JPEG 2000: 64 megapixels", "four large grids"):
        ATTACKS[name](target)


def figures() -> dict[str, object]:
    """Every attack, by two attackers at once."""
    rows = attacks(list(ATTACKS), 2)
    return {"attackers": 2, "rows": [asdict(row) for row in rows], "met": all(row.met for row in rows)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--attackers", type=int, default=2)
    arguments = parser.parse_args()
    names = [name for name in ATTACKS if not arguments.names or name.startswith(tuple(arguments.names))]
    rows = attacks(names, arguments.attackers)
    sys.exit(0 if all(row.met for row in rows) else 1)


if __name__ == "__main__":
    main()
