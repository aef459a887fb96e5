"""Memory of a running server's processes, and of what they share. Linux only; knows no Ray but its process titles."""

from dataclasses import dataclass
from pathlib import Path

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Resident:
    """One process.

    own_mb: resident memory without shared memory. shared_mb: of the object store, what it has mapped and touched.
    """

    name: str
    own_mb: float
    shared_mb: float


def resident(processes: dict[int, str]) -> dict[int, Resident]:
    """Memory of each of these processes that still lives; processes by id with their command lines."""
    found = {}
    for pid, command in processes.items():
        try:
            fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            own, shared = (
                sum(_mb(fields[name]) for name in names) for names in (("RssAnon", "RssFile"), ("RssShmem",))
            )
        except (OSError, KeyError, ValueError):
            continue  # it ended meanwhile, or is a zombie
        found[pid] = Resident(_short(command), round(own, 2), round(shared, 2))
    return found


def object_store_mb(processes: dict[int, str]) -> float:
    """Shared memory that the object stores of these processes take, in MB: what is touched of their files in /dev/shm.

    Ray removes the files' names once they are open, so they are found by the processes that hold them.
    """
    largest: dict[int, int] = {}
    for pid in processes:
        try:
            links = list(Path(f"/proc/{pid}/fd").iterdir())
        except OSError:
            continue
        for link in links:
            try:
                if "/plasma" in str(link.readlink()):
                    status = link.stat()
                    largest[status.st_ino] = status.st_blocks * 512
            except OSError:
                continue
    return round(sum(largest.values()) / MB, 1)


def _mb(value: str) -> float:
    return int(value.split(maxsplit=1)[0]) * 1024 / MB


def _short(command: str) -> str:
    """A replica by its deployment, Ray's own processes by their program."""
    words = command.split()
    if not words:
        return "gone"
    if words[0].startswith("ray::"):
        return words[0].removeprefix("ray::").removeprefix("ServeReplica:")
    scripts = [Path(word).name for word in words[:4] if not word.startswith("-")]
    return next((name for name in scripts if not name.startswith("python")), scripts[0])
