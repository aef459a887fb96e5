"""Slots and bytes: taken, refused, and given back whatever happens."""

import pytest

from deployments.calls.errors import NotReady, Overloaded
from deployments.http.admission.byte_budget import ByteBudget
from deployments.http.admission.limiter import Admission
from deployments.http.auth import ANYBODY, Caller

ALICE, BOB = Caller("a"), Caller("b")


def test_each_key_has_slots_of_its_own_within_those_of_everybody() -> None:
    admission = Admission(slots=3, run_slots=1, slots_per_key=2)
    with admission.place(ALICE), admission.place(ALICE):
        with pytest.raises(Overloaded, match="2 requests of this API key"), admission.place(ALICE):
            pass
        with admission.place(BOB):
            assert admission.taken == 3
            with pytest.raises(Overloaded, match="3 requests are under way"), admission.place(BOB):
                pass
        assert admission.taken == 2
    with admission.place(ALICE):
        assert admission.taken == 1


@pytest.mark.parametrize(("caller", "slots_per_key"), [(ALICE, 0), (ANYBODY, 1)])
def test_without_keys_or_a_bound_for_them_only_all_slots_count(caller: Caller, slots_per_key: int) -> None:
    admission = Admission(slots=2, run_slots=1, slots_per_key=slots_per_key)
    with admission.place(caller), admission.place(caller):
        assert admission.taken == 2


def test_runs_and_other_requests_have_slots_of_their_own() -> None:
    admission = Admission(slots=1, run_slots=1)
    with admission.place(is_run=True):
        with pytest.raises(Overloaded), admission.place(is_run=True):
            pass
        with admission.place():
            assert (admission.taken, admission.runs) == (2, 1)
            with pytest.raises(Overloaded), admission.place():
                pass
    assert admission.taken == 0


def test_a_request_whose_body_asks_for_a_run_changes_its_slot() -> None:
    admission = Admission(slots=1, run_slots=1)
    with admission.place(ALICE) as place:
        place.become_run()
        place.become_run()
        assert (admission.taken, admission.runs) == (1, 1)
        with admission.place(BOB) as other:
            with pytest.raises(Overloaded, match="1 requests are under way"):
                other.become_run()
            assert (admission.taken, admission.runs) == (2, 1)
    assert (admission.taken, admission.runs) == (0, 0)


def test_once_closed_it_lets_nobody_in_and_who_is_inside_stays() -> None:
    admission = Admission(2, 1)
    with admission.place():
        admission.check_open()
        admission.close()
        with pytest.raises(NotReady, match="stop"), admission.place(ALICE):
            pass
        with pytest.raises(NotReady):
            admission.check_open()
        assert admission.taken == 1
    assert admission.taken == 0


def test_a_place_comes_back_after_a_failure() -> None:
    admission = Admission(1, 1)
    with pytest.raises(RuntimeError), admission.place(ALICE):
        raise RuntimeError
    assert admission.taken == 0


def test_bytes_are_shared_and_come_back_with_their_request() -> None:
    budget = ByteBudget(10)
    with budget.share() as first:
        first.take(4)
        with budget.share() as second:
            second.require(6)
            second.take(5)
            for refuse in (second.require, second.take):
                with pytest.raises(Overloaded):
                    refuse(2)
            assert budget.taken == 9
        assert budget.taken == 4
        first.take(6)
        assert budget.taken == 10
    assert budget.taken == 0


def test_bytes_come_back_after_a_failure() -> None:
    budget = ByteBudget(10)

    def fail() -> None:
        with budget.share() as share:
            share.take(10)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert budget.taken == 0
