"""The process that decodes: reads tasks from a pipe, one at a time, within bounds that each picture's size sets.

Ends when its parent does: at the end of its pipe while it is idle, of its standard input at any other time.
"""

import importlib
import logging
import os
import pickle
import resource
import signal
import sys
import threading
from multiprocessing import reduction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from segmentation.errors import SegmentationError
from segmentation.pictures.limits import Allowance, bounded_by

MB = 1_000_000
STANDS_BACK = 4
"""Niceness beside that of the process that started this one: prompts go first. Ray's workers have 15 of 19."""
START_CPU_S, CPU_S_PER_MB = 5.0, 0.25
"""Processor seconds for reading a header and metadata, and for each megabyte of the file."""
CPU_S_PER_MEGAPIXEL = 1.0
"""The slowest honest decoder (JPEG 2000 without loss) takes a quarter of it."""
START_BYTES, BYTES_PER_BYTE = 128 * MB, 4
BYTES_PER_PIXEL = 64
"""Of memory, beside stored samples: decoders of wavelets hold several floats for each sample."""


def main(handle: int) -> None:
    """Serves tasks until the pipe ends."""
    os.nice(STANDS_BACK)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the parent's to handle
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong with a picture is told to its sender
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for module in ("segmentation.pictures.decode", "imagecodecs"):
        importlib.import_module(module)
    pipe: Connection[Any, Any] = Connection(handle)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # C libraries write there what they think of a picture
    bounds = ProcessBounds()
    _answer(pipe, None)
    while True:
        try:
            module, function, arguments = pipe.recv()
            data = pipe.recv_bytes()
        except EOFError:
            return
        bounds.begin(len(data))
        try:
            with bounded_by(bounds):
                result = (True, getattr(importlib.import_module(module), function)(data, *arguments))
        except (SegmentationError, MemoryError) as error:
            result = (False, error)
        except Exception as error:  # a fault of the server's, which the parent reports
            result = (False, RuntimeError(f"{type(error).__name__}: {error}"))
        finally:
            bounds.end()
        del data
        _answer(pipe, result)
        del result


class ProcessBounds(Allowance):
    """Bounds of this process: the kernel ends it at the bound of time, and refuses memory beyond the other."""

    def __init__(self) -> None:
        self._unlimited = resource.getrlimit(resource.RLIMIT_DATA)[1]
        self._bytes, self._seconds = 0, 0.0

    def begin(self, file_bytes: int) -> None:
        """A picture of this many bytes is to be read; its size is not known yet."""
        self._bytes = _data_bytes() + START_BYTES + BYTES_PER_BYTE * file_bytes
        self._seconds = START_CPU_S + CPU_S_PER_MB * file_bytes / MB
        self._apply()

    def grow(self, pixels: int, stored_bytes: int = 0) -> None:
        self._bytes += BYTES_PER_PIXEL * pixels + BYTES_PER_BYTE * stored_bytes
        self._seconds += CPU_S_PER_MEGAPIXEL * (pixels + stored_bytes / 4) / MB
        self._apply()

    def end(self) -> None:
        """Nothing is decoded now."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_DATA, (self._unlimited, self._unlimited))

    def _apply(self) -> None:
        # SIGPROF ends the process unless it is handled, also inside a C library.
        signal.setitimer(signal.ITIMER_PROF, self._seconds)
        limit = self._bytes if self._unlimited == resource.RLIM_INFINITY else min(self._bytes, self._unlimited)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, self._unlimited))


def _answer(pipe: "Connection[Any, Any]", result: object) -> None:
    """Sends a result; its large arrays as shared memory, which takes no place in /dev/shm."""
    buffers: list[pickle.PickleBuffer] = []
    share = hasattr(os, "memfd_create")
    header = pickle.dumps(result, protocol=5, buffer_callback=buffers.append if share else None)
    views = [buffer.raw() for buffer in buffers]
    pipe.send((header, [view.nbytes for view in views]))
    if not views:
        return
    handle = os.memfd_create("picture")
    try:
        for view in views:
            _write(handle, view)
        reduction.send_handle(pipe, handle, os.getppid())
    finally:
        os.close(handle)


def _write(handle: int, view: memoryview) -> None:
    while view.nbytes:
        view = view[os.write(handle, view) :]


def _data_bytes() -> int:
    """What counts against RLIMIT_DATA now."""
    try:
        with Path("/proc/self/status").open(encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData:"))
    except OSError:
        return 1 << 40  # no such file system: the bound of time alone holds


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
