"""The lines of a streamed answer: start, progress, masks, end; or an error in the place of what can't come."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import TypedDict, TypeVar

from deployments.http.edge import problem_for
from deployments.pipelines.automatic import Finished, Progress, Started
from deployments.telemetry.events import EmitEvent, Refused
from deployments.telemetry.logs import note

T = TypeVar("T")

EVERY_S = 5.0
"""While nothing happens, the latest progress is told again: proxies close connections that are silent, nginx's default
after 60 s and many after 30 s."""


class Tail(TypedDict):
    """How the answer of a run of automatic masks ends, streamed or not."""

    parameters: dict[str, object]
    timing_ms: Mapping[str, float]


async def event_lines(
    head: Mapping[str, object],
    steps: AsyncGenerator[Started | Progress | Finished, None],
    tail: Callable[[Finished], Tail],
    request_id: str,
    emit: EmitEvent,
    every_s: float = EVERY_S,
) -> AsyncGenerator[Mapping[str, object], None]:
    """The steps of a run as the objects that are sent. A failure is told in a line: the status was sent long ago.

    Args:
        every_s: seconds without a step after which the latest progress is sent again; nothing done of nothing known
            while the run has not begun.
    """
    progress = {"event": "progress", "done": 0, "total": 0}
    async with aclosing(with_pauses(steps, every_s)) as steps_and_pauses:
        yield {"event": "start", **head}
        try:
            async for step in steps_and_pauses:
                if step is None:
                    yield progress
                elif isinstance(step, Progress):
                    progress = {"event": "progress", "done": step.done, "total": step.total}
                    yield progress
                elif isinstance(step, Finished):
                    for mask in step.masks:
                        yield {"event": "mask", "mask": mask}
                    yield {"event": "end", "count": len(step.masks), **tail(step)}
        except Exception as error:
            problem = problem_for(error, request_id)
            note(code=problem.code)
            emit(Refused(problem.code))
            yield {"event": "error", "problem": problem.document(request_id)}


async def with_pauses(steps: AsyncGenerator[T, None], every_s: float) -> AsyncGenerator[T | None, None]:
    """The steps, and None for each `every_s` seconds without one. Closes the steps when it is closed."""
    coming: asyncio.Task[T] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(steps))
            await asyncio.wait([coming], timeout=every_s)
            if not coming.done():
                yield None
                continue
            try:
                step = coming.result()
            except StopAsyncIteration:
                return
            coming = None
            yield step
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        await steps.aclose()
