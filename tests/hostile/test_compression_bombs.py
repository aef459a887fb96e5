"""Bombs in every compression, in the process that decodes them: errors of ours, and memory as their size allows."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from compression_bombs import BOMBS
from processes_tasks import own_pid

from segmentation.errors import SegmentationError
from segmentation.pictures.options import DecodeOptions
from segmentation.pictures.processes import DecoderProcesses, Task
from segmentation.pictures.tasks import whole

GROWTH_BYTES = 300_000_000
"""128 MB and 4 bytes a byte for reading the file, 64 bytes a pixel of one megapixel for decoding it."""


@pytest.fixture(scope="module")
def processes() -> Iterator[DecoderProcesses]:
    pool = DecoderProcesses(1)
    yield pool
    pool.close()


def peak(pid: int) -> int:
    """The most resident memory that the process ever had, in bytes; 0 once it is gone."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return 1024 * int(found[1]) if found else 0


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_harmless(processes: DecoderProcesses, name: str) -> None:
    data = BOMBS[name]()
    assert len(data) < 5_000_000
    pid = processes.run(Task(own_pid, b""))
    before = peak(pid)
    with contextlib.suppress(SegmentationError):
        rgb, _ = processes.run(Task(whole, data, (DecodeOptions(), 1.0)))
        assert rgb.size <= 3_000_000
    assert peak(pid) - before < GROWTH_BYTES
