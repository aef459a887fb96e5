"""Waiting for what happens elsewhere, with an end."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object]) -> None:
    """Returns once the condition holds.

    Raises:
        TimeoutError: it does not within ten seconds.
    """
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (what is waited for happens in another thread)
            await asyncio.sleep(0.001)
