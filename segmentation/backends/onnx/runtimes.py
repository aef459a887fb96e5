"""Which runtime computes an ONNX encoder faster on this CPU: measured at its first opening, remembered beside the file.

Which one is faster depends on the CPU's instructions and on the graph: on some, OpenVINO takes half the time of ONNX
Runtime, on others it takes longer. A record holds for one kind of CPU, number of threads, pair and version of each
runtime. Knows no settings.
"""

import fcntl
import importlib.metadata
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from segmentation.backends.protocol import EncoderBackend

RUNTIMES = ("onnxruntime", "openvino")
"""Also the names of the distributions."""

ROUNDS = 2
"""Runs of each runtime after its first; the fastest counts."""

logger = logging.getLogger(__name__)

Opener = Callable[[], EncoderBackend]


def open_fastest(
    openers: Mapping[str, Opener], path: Path, *, source: str, threads: int, cpu: str | None = None
) -> EncoderBackend:
    """The encoder on the runtime that was the fastest here, measured if there is no record of it yet.

    Args:
        openers: by runtime, those that are installed; at least one.
        path: the encoder's file; the record lies beside it. Where the folder can't be written, nothing is remembered.
        source: identifies the weights.
        threads: CPU threads of one call.
        cpu: the kind of CPU; by default this one's.

    Raises:
        ModelFileError: none of them can load the file.
    """
    if len(openers) == 1:
        return next(iter(openers.values()))()
    key = _key(cpu or cpu_name(), threads, source, openers)
    record = path.with_name(f"{path.stem}.runtimes.json")
    with _alone(record):
        seconds = _read(record).get(key)
        if seconds is not None and seconds.keys() <= openers.keys():
            return openers[min(seconds, key=seconds.__getitem__)]()
        opened = {name: opener() for name, opener in openers.items()}
        seconds = {name: _seconds(encoder) for name, encoder in opened.items()}
        _remember(record, key, seconds)
    fastest = min(seconds, key=seconds.__getitem__)
    logger.info("%s: %s", path.name, ", ".join(f"{name} {took:.2f} s" for name, took in seconds.items()))
    return opened[fastest]


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The CPU's model, and the instructions that decide on kernels; empty where Linux does not tell."""
    if not cpuinfo.is_file():
        return ""
    lines = {
        name.strip(): value.strip()
        for name, colon, value in (line.partition(":") for line in cpuinfo.read_text().splitlines())
        if colon
    }
    kernels = sorted(flag for flag in lines.get("flags", "").split() if flag.startswith(("avx", "amx", "fma")))
    return " ".join([lines.get("model name", ""), *kernels]).strip()


def _key(cpu: str, threads: int, source: str, openers: Mapping[str, Opener]) -> str:
    versions = " ".join(f"{name} {_version(name)}" for name in sorted(openers))
    return f"{cpu}; {threads} threads; {source}; {versions}"


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "?"


def _seconds(encoder: EncoderBackend) -> float:
    side = encoder.architecture.image_size
    picture = np.zeros((1, side, side, 3), np.uint8)
    took = []
    for _ in range(1 + ROUNDS):
        started = time.perf_counter()
        encoder.encode(picture, np.array([[side, side]]))
        took.append(time.perf_counter() - started)
    return min(took[1:])


@contextmanager
def _alone(record: Path) -> Iterator[None]:
    """Replicas that start together measure one after the other, and all but the first find the record."""
    try:
        descriptor = record.with_suffix(".lock").open("w")
    except OSError:
        yield
        return
    with descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def _read(record: Path) -> dict[str, dict[str, float]]:
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _remember(record: Path, key: str, seconds: Mapping[str, float]) -> None:
    content = json.dumps({**_read(record), key: dict(seconds)}, indent=1)
    part = record.with_suffix(".part")
    with suppress(OSError):  # a read-only folder: the next start measures again
        part.write_text(content, encoding="utf-8")
        part.replace(record)
