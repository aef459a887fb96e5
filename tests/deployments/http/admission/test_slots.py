"""Slots: all of them for whoever fits in, half of them while far more come than leave."""

import pytest

from deployments.http.admission.limiter import Slots

BOUND = 64
HALF = 32


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slots(clock: Clock) -> Slots:
    return Slots(BOUND, clock)


def fill(slots: Slots, *, refused: int = 0) -> int:
    """Lets in as many as may come, has that many more refused, and returns how many are inside."""
    while slots.refusal() is None:
        slots.take()
    for _ in range(refused - 1):
        assert slots.refusal() is not None
    return slots.taken


def seconds(slots: Slots, clock: Clock, count: int, *, left: int, refused: int) -> None:
    """So many windows: in each the slots are filled up, so many are refused, and so many leave."""
    for _ in range(count):
        fill(slots, refused=refused)
        for _ in range(left):
            slots.leave()
        clock.now += 1.0


def test_a_burst_may_take_all_slots_and_the_refusal_says_how_many(slots: Slots) -> None:
    assert fill(slots) == BOUND
    refusal = slots.refusal()
    assert refusal is not None
    assert "64 requests are under way already" in refusal.message
    slots.leave()
    assert slots.refusal() is None


def test_half_are_given_out_while_more_are_refused_than_leave(slots: Slots, clock: Clock) -> None:
    seconds(slots, clock, 1, left=20, refused=200)
    assert fill(slots) == BOUND - 20
    slots.leave()
    assert slots.refusal() is not None
    seconds(slots, clock, 5, left=20, refused=200)
    assert fill(slots) == HALF
    refusal = slots.refusal()
    assert refusal is not None
    assert "32 requests are under way already" in refusal.message


def test_all_are_there_again_once_no_more_are_refused_than_leave(slots: Slots, clock: Clock) -> None:
    seconds(slots, clock, 8, left=20, refused=200)
    seconds(slots, clock, 1, left=20, refused=20)
    assert fill(slots) == BOUND


def test_all_are_there_again_after_a_pause(slots: Slots, clock: Clock) -> None:
    seconds(slots, clock, 8, left=20, refused=200)
    clock.now += 60
    assert fill(slots) == BOUND


def test_the_place_of_a_long_request_is_given_out_again_though_more_are_refused(slots: Slots, clock: Clock) -> None:
    seconds(slots, clock, 5, left=0, refused=200)
    seconds(slots, clock, 1, left=1, refused=200)
    assert fill(slots, refused=200) == BOUND - 1
    clock.now += 1.0
    assert fill(slots) == BOUND


@pytest.mark.parametrize(("bound", "given_out"), [(0, 0), (1, 1), (16, 16), (20, 16), (100, 50)])
def test_batches_stay_full_whatever_the_bound(bound: int, given_out: int, clock: Clock) -> None:
    slots = Slots(bound, clock)
    seconds(slots, clock, 60, left=min(bound, 1), refused=200)
    assert fill(slots) == given_out


def test_without_a_bound_everybody_comes_in() -> None:
    slots = Slots()
    for _ in range(1000):
        assert slots.refusal() is None
        slots.take()
    assert slots.taken == 1000
