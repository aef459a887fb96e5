"""`/health` asks the replicas once a second, whoever asks it, and never for longer than its patience."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from deployments.calls.errors import NotReady
from deployments.http.status import HealthCheck

pytestmark = pytest.mark.anyio


class Deployment:
    """A deployment whose replicas answer, or do not."""

    name = "ImageEncoder"

    def __init__(self, answers: Sequence[object] = ("fine",)) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def broadcast(self, method: str, *, timeout_s: float) -> list[Any]:
        self.asked += 1
        await asyncio.sleep(0.01)
        return self.answers

    def call(self, method: str, *args: object, key: str = "") -> Any:
        raise AssertionError


async def test_many_that_ask_cost_one_look() -> None:
    deployment = Deployment()
    health = HealthCheck([deployment], keep_s=0.2)
    await asyncio.gather(*(health.check() for _ in range(100)))
    await health.check()
    assert deployment.asked == 1
    await asyncio.sleep(0.25)
    await health.check()
    assert deployment.asked == 2


async def test_a_bad_answer_is_kept_as_long_as_a_good_one() -> None:
    deployment = Deployment([])
    health = HealthCheck([deployment], keep_s=0.2)
    for _ in range(3):
        with pytest.raises(NotReady):
            await health.check()
    assert deployment.asked == 1
    deployment.answers = ["fine"]
    await asyncio.sleep(0.25)
    await health.check()


async def test_one_that_leaves_does_not_end_the_look_of_others() -> None:
    health = HealthCheck([Deployment()], keep_s=5)
    leaving = asyncio.create_task(health.check())
    staying = asyncio.create_task(health.check())
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
