"""Calls for one key share one execution."""

import asyncio

import pytest

from deployments.replicas.single_flight import SingleFlight

pytestmark = pytest.mark.anyio


class Work:
    """Counts its runs, and ends when it is let."""

    def __init__(self) -> None:
        self.runs = 0
        self.cancelled = 0
        self.may_end = asyncio.Event()

    async def __call__(self) -> int:
        self.runs += 1
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.runs


async def started(*tasks: "asyncio.Task[int]") -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_callers_of_one_key_share_a_run_and_later_ones_start_anew() -> None:
    flights, work = SingleFlight[int](), Work()
    callers = [asyncio.create_task(flights.run("a", work)) for _ in range(3)]
    await started(*callers)
    work.may_end.set()
    assert await asyncio.gather(*callers) == [1, 1, 1]
    assert await flights.run("a", work) == 2


async def test_other_keys_run_apart() -> None:
    flights, work = SingleFlight[int](), Work()
    work.may_end.set()
    assert sorted(await asyncio.gather(flights.run("a", work), flights.run("b", work))) == [1, 2]


async def test_one_caller_that_leaves_does_not_take_the_others_with_it() -> None:
    flights, work = SingleFlight[int](), Work()
    leaver, stayer = (asyncio.create_task(flights.run("a", work)) for _ in range(2))
    await started(leaver, stayer)
    leaver.cancel()
    await started(leaver)
    work.may_end.set()
    assert await stayer == 1
    assert work.cancelled == 0


async def test_when_the_last_caller_leaves_the_work_ends_and_can_start_anew() -> None:
    flights, work = SingleFlight[int](), Work()
    leavers = [asyncio.create_task(flights.run("a", work)) for _ in range(2)]
    await started(*leavers)
    for leaver in leavers:
        leaver.cancel()
    await asyncio.gather(*leavers, return_exceptions=True)
    await started()
    assert work.cancelled == 1
    work.may_end.set()
    assert await flights.run("a", work) == 2


async def test_a_failure_reaches_every_caller_and_is_not_remembered() -> None:
    flights, work = SingleFlight[int](), Work()
    work.may_end.set()

    async def fail() -> int:
        await asyncio.sleep(0)
        raise ValueError("once")

    answers = await asyncio.gather(flights.run("a", fail), flights.run("a", fail), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["once", "once"]
    assert await flights.run("a", work) == 1
