"""The batcher: adaptive, fair to healthy jobs, and clean about callers that leave."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from deployments.replicas.batching import AGED_S, Batched, Batcher, BatcherFailed
from deployments.telemetry.events import BatchReport

pytestmark = pytest.mark.anyio


class Executor:
    """A batch function that can be held back, and remembers its batches. Raises for batches with a poisonous job."""

    def __init__(self, poison: int | None = None) -> None:
        self.batches: list[list[int]] = []
        self.may_run = threading.Event()
        self.may_run.set()
        self.poison = poison

    def __call__(self, jobs: Sequence[int]) -> list[int]:
        self.batches.append(list(jobs))
        assert self.may_run.wait(10)
        if self.poison in jobs:
            raise ValueError(f"poison among {jobs}")
        return [10 * job for job in jobs]


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 (what is waited for happens in another thread)
        await asyncio.sleep(0.001)


async def test_an_idle_batcher_runs_a_job_at_once_and_alone(threads: ThreadPoolExecutor) -> None:
    run = Executor()
    batched = await Batcher(run, threads, max_weight=8).submit(1)
    assert (batched.result, batched.batch) == (10, 1)
    assert batched.waited_s < 0.05


async def test_what_came_while_a_batch_ran_is_the_next_batch(threads: ThreadPoolExecutor) -> None:
    run = Executor()
    run.may_run.clear()
    batcher: Batcher[int, int] = Batcher(run, threads, max_weight=8)
    first = asyncio.create_task(batcher.submit(0))
    await until(lambda: run.batches)
    others = [asyncio.create_task(batcher.submit(job)) for job in range(1, 6)]
    await until(lambda: len(batcher) == 5)
    run.may_run.set()
    await asyncio.gather(first, *others)
    assert run.batches == [[0], [1, 2, 3, 4, 5]]
    assert [(await other).result for other in others] == [10, 20, 30, 40, 50]


async def test_what_fills_several_batches_is_dealt_out_evenly(threads: ThreadPoolExecutor) -> None:
    run = Executor()
    batcher: Batcher[int, int] = Batcher(run, threads, max_weight=24)
    await asyncio.gather(*(batcher.submit(job) for job in range(50)))
    assert [len(batch) for batch in run.batches] == [17, 17, 16]
    assert [job for batch in run.batches for job in batch] == list(range(50))


async def test_a_job_without_weight_runs_too(threads: ThreadPoolExecutor) -> None:
    batcher: Batcher[int, int] = Batcher(Executor(), threads, max_weight=8, weigh=lambda job: job)
    assert (await batcher.submit(0)).result == 0


async def test_no_batch_is_heavier_than_the_bound_but_a_heavy_job_runs_alone(threads: ThreadPoolExecutor) -> None:
    run = Executor()
    batcher = Batcher(run, threads, max_weight=5, weigh=lambda job: job)
    await asyncio.gather(*(batcher.submit(job) for job in (2, 3, 1, 9, 4)))
    assert run.batches == [[2, 3], [1], [9], [4]]


async def test_the_bound_can_change_while_it_runs(threads: ThreadPoolExecutor) -> None:
    run = Executor()
    batcher: Batcher[int, int] = Batcher(run, threads, max_weight=1)
    batcher.max_weight = 3
    await asyncio.gather(*(batcher.submit(job) for job in range(3)))
    assert run.batches == [[0, 1, 2]]


async def test_a_poisonous_job_fails_alone(threads: ThreadPoolExecutor) -> None:
    run = Executor(poison=2)
    batcher: Batcher[int, int] = Batcher(run, threads, max_weight=8)
    answers = await asyncio.gather(*(batcher.submit(job) for job in range(4)), return_exceptions=True)
    assert [getattr(answer, "result", None) for answer in answers] == [0, 10, None, 30]
    assert isinstance(answers[2], ValueError)
    assert (await batcher.submit(7)).result == 70


async def test_a_job_whose_caller_left_is_never_run(threads: ThreadPoolExecutor) -> None:
    run = Executor()
    run.may_run.clear()
    batcher: Batcher[int, int] = Batcher(run, threads, max_weight=8)
    first = asyncio.create_task(batcher.submit(0))
    await until(lambda: run.batches)
    leaver, stayer = asyncio.create_task(batcher.submit(1)), asyncio.create_task(batcher.submit(2))
    await until(lambda: len(batcher) == 2)
    leaver.cancel()
    await asyncio.gather(leaver, return_exceptions=True)
    run.may_run.set()
    await asyncio.gather(first, stayer)
    assert run.batches == [[0], [2]]


async def test_a_caller_that_leaves_during_its_batch_disturbs_nobody(threads: ThreadPoolExecutor) -> None:
    run = Executor()
    run.may_run.clear()
    batcher: Batcher[int, int] = Batcher(run, threads, max_weight=8)
    leaver, stayer = asyncio.create_task(batcher.submit(1)), asyncio.create_task(batcher.submit(2))
    await until(lambda: run.batches)
    leaver.cancel()
    run.may_run.set()
    assert (await stayer).result == 20
    assert run.batches == [[1, 2]]


async def test_every_batch_is_reported(threads: ThreadPoolExecutor) -> None:
    reports: list[BatchReport] = []
    batcher = Batcher(Executor(), threads, max_weight=8, weigh=lambda job: job, emit=reports.append)
    await asyncio.gather(batcher.submit(3), batcher.submit(4))
    assert [(emit.jobs, emit.weight) for emit in reports] == [(2, 7)]
    assert 0 <= reports[0].waited_s < 1
    assert 0 < reports[0].ran_s < 1


async def test_a_wrong_number_of_results_is_an_error_and_not_a_mixed_up_answer(threads: ThreadPoolExecutor) -> None:
    batcher: Batcher[int, int] = Batcher(lambda jobs: [1, 2, 3], threads, max_weight=8)
    answers = await asyncio.gather(batcher.submit(1), batcher.submit(2), return_exceptions=True)
    assert all(isinstance(answer, RuntimeError) for answer in answers)


async def test_urgent_jobs_run_first_and_alone(threads: ThreadPoolExecutor) -> None:
    run = Executor()
    batcher = Batcher(run, threads, max_weight=4)
    run.may_run.clear()
    jobs = [asyncio.create_task(batcher.submit(0))]
    await until(lambda: run.batches)
    jobs += [asyncio.create_task(batcher.submit(job, is_urgent=job > 10)) for job in (1, 2, 11, 3, 12)]
    await until(lambda: len(batcher) == 5)
    run.may_run.set()
    await asyncio.gather(*jobs)
    assert run.batches == [[0], [11, 12], [1, 2, 3]]


async def test_a_job_that_is_not_urgent_never_starves(threads: ThreadPoolExecutor) -> None:
    run = Executor()
    batcher = Batcher(run, threads, max_weight=1)
    run.may_run.clear()
    jobs = [asyncio.create_task(batcher.submit(0))]
    await until(lambda: run.batches)
    jobs.append(asyncio.create_task(batcher.submit(1, is_urgent=False)))
    await until(lambda: len(batcher) == 1)
    batcher._queue[0].since -= AGED_S
    jobs.append(asyncio.create_task(batcher.submit(2)))
    await until(lambda: len(batcher) == 2)
    run.may_run.set()
    await asyncio.gather(*jobs)
    assert run.batches == [[0], [1], [2]]


@pytest.mark.parametrize("failure", [RuntimeError("emit"), SystemExit(1)])
async def test_whatever_ends_the_batcher_every_caller_is_told(
    threads: ThreadPoolExecutor, failure: BaseException
) -> None:
    def fail(report: BatchReport) -> None:
        raise failure

    run = Executor()
    batcher = Batcher(run, threads, max_weight=1, emit=fail)
    run.may_run.clear()
    jobs = [asyncio.create_task(batcher.submit(job)) for job in range(3)]
    await until(lambda: run.batches)
    run.may_run.set()
    async with asyncio.timeout(5):
        answers = await asyncio.gather(*jobs, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Batched, BatcherFailed, BatcherFailed]
    batcher._emit = lambda report: None
    assert (await batcher.submit(7)).result == 70
