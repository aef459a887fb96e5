"""Grids are cut for the replicas there are, or for those that are planned if these are more."""

from typing import Any

import pytest

from deployments.calls.remote import Call
from deployments.calls.replica_count import ReplicaCount

pytestmark = pytest.mark.anyio


class Replicas:
    """A deployment with a number of replicas that answer."""

    name = "MaskGridGenerator"

    def __init__(self, number: int) -> None:
        self.number = number
        self.asked = 0

    def call(self, method: str, *args: object, key: str = "") -> Call[Any]:
        raise NotImplementedError

    async def share(self, value: object) -> object:
        raise NotImplementedError

    async def broadcast(self, method: str, *, timeout_s: float) -> list[Any]:
        self.asked += 1
        return [None] * self.number


@pytest.mark.parametrize(("planned", "found", "expected"), [(2, 5, 5), (8, 2, 8), (3, 0, 3)])
async def test_it_is_what_there_is_and_never_less_than_planned(planned: int, found: int, expected: int) -> None:
    assert await ReplicaCount(Replicas(found), planned).get() == expected


async def test_the_deployment_is_not_asked_again_at_once() -> None:
    replicas = Replicas(4)
    count = ReplicaCount(replicas, 1)
    assert [await count.get() for _ in range(3)] == [4, 4, 4]
    assert replicas.asked == 1
