"""Notices a runtime that is stuck or broken, or short of memory, for the health check of its replica.

Knows neither Ray nor SAM.

Serve asks every replica every ten seconds, and replaces one that says three times in a row that it is ill.
"""

import logging
import mmap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FAILURES = 5
"""After so many failures in a row the runtime is tried on known input: a caller's own input may be what fails."""

STUCK_FACTOR = 5
"""A run may take this many times the longest before, by weight, however short `stuck_after_s` is."""

FIRST_FACTOR = 6
"""While nothing is known of the runtime, a run may take this many times `stuck_after_s`."""

MEMORY_BYTES = 64_000_000
"""A process that can't get so much more can't take calls: Ray fails to deserialise their arguments, before any run."""

logger = logging.getLogger(__name__)


class Unhealthy(Exception):
    """The replica must be replaced."""


class RuntimeWatch:
    """Watches the runs of one runtime, one at a time; runs and checks may come from different threads.

    Args:
        probe: a small run on known input. Called in the thread of the runs; raises if the runtime is broken.
        stuck_after_s: a run that takes longer is stuck; 0 for never. See `STUCK_FACTOR` and `FIRST_FACTOR`, too.
        clock: seconds.
    """

    def __init__(
        self, probe: Callable[[], object], *, stuck_after_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._probe = probe
        self._stuck_after_s = stuck_after_s
        self._clock = clock
        self._under_way: tuple[float, int] | None = None
        self._slowest_s: float | None = None
        self._failures = 0
        self._fault: Exception | None = None

    @contextmanager
    def run(self, weight: int = 1) -> Iterator[None]:
        """Around one run of that weight; what it raises goes on to the caller."""
        started = self._clock()
        self._under_way = (started, max(weight, 1))
        try:
            yield
        except Exception:
            self._failures += 1
            if self._failures % FAILURES == 0:
                self._try_known_input()
            raise
        else:
            self._failures = 0
            self._fault = None
            self._slowest_s = max(self._slowest_s or 0.0, (self._clock() - started) / max(weight, 1))
        finally:
            self._under_way = None

    def check(self) -> None:
        """Returns if all is well.

        Raises:
            Unhealthy: the runtime is stuck in a run, or fails on known input, too; or the process gets no more memory.
        """
        check_memory(MEMORY_BYTES)
        fault, under_way = self._fault, self._under_way
        if fault is not None:
            raise Unhealthy(f"the runtime failed {self._failures} times in a row, and on known input: {fault!r}")
        if under_way is None or not self._stuck_after_s:
            return
        started, weight = under_way
        took, patience = self._clock() - started, self._patience(weight)
        if took > patience:
            raise Unhealthy(f"the runtime has been busy with one run for {took:.0f} s, more than {patience:.0f} s")

    def _patience(self, weight: int) -> float:
        if self._slowest_s is None:
            return FIRST_FACTOR * self._stuck_after_s
        return max(self._stuck_after_s, STUCK_FACTOR * self._slowest_s * weight)

    def _try_known_input(self) -> None:
        try:
            self._probe()
        except Exception as error:
            logger.exception("the runtime is broken: it failed %d times in a row, and on known input", self._failures)
            self._fault = error
        else:
            logger.warning("%d runs in a row failed, but the runtime works on known input", self._failures)
            self._fault = None


def check_memory(nbytes: int) -> None:
    """Returns if this process can get so many bytes more, of which it uses none.

    Raises:
        Unhealthy: it can't: the memory, or the process's own limit of it, is used up.
    """
    try:
        mmap.mmap(-1, nbytes).close()
    except (OSError, MemoryError) as error:
        raise Unhealthy(f"this process can't get {nbytes / 1e6:.0f} MB more of memory: {error}") from None
