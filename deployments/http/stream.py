"""The lines of a streamed answer: start, progress, masks, end; or an error in the place of what can't come."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import TypedDict

from deployments.http.edge import problem_for
from deployments.pipelines.automatic import Finished, Progress, Started
from deployments.telemetry.events import EmitEvent, Refused


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
) -> AsyncGenerator[Mapping[str, object], None]:
    """The steps of a run as the objects that are sent. A failure is told in a line: the status was sent long ago."""
    async with aclosing(steps):
        yield {"event": "start", **head}
        try:
            async for step in steps:
                if isinstance(step, Progress):
                    yield {"event": "progress", "done": step.done, "total": step.total}
                elif isinstance(step, Finished):
                    for mask in step.masks:
                        yield {"event": "mask", "mask": mask}
                    yield {"event": "end", "count": len(step.masks), **tail(step)}
        except Exception as error:
            problem = problem_for(error, request_id)
            emit(Refused(problem.code))
            yield {"event": "error", "problem": problem.document(request_id)}
