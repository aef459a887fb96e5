"""Waiting for what happens elsewhere, with an end."""

import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], object]) -> None:
    """Returns once the condition holds.

    Raises:
        TimeoutError: it does not within ten seconds.
    """
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (what is waited for happens in another thread)
            await asyncio.sleep(0.001)


def wait_until(condition: Callable[[], object], seconds: float) -> None:
    """`until` for threads and for as long as it may take.

    Raises:
        TimeoutError: it does not hold within that time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s")
        time.sleep(0.1)
