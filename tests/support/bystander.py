"""Another client of an attacked server: what its clicks cost, and what the server's processes take meanwhile."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import numpy as np
from meanwhile import meanwhile
from real_server import RealServer

PAGE_BYTES = 4096
FAILED = float("inf")
DECODER = "segmentation.pictures.worker"
"""In the command line of processes that decode pictures: one that exceeds its bounds is replaced."""


def p95(seconds: list[float]) -> float:
    return float(np.percentile(seconds, 95))


@contextmanager
def clicking(url: str, image_id: str, headers: dict[str, str] | None = None) -> Iterator[list[float]]:
    """A client that clicks ten times a second: seconds of each click, infinite for one that failed."""
    seconds: list[float] = []
    request = {"image_id": image_id, "prompts": [{"points": [[140, 52]]}]}

    def click(ended: threading.Event) -> None:
        with httpx2.Client(base_url=url, timeout=60, headers=headers) as client:
            while not ended.wait(0.1):
                started = time.perf_counter()
                try:
                    status = client.post("/segment", json=request).status_code
                except httpx2.TransportError:
                    status = 0
                seconds.append(time.perf_counter() - started if status == 200 else FAILED)

    with meanwhile(click):
        yield seconds


@dataclass
class Memory:
    """Resident bytes of a server's processes, by process id."""

    before: dict[int, int]
    peak: dict[int, int] = field(default_factory=dict)
    commands: dict[int, str] = field(default_factory=dict)

    @property
    def lost(self) -> list[str]:
        """Command lines of processes that were there before and are gone; without decoder processes."""
        return [self.commands[pid] for pid in self.before if not Path(f"/proc/{pid}").exists()]

    def growth(self, now: dict[int, int]) -> tuple[str, int]:
        """The process that grew most, and by how many bytes. Processes that began since have grown from nothing."""
        pid = max(now, key=lambda pid: now[pid] - self.before.get(pid, 0))
        return self.commands.get(pid, ""), now[pid] - self.before.get(pid, 0)


def resident(server: RealServer) -> dict[int, int]:
    """Resident bytes of every process but the decoders of pictures, by process id.

    Without pages that processes share: those of libraries, and of Ray's object store.
    """
    found = {}
    for pid, command in server.processes().items():
        try:
            statm = Path(f"/proc/{pid}/statm").read_text()
        except OSError:
            continue
        if DECODER not in command and statm:
            _, all_pages, shared_pages, *_ = map(int, statm.split())
            found[pid] = (all_pages - shared_pages) * PAGE_BYTES
    return found


@contextmanager
def watching_memory(server: RealServer, every_s: float = 0.5) -> Iterator[Memory]:
    """Looks at the processes again and again through the block."""
    memory = Memory(resident(server), commands=server.processes())

    def watch(ended: threading.Event) -> None:
        while not ended.wait(every_s):
            now = resident(server)
            for pid, nbytes in now.items():
                memory.peak[pid] = max(nbytes, memory.peak.get(pid, 0))
            if not now.keys() <= memory.commands.keys():
                memory.commands.update(server.processes())

    memory.peak = dict(memory.before)
    with meanwhile(watch):
        yield memory
