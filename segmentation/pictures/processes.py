"""Decoding in processes of their own, which can be ended: pictures of strangers are given to C libraries.

A process gets one picture at a time, and bounds of memory and processor time that grow with its size. The caller may
end the work at any moment, which kills the process; another one takes its place when it is needed. A picture that
crashes a library, or exceeds a bound, is an error of that picture and of nothing else.
"""

import mmap
import os
import pickle
import queue
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection, reduction
from multiprocessing.connection import Connection
from typing import Any

from segmentation.errors import ImageTooLarge, InvalidImage
from segmentation.pictures.small import is_small

STARTS_WITHIN_S = 60.0
"""Starting a process imports NumPy, Pillow and tifffile; more on a busy machine."""
CRASHED = "the picture could not be decoded: it is damaged, or takes more time than its size explains; save it again"
TOO_MUCH_MEMORY = "the picture takes more memory to decode than its size explains; save it again"


class DecoderLost(Exception):
    """The process ended without an answer: it was killed, it crashed, or it never started."""


class Interrupted(Exception):
    """The work was ended by its caller."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a process runs: `function(data, *arguments)`, a function of a module that the process can import."""

    function: Callable[..., Any]
    data: bytes
    arguments: tuple[Any, ...] = ()


class DecoderProcess:
    """One process. Runs one task at a time; belongs to one thread, but `kill` may come from any."""

    def __init__(self) -> None:
        ours, theirs = connection.Pipe(duplex=True)
        self._connection: Connection[Any, Any] = ours
        self._process = subprocess.Popen(
            [sys.executable, "-m", "segmentation.pictures.worker", str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **_QUIET},
        )
        theirs.close()
        if not ours.poll(STARTS_WITHIN_S):
            self.kill()
            raise DecoderLost(f"a process for decoding pictures did not start within {STARTS_WITHIN_S:g} s")
        self._receive()

    def run(self, task: Task) -> Any:
        """The task's result.

        Raises:
            DecoderLost: the process ended; it is of no further use.
            SegmentationError: the task's.
        """
        try:
            self._connection.send((task.function.__module__, task.function.__name__, task.arguments))
            self._connection.send_bytes(task.data)
        except OSError as error:
            raise DecoderLost("the process for decoding pictures has ended") from error
        succeeded, result = self._receive()
        if not succeeded:
            raise result
        return result

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Ends the process and waits until it has."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._connection.close()

    def _receive(self) -> Any:
        try:
            header, sizes = self._connection.recv()
            buffers = self._buffers(sizes)
        except (EOFError, OSError) as error:
            raise DecoderLost("the process for decoding pictures has ended") from error
        return pickle.loads(header, buffers=buffers)

    def _buffers(self, sizes: list[int]) -> list[memoryview]:
        """Large arrays as the process shares them: mapped, not copied."""
        if not sizes:
            return []
        handle = reduction.recv_handle(self._connection)
        try:
            # Private: the arrays may be written to, which the process that made them does not see.
            shared = memoryview(mmap.mmap(handle, sum(sizes), flags=mmap.MAP_PRIVATE))
        finally:
            os.close(handle)
        views, start = [], 0
        for size in sizes:
            views.append(shared[start : start + size])
            start += size
        return views


class Ticket:
    """One task under way: `cancel` ends it, also before it has begun."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: DecoderProcess | None = None
        self.cancelled = False

    def cancel(self) -> None:
        with self._lock:
            self.cancelled = True
            if self._process is not None:
                self._process.kill()

    def begin(self, process: DecoderProcess) -> None:
        """Raises Interrupted if it was cancelled before."""
        with self._lock:
            if self.cancelled:
                raise Interrupted
            self._process = process

    def end(self) -> None:
        with self._lock:
            self._process = None


class DecoderProcesses:
    """Up to `limit` processes, started when they are needed and kept. Safe from several threads; blocks its caller."""

    def __init__(self, limit: int) -> None:
        self._idle: queue.LifoQueue[DecoderProcess | None] = queue.LifoQueue()
        for _ in range(limit):
            self._idle.put(None)
        # Also when nobody closed it: a process that nobody waits for stays as a zombie.
        weakref.finalize(self, _end_idle, self._idle)

    def start(self) -> None:
        """Starts one process, so that the first picture does not wait for it."""
        process = self._idle.get()
        try:
            process = process or DecoderProcess()
        finally:
            self._idle.put(process)

    def decode(self, task: Task, ticket: Ticket | None = None) -> Any:
        """As `run`. A picture whose work is bounded by its form is decoded in place, which takes less time."""
        if is_small(task.data):
            return task.function(task.data, *task.arguments)
        return self.run(task, ticket)

    def run(self, task: Task, ticket: Ticket | None = None) -> Any:
        """The task's result, from the first process that is free.

        Raises:
            Interrupted: the ticket was cancelled.
            InvalidImage: the process crashed, or took more time than the picture's size explains.
            ImageTooLarge: it took more memory than that.
            SegmentationError: the task's.
        """
        ticket = ticket or Ticket()
        process = self._idle.get()
        try:
            if ticket.cancelled:
                raise Interrupted
            if process is not None and not process.is_alive():
                process.kill()  # ended while it was idle: no fault of this picture's
                process = None
            process = process or DecoderProcess()
            ticket.begin(process)
            try:
                return process.run(task)
            finally:
                ticket.end()
        except DecoderLost as error:
            lost, process = process, None
            if lost is None:
                raise  # it did not start: no fault of the picture's
            lost.kill()
            if ticket.cancelled:
                raise Interrupted from error
            raise InvalidImage(CRASHED) from error
        except MemoryError as error:
            raise ImageTooLarge(TOO_MUCH_MEMORY) from error
        except KeyboardInterrupt:
            if process is not None:
                process.kill()  # it would answer the next task with this one's result
                process = None
            raise
        finally:
            self._idle.put(process)

    def close(self) -> None:
        """Ends the processes that are idle."""
        _end_idle(self._idle)


def _end_idle(idle: "queue.LifoQueue[DecoderProcess | None]") -> None:
    while True:
        try:
            process = idle.get_nowait()
        except queue.Empty:
            return
        if process is not None:
            process.kill()


_QUIET = {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "PYTHONWARNINGS": "ignore"}
"""For each process: few threads, few heaps, and no warnings of damaged metadata in the log."""
