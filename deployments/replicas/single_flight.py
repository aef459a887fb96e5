"""Concurrent calls for the same thing share one execution."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Runs `work` once for all callers that ask for the same key while it runs.

    A caller that is cancelled leaves the others undisturbed; when the last one leaves, the work is cancelled.
    """

    def __init__(self) -> None:
        self._flights: dict[str, tuple[asyncio.Task[T], list[object]]] = {}

    async def run(self, key: str, work: Callable[[], Awaitable[T]]) -> T:
        """The result of `work`, or of the same key's `work` that is already under way."""
        if key not in self._flights:
            task = asyncio.ensure_future(_as_coroutine(work))
            self._flights[key] = (task, [])
            task.add_done_callback(lambda done: self._land(key, done))
        task, passengers = self._flights[key]
        passenger = object()
        passengers.append(passenger)
        try:
            return await asyncio.shield(task)
        finally:
            passengers.remove(passenger)
            if not passengers and not task.done():
                self._land(key, task)
                task.cancel()

    def _land(self, key: str, task: "asyncio.Task[T]") -> None:
        if key in self._flights and self._flights[key][0] is task:
            del self._flights[key]


async def _as_coroutine(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
