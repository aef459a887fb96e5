"""An adaptive batcher: whatever waits is run together as soon as the executor is free. Knows neither Ray nor SAM.

Nothing is ever held back in the hope of company: an idle batcher starts at once, and a busy one finds its next batch in
the queue that grew meanwhile. `serve.batch` waits on a timer instead, and keeps closing small batches on it while one
executes.

What waits for several batches is dealt out evenly: of 40 jobs, no more than 24 at once, 20 run and then 20, not 24 and
16. That is no more batches, and no job waits for a batch more than its neighbours do.

Urgent jobs run before all others and never share a batch with these. Other jobs count as urgent once they have waited
`AGED_S`.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from deployments.telemetry.events import BatchReport
from deployments.telemetry.tracing import add_span

Job = TypeVar("Job")
Result = TypeVar("Result")

logger = logging.getLogger(__name__)

AGED_S = 5.0
"""Seconds after which a job that is not urgent is run like one that is: it never starves."""


@dataclass(frozen=True, slots=True)
class Batched(Generic[Result]):
    """One job's result.

    waited_s: seconds from submission until its batch started.
    batch: jobs in the batch that ran it.
    """

    result: Result
    waited_s: float
    batch: int


@dataclass(slots=True)
class _Waiting(Generic[Job, Result]):
    job: Job
    weight: int
    future: "asyncio.Future[Batched[Result]]"
    is_urgent: bool
    since: float = field(default_factory=time.perf_counter)


class BatcherFailed(Exception):
    """A job can't be run because the batcher that it waited in has failed."""


class Batcher(Generic[Job, Result]):
    """Runs jobs of many callers in batches on an executor, one batch at a time.

    A batch that raises is run again one job at a time, so that a poisonous job fails alone. A caller that is cancelled
    takes its job out of the queue; a batch that already runs is not interrupted. Whatever ends the batcher's own task
    is raised for every caller that waits. Belongs to one event loop.

    Args:
        run: called in the executor with 1 to `max_weight` weight of jobs; returns one result a job, in order.
        executor: where it runs. Share one of a single thread to keep batches of several batchers apart.
        max_weight: the most weight in a batch, at least 1; a heavier job runs alone. May be changed at any time.
        weigh: a job's weight, 1 by default.
        report: told of each batch.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Job]], Sequence[Result]],
        executor: Executor,
        *,
        max_weight: int,
        weigh: Callable[[Job], int] = lambda job: 1,
        emit: Callable[[BatchReport], None] = lambda emit: None,
    ) -> None:
        self._run = run
        self._executor = executor
        self.max_weight = max_weight
        self._weigh = weigh
        self._emit = emit
        self._queue: deque[_Waiting[Job, Result]] = deque()
        self._worker: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Jobs that wait, without those that run."""
        return sum(not waiting.future.done() for waiting in self._queue)

    async def submit(self, job: Job, *, is_urgent: bool = True) -> Batched[Result]:
        """The job's result, once a batch with it has run.

        Raises:
            Exception: what `run` raised for this job alone.
            BatcherFailed: the batcher's task ended by anything else.
        """
        future: asyncio.Future[Batched[Result]] = asyncio.get_running_loop().create_future()
        waiting: _Waiting[Job, Result] = _Waiting(job, self._weigh(job), future, is_urgent)
        self._queue.append(waiting)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        batched = await waiting.future
        ran_s = time.perf_counter() - waiting.since - batched.waited_s
        add_span("wait", batched.waited_s, ended_s_ago=ran_s)
        add_span("run", ran_s, batch=batched.batch, weight=waiting.weight)
        return batched

    async def _work(self) -> None:
        batch: list[_Waiting[Job, Result]] = []
        try:
            while batch := self._next_batch():
                await self._run_batch(batch)
        except BaseException as error:
            for waiting in (*batch, *self._queue):
                _fail(waiting, BatcherFailed(f"the batcher failed: {type(error).__name__}"))
            self._queue.clear()
            if isinstance(error, asyncio.CancelledError):
                raise
            logger.exception("a batcher failed outside of its batches")

    def _next_batch(self) -> list[_Waiting[Job, Result]]:
        now = time.perf_counter()
        waiting = [one for one in self._queue if not one.future.done()]
        urgent = [one for one in waiting if one.is_urgent or now - one.since >= AGED_S]
        left = sum(one.weight for one in urgent or waiting)
        share = left / max(1, math.ceil(left / self.max_weight))
        batch: list[_Waiting[Job, Result]] = []
        weight = 0
        for one in urgent or waiting:
            if batch and (weight >= share or weight + one.weight > self.max_weight):
                break
            batch.append(one)
            weight += one.weight
        chosen = {id(one) for one in batch}
        self._queue = deque(one for one in waiting if id(one) not in chosen)
        return batch

    async def _run_batch(self, batch: list[_Waiting[Job, Result]]) -> None:
        started = time.perf_counter()
        try:
            results = await self._in_executor([waiting.job for waiting in batch])
        except Exception as error:
            if len(batch) == 1:
                _fail(batch[0], error)
                return
            logger.warning("a batch of %d failed (%s); running its jobs one by one", len(batch), type(error).__name__)
            for waiting in batch:
                if not waiting.future.done():
                    await self._run_batch([waiting])
            return
        for waiting, result in zip(batch, results, strict=True):
            if not waiting.future.done():
                waiting.future.set_result(Batched(result, started - waiting.since, len(batch)))
        self._emit(
            BatchReport(
                jobs=len(batch),
                weight=sum(waiting.weight for waiting in batch),
                waited_s=started - batch[0].since,
                ran_s=time.perf_counter() - started,
                queued=len(self),
            )
        )

    async def _in_executor(self, jobs: list[Job]) -> Sequence[Result]:
        results = await asyncio.get_running_loop().run_in_executor(self._executor, self._run, jobs)
        if len(results) != len(jobs):
            raise RuntimeError(f"the batch function gave {len(results)} results for {len(jobs)} jobs")
        return results


def _fail(waiting: _Waiting[Job, Result], error: Exception) -> None:
    if not waiting.future.done():
        waiting.future.set_exception(error)
