import threading
import time

import pytest

from segmentation.workers import Workers


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 100])
def test_results_are_in_order(threads: int, count: int) -> None:
    assert Workers(threads).map(lambda item: item * item, range(count)) == [item * item for item in range(count)]


def test_threads_work_side_by_side() -> None:
    # Each waits for the others: alone, none would go on.
    barrier = threading.Barrier(3, timeout=10)
    assert sorted(Workers(3).map(lambda _: barrier.wait(), range(3))) == [0, 1, 2]


def test_one_thread_is_the_callers() -> None:
    assert Workers(1).map(lambda _: threading.get_ident(), range(3)) == [threading.get_ident()] * 3


def test_a_caller_whose_others_are_busy_does_everything_itself() -> None:
    workers, blocked, go = Workers(2), threading.Event(), threading.Event()

    def block(_: int) -> None:
        blocked.set()
        assert go.wait(10)

    caller = threading.Thread(target=workers.map, args=(block, range(2)))
    caller.start()
    assert blocked.wait(10)
    while workers._calls.qsize():
        time.sleep(0.001)
    done: list[list[int]] = []
    other = threading.Thread(target=lambda: done.append(workers.map(lambda item: item, [1, 2, 3])))
    other.start()
    other.join(10)
    assert done == [[1, 2, 3]]
    go.set()
    caller.join(10)


def test_functions_may_use_the_workers_that_run_them() -> None:
    workers = Workers(2)
    assert workers.map(lambda outer: sum(workers.map(lambda inner: outer * inner, range(4))), range(4)) == [
        0,
        6,
        12,
        18,
    ]


@pytest.mark.parametrize("bad", [0, 3])
def test_an_error_reaches_the_caller_wherever_it_was_raised(bad: int) -> None:
    def fail(item: int) -> int:
        time.sleep(0.01)
        if item == bad:
            raise ValueError("bad item")
        return item

    with pytest.raises(ValueError, match="bad item"):
        Workers(2).map(fail, range(4))


def test_nothing_begins_after_an_error() -> None:
    begun = []

    def fail(item: int) -> None:
        begun.append(item)
        raise ValueError("bad item")

    with pytest.raises(ValueError, match="bad item"):
        Workers(2).map(fail, range(100))
    assert len(begun) <= 2


def test_threads_end_with_their_workers() -> None:
    before = set(threading.enumerate())
    workers = Workers(3)
    workers.map(lambda item: item, range(10))
    others = set(threading.enumerate()) - before
    assert len(others) == 2
    del workers
    for other in others:
        other.join(10)
    assert not any(other.is_alive() for other in others)
