"""When a request has taken too long, its reading included. Knows no HTTP."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

from deployments.calls.errors import DeadlineExceeded

T = TypeVar("T")


class Deadline:
    """A moment, some seconds after it was made."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends = asyncio.get_running_loop().time() + seconds

    @asynccontextmanager
    async def guard(self) -> AsyncIterator[None]:
        """Cancels the block at the deadline.

        Raises:
            DeadlineExceeded: it did.
        """
        try:
            async with asyncio.timeout_at(self._ends):
                yield
        except TimeoutError:
            raise DeadlineExceeded(
                f"no answer within {self._seconds:g} s. Automatic masks are faster with performance_mode or a lower "
                "crop_n_layers, and stream shows how far they are"
            ) from None

    async def until(self, events: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """The events, each under the deadline: a guard around a `yield` would cancel whoever sends them."""
        async with aclosing(events):
            while True:
                async with self.guard():
                    try:
                        event = await anext(events)
                    except StopAsyncIteration:
                        return
                yield event
