"""The routes `/analyze` and `/analyze/presets`. Knows no Ray."""

import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from analysis import DEFAULT, EXPORTS, PRESETS
from deployments.calls.analysis_messages import AnalysisJob
from deployments.http.analysis_requests import MAX_MASKS, AnalyzeRequest, to_mask_source, to_rules, to_scale
from deployments.http.deadline import Deadline
from deployments.http.edge import problem_for
from deployments.http.openapi.analysis_answers import AnalysisAnswerModel, PresetsAnswer
from deployments.http.openapi.document import BODY, COMMON, FIELDS, KEYED, json_answer, request_body, responses
from deployments.http.openapi.examples import ANALYSIS_EVENTS
from deployments.http.request_reader import RequestReader
from deployments.http.responses import NDJSON, EventStream, json_response, server_timing, timing_ms
from deployments.http.service import Service
from deployments.pipelines.analysis import Analysed, Analysing, MaskSource
from deployments.pipelines.automatic import Progress, Started
from deployments.telemetry.events import Answered, Refused
from segmentation.automatic.generate import AutomaticParameters
from segmentation.errors import InvalidRequest

ROUTE = "/analyze"

Steps = AsyncGenerator[Started | Progress | Analysing | Analysed, None]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What one request asks."""

    masks: MaskSource
    job: AnalysisJob
    parameters: Mapping[str, Any] | None


def add_analysis(app: FastAPI, service: Service) -> None:
    """Adds the routes."""
    routes = AnalysisRoutes(service)
    files = {
        one.media_type.partition(";")[0]: {"schema": {"type": "string", "format": "binary"}, "example": one.name}
        for one in EXPORTS.values()
        if not one.media_type.startswith("application/json")
    }
    stream = {NDJSON: {"schema": {"type": "string", "description": "one event a line"}, "example": ANALYSIS_EVENTS}}
    app.add_api_route(
        ROUTE,
        routes.analyze,
        methods=["POST"],
        openapi_extra=request_body(AnalyzeRequest),
        responses=responses(
            "objects, groups and statistics, or a file of them",
            (*BODY, *FIELDS, *COMMON),
            {**json_answer(AnalysisAnswerModel), **stream, **files},
        ),
    )
    app.add_api_route(
        f"{ROUTE}/presets",
        routes.presets,
        methods=["GET"],
        responses=responses("every preset with its rules", ("internal", *KEYED), json_answer(PresetsAnswer)),
    )


class AnalysisRoutes:
    """One method per route."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._settings = service.config.settings
        self._reader = RequestReader(service.config)

    async def presets(self, request: Request) -> Response:
        """The named sets of rules, as resolved."""
        return await json_response({"default": DEFAULT, "presets": [one.to_json() for one in PRESETS.values()]})

    async def analyze(self, request: Request) -> Response:
        """Objects, groups and statistics of a picture's masks, or a file of them."""
        started = time.perf_counter()
        deadline = Deadline(self._settings.auto_timeout_s)
        async with deadline.guard():
            fields, source, asked = await self._reader.read(AnalyzeRequest, request, self._asked)
        job = replace(asked.job, image_id=source.image_id)
        steps = deadline.until(self._service.model(source.model).analysis.events(source, asked.masks, job))
        head: dict[str, Any] = {"image_id": source.image_id}

        def tail(step: Analysed) -> dict[str, Any]:
            timing = timing_ms(step.stage_times, step.decode_s, time.perf_counter() - started)
            self._service.emit(Answered(ROUTE, timing, step.answer.count, source.model))
            parameters = {} if asked.parameters is None else {"parameters": asked.parameters}
            return {**step.answer.head, **parameters, "decode": step.answer.decode, "timing_ms": timing}

        if fields.stream:
            # What is wrong with the picture gets a status of its own, streaming or not.
            first = await anext(steps)
            return EventStream(self._lines(head, first, steps, tail, request.state.request_id))
        async with aclosing(steps):
            async for step in steps:
                if isinstance(step, Analysed):
                    end = tail(step)
                    if step.answer.file is not None:
                        return _file(fields.format, step.answer.file, end["timing_ms"])
                    return await json_response({**head, "objects": step.answer.objects, **end}, end["timing_ms"])
        raise RuntimeError("the analysis ended without an answer")

    def _asked(self, fields: AnalyzeRequest) -> _Asked:
        if fields.stream and fields.format != "json":
            raise InvalidRequest("a stream is JSON; leave format out, or stream", "/stream")
        model = self._service.config.model(fields.model)
        masks = to_mask_source(fields, self._settings, model.plan.spec.architecture.low_res_side)
        parameters = asdict(masks) if isinstance(masks, AutomaticParameters) else None
        settings: dict[str, Any] = {"model": model.name}
        if parameters is not None:
            settings["automatic"] = parameters
        job = AnalysisJob(
            image_id="",
            masks=(),
            rules=to_rules(fields),
            preset=fields.preset or DEFAULT,
            scale=to_scale(fields),
            mask_format=fields.mask_format,
            export=None if fields.format == "json" else fields.format,
            settings=settings,
            max_masks=MAX_MASKS,
        )
        return _Asked(masks, job, parameters)

    async def _lines(
        self,
        head: Mapping[str, Any],
        first: Started | Progress | Analysing | Analysed,
        steps: Steps,
        tail: Callable[[Analysed], Mapping[str, Any]],
        request_id: str,
    ) -> AsyncGenerator[Mapping[str, object], None]:
        """The steps as the objects that are sent. A failure is told in a line: the status was sent long ago."""
        async with aclosing(steps):
            size = {"size": list(first.size)} if isinstance(first, Started) else {}
            yield {"event": "start", **head, **size}
            if isinstance(first, Analysing):
                yield {"event": "analysis", "masks": first.masks}
            try:
                async for step in steps:
                    if isinstance(step, Progress):
                        yield {"event": "progress", "done": step.done, "total": step.total}
                    elif isinstance(step, Analysing):
                        yield {"event": "analysis", "masks": step.masks}
                    elif isinstance(step, Analysed):
                        for one in step.answer.objects:
                            yield {"event": "object", "object": one}
                        yield {"event": "end", "count": step.answer.count, **tail(step)}
            except Exception as error:
                problem = problem_for(error, request_id)
                self._service.emit(Refused(problem.code))
                yield {"event": "error", "problem": problem.document(request_id)}


def _file(name: str, data: bytes, timing: Mapping[str, float]) -> Response:
    """The file as a download; its name is the format's own."""
    one = EXPORTS[name]
    return Response(
        data,
        media_type=one.media_type,
        headers={
            "content-disposition": f'attachment; filename="{one.name}{one.suffix}"',
            "server-timing": server_timing(timing),
        },
    )
