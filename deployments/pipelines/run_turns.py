"""How runs of automatic masks share the server: turns that are dealt out run by run, and queues of whole runs.

Knows neither HTTP nor what a run does.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FairTurns:
    """A number of turns that all runs share. A turn that ends goes to the run that waits longest for its next one.

    A run with thousands of shards therefore holds up one with a single shard by no more than one turn of each other
    run. Belongs to one event loop.

    Args:
        turns: how many there are at once. May be changed at any time.
    """

    def __init__(self, turns: int = 1) -> None:
        self._turns = turns
        self._taken = 0
        self._waiting: OrderedDict[object, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def turns(self) -> int:
        return self._turns

    @turns.setter
    def turns(self, value: int) -> None:
        self._turns = value
        self._deal()

    @asynccontextmanager
    async def turn(self, run: object) -> AsyncIterator[None]:
        """One turn of the run, for the length of the block."""
        await self._take(run)
        try:
            yield
        finally:
            self._give_back()

    async def _take(self, run: object) -> None:
        if self._taken < self._turns and not self._waiting:
            self._taken += 1
            return
        dealt: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(run, deque()).append(dealt)
        try:
            await dealt
        except asyncio.CancelledError:
            if dealt.done() and not dealt.cancelled():
                self._give_back()
            raise

    def _give_back(self) -> None:
        self._taken -= 1
        self._deal()

    def _deal(self) -> None:
        while self._taken < self._turns and self._waiting:
            run, queue = self._waiting.popitem(last=False)
            dealt = queue.popleft()
            if queue:
                self._waiting[run] = queue
            if not dealt.done():
                dealt.set_result(None)
                self._taken += 1


class RunQueue:
    """Runs that work at once, and those that wait until one of them has ended, first come, first served.

    Args:
        slots: how many work at once.
    """

    def __init__(self, slots: int) -> None:
        self._free = asyncio.Semaphore(slots)
        self._waiting = 0

    def is_full(self) -> bool:
        """Whether a run would have to wait."""
        return self._free.locked()

    @property
    def place(self) -> int:
        """The place in the queue that the next run would get: 0 to work at once, 1 to be the next, and so on."""
        return self._waiting + 1 if self.is_full() else 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Room for one run, for the length of the block."""
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()
