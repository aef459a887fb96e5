"""A stream says something at least every few seconds, whatever its run does, and closes it when it is left."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from deployments.http.stream import event_lines, with_pauses
from deployments.pipelines.automatic import Finished, Progress, Started
from deployments.telemetry.events import discard

pytestmark = pytest.mark.anyio


async def slow_run(closed: list[bool]) -> AsyncGenerator[Started | Progress | Finished, None]:
    try:
        await asyncio.sleep(0.25)
        yield Progress(3, 9)
        await asyncio.sleep(0.25)
        yield Progress(9, 9)
    finally:
        closed.append(True)


async def test_the_latest_progress_is_repeated() -> None:
    closed: list[bool] = []
    lines = [
        line
        async for line in event_lines({"size": [1, 1]}, slow_run(closed), lambda _: {}, "id", discard, every_s=0.1)  # type: ignore[typeddict-item]
    ]
    assert [line["event"] for line in lines] == ["start", *["progress"] * (len(lines) - 1)]
    done = [line["done"] for line in lines[1:]]
    assert done == sorted(done)
    assert done.count(0) >= 1
    assert done.count(3) >= 2
    assert closed == [True]


async def test_a_stream_that_is_left_closes_its_run() -> None:
    closed: list[bool] = []
    steps = with_pauses(slow_run(closed), 0.1)
    assert await anext(steps) is None
    await steps.aclose()
    assert closed == [True]


async def test_a_failure_comes_through() -> None:
    async def failing() -> AsyncGenerator[int, None]:
        yield 1
        raise ValueError

    steps = with_pauses(failing(), 5)
    assert await anext(steps) == 1
    with pytest.raises(ValueError):
        await anext(steps)
