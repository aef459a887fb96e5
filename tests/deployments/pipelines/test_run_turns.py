"""Runs take turns: a short run never waits for more than one turn of each other run."""

import asyncio

import pytest

from deployments.pipelines.run_turns import FairTurns, RunQueue

pytestmark = pytest.mark.anyio


async def use(turns: FairTurns, run: str, order: list[str]) -> None:
    async with turns.turn(run):
        order.append(run)
        await asyncio.sleep(0)


async def test_turns_are_dealt_out_run_by_run() -> None:
    turns, order = FairTurns(1), list[str]()
    long = [asyncio.create_task(use(turns, run, order)) for run in "aaaaabbbbb"]
    await asyncio.sleep(0)
    await use(turns, "short", order)
    assert order.index("short") <= 3
    await asyncio.gather(*long)
    assert sorted(order) == sorted(["short", *"aaaaabbbbb"])


async def test_no_more_turns_are_taken_than_there_are_and_more_can_be_added() -> None:
    turns, taken, most = FairTurns(2), 0, 0
    release = asyncio.Event()

    async def hold(run: int) -> None:
        nonlocal taken, most
        async with turns.turn(run):
            taken += 1
            most = max(most, taken)
            await release.wait()
            taken -= 1

    tasks = [asyncio.create_task(hold(run)) for run in range(6)]
    await asyncio.sleep(0.01)
    assert taken == 2
    turns.turns = 3
    await asyncio.sleep(0.01)
    assert taken == 3
    release.set()
    await asyncio.gather(*tasks)
    assert (taken, most) == (0, 3)


async def test_a_turn_that_nobody_waits_for_any_more_is_not_lost() -> None:
    turns, order = FairTurns(1), list[str]()
    async with turns.turn("first"):
        left = asyncio.create_task(use(turns, "left", order))
        stays = asyncio.create_task(use(turns, "stays", order))
        await asyncio.sleep(0)
        left.cancel()
    left_as_it_got_its_turn = asyncio.create_task(use(turns, "left later", order))
    await asyncio.sleep(0)
    left_as_it_got_its_turn.cancel()
    await stays
    await use(turns, "last", order)
    assert order == ["stays", "last"]


async def test_a_queue_tells_the_place_before_it_is_taken() -> None:
    queue, places, release = RunQueue(2), list[int](), asyncio.Event()

    async def run() -> None:
        places.append(queue.place)
        async with queue.slot():
            await release.wait()

    runs = []
    for _ in range(4):
        runs.append(asyncio.create_task(run()))
        await asyncio.sleep(0)
    assert places == [0, 0, 1, 2]
    assert queue.is_full()
    runs[3].cancel()
    await asyncio.sleep(0)
    assert queue.place == 2
    release.set()
    await asyncio.gather(*runs[:3])
    assert queue.place == 0
