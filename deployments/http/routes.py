"""The HTTP routes of the contract. Knows no Ray: everything behind them is in `Service`."""

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from deployments.calls.errors import not_held
from deployments.calls.messages import PictureFile, PromptJob, StageTimes
from deployments.http.admission.inlined_body import InlinedBody
from deployments.http.analysis_routes import add_analysis
from deployments.http.body import image_bytes
from deployments.http.compression import Compression
from deployments.http.cors import add_cors
from deployments.http.deadline import Deadline
from deployments.http.edge import Edge
from deployments.http.head_requests import HeadRequests
from deployments.http.headers import AnswerHeaders
from deployments.http.openapi.answer_models import (
    AutomaticAnswer,
    BackendInfo,
    EmbeddingAnswer,
    Health,
    ModelList,
    SegmentAnswer,
)
from deployments.http.openapi.docs_page import add_docs
from deployments.http.openapi.document import (
    BODY,
    COMMON,
    EMBEDDING_PARAMETERS,
    FIELDS,
    KEYED,
    NOT_MODIFIED,
    NPY_ANSWER,
    describe,
    json_answer,
    request_body,
    responses,
    streamed_answer,
)
from deployments.http.openapi.examples import DISC, IMAGE_ID_EXAMPLE
from deployments.http.page.page import add_page
from deployments.http.picture_routes import add_picture_routes
from deployments.http.protocols.registry import add_protocols, open_protocols, policy_of
from deployments.http.request_log import RequestLog
from deployments.http.request_reader import RequestReader
from deployments.http.request_values import to_decode_options
from deployments.http.requests import IMAGE_ID, AutomaticRequest, ImageRequest, SegmentRequest
from deployments.http.responses import EventStream, json_response, npy_response, timing_ms
from deployments.http.service import Service
from deployments.http.status import HealthCheck, backend_info, list_models
from deployments.http.stream import Tail, event_lines
from deployments.http.traced_requests import TracedRequests
from deployments.pipelines.automatic import Finished, GridRun, Started
from deployments.pipelines.pictures import ImageSource, belongs_to, image_id_of
from deployments.telemetry.events import Answered
from deployments.telemetry.logs import note
from deployments.telemetry.tracing import Tracer


def create_app(service: Service, *, tells_id: bool = True, tracer: Tracer | None = None) -> FastAPI:
    """The ASGI app; `tells_id` as in `AnswerHeaders`. With a tracer, requests have a trace each."""
    app = FastAPI(
        title="SAM Serve", redirect_slashes=False, docs_url=None, redoc_url=None, default_response_class=Response
    )
    routes = Routes(service)
    needs_body = (*BODY, *FIELDS, *COMMON)
    app.add_api_route(
        "/segment",
        routes.segment,
        methods=["POST"],
        openapi_extra=request_body(SegmentRequest),
        responses=responses("masks of each prompt, best first", needs_body, json_answer(SegmentAnswer)),
    )
    app.add_api_route(
        "/segment/auto",
        routes.segment_auto,
        methods=["POST"],
        openapi_extra=request_body(AutomaticRequest),
        responses=responses(
            "all masks of the picture", needs_body, {**json_answer(AutomaticAnswer), **streamed_answer()}
        ),
    )
    app.add_api_route(
        "/embeddings",
        routes.embed,
        methods=["POST"],
        openapi_extra=request_body(ImageRequest),
        responses=responses("the picture's id", needs_body, json_answer(EmbeddingAnswer)),
    )
    app.add_api_route(
        "/embeddings/{image_id}",
        routes.embedding,
        methods=["GET"],
        openapi_extra={"parameters": EMBEDDING_PARAMETERS},
        responses=NOT_MODIFIED
        | responses(
            "float32 .npy [1, C, h, w]", ("unknown_image", "not_found", "invalid_request", *COMMON), NPY_ANSWER
        ),
    )
    app.add_api_route(
        "/backend_info",
        routes.backend_info,
        methods=["GET"],
        responses=responses("what really runs", ("not_ready", "internal", *KEYED), json_answer(BackendInfo)),
    )
    app.add_api_route(
        "/models",
        routes.models,
        methods=["GET"],
        responses=responses("every model that is offered", ("internal", *KEYED), json_answer(ModelList)),
    )
    app.add_api_route(
        "/health",
        routes.health,
        methods=["GET"],
        responses=responses("ready", ("not_ready", "internal"), json_answer(Health)),
    )
    add_analysis(app, service)
    add_picture_routes(app, service)
    add_docs(app)
    add_page(app)
    describe(app, _example_id(service))
    protocols = open_protocols(service)
    add_protocols(app, protocols)
    policy = policy_of(protocols)

    def is_work(path: str) -> bool:
        return policy(path).needs_slot

    app.add_exception_handler(HTTPException, _raise)
    # Starlette runs the middleware added last first: a preflight needs no key, and refusals carry every header too.
    app.add_middleware(InlinedBody)
    app.add_middleware(
        Edge,
        api_keys=service.api_keys,
        admission=service.admission,
        body_budget=service.body_budget,
        emit=service.emit,
        policy_of=policy,
    )
    if tracer is not None:
        app.add_middleware(TracedRequests, tracer=tracer, is_work=is_work)
    app.add_middleware(RequestLog, is_work=is_work)
    app.add_middleware(Compression)
    app.add_middleware(HeadRequests)
    add_cors(app, service.config.settings.cors_origins)
    admission = service.admission
    app.add_middleware(
        AnswerHeaders,
        slots=admission.slots,
        run_slots=admission.run_slots,
        slots_of=lambda path: policy(path).slots,
        tells_id=tells_id,
    )
    return app


class Routes:
    """One method per route."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._settings = service.config.settings
        self._reader = RequestReader(service.config)
        self._health = HealthCheck(service.remotes)

    async def segment(self, request: Request) -> Response:
        """Masks for points, boxes and earlier masks."""
        started = time.perf_counter()
        async with Deadline(self._settings.prompt_timeout_s).guard():
            fields, source, prompts = await self._reader.segment(request)
            job = PromptJob(prompts, fields.multimask_output, fields.return_logits, fields.mask_format)
            answer, decode_s = await self._service.model(source.model).prompts.segment(source, job)
            note(size=_size(answer.size))
            timing = self._timed(
                "/segment", source, answer.stage_times, decode_s, started, sum(map(len, answer.results))
            )
            document = {
                "image_id": source.image_id,
                "size": list(answer.size),
                "decode": answer.decode.document(),
                "results": [{"masks": masks} for masks in answer.results],
                "timing_ms": timing,
            }
            return await json_response(document, timing)

    async def segment_auto(self, request: Request) -> Response:
        """Masks of everything in the picture."""
        started = time.perf_counter()
        deadline = Deadline(self._settings.auto_timeout_s)
        async with deadline.guard():
            fields, source, parameters = await self._reader.automatic(request)
        model = self._service.model(source.model)
        run = GridRun(model.grid_resources, source, parameters, fields.mask_format)
        steps = deadline.until(run.events())
        other = fields.stream and source.model != self._service.config.default.name
        ready = await model.is_ready() if other else True  # before the run waits for the model to start
        first = await anext(steps)  # what is wrong with the picture gets a status of its own, streaming or not
        assert isinstance(first, Started)
        head: dict[str, object] = {
            "image_id": source.image_id,
            "size": list(first.size),
            "decode": first.decode.document(),
        }

        note(size=_size(first.size))

        def tail(finished: Finished) -> Tail:
            timing = self._timed(
                "/segment/auto", source, finished.stage_times, finished.decode_s, started, len(finished.masks)
            )
            return {"parameters": asdict(parameters), "timing_ms": timing}

        if fields.stream:
            start = {**head, "place": first.place}
            if other:
                start["model_ready"] = ready
            return EventStream(event_lines(start, steps, tail, request.state.request_id, self._service.emit))
        async with aclosing(steps):
            async for step in steps:
                if isinstance(step, Finished):
                    end = tail(step)
                    return await json_response({**head, "masks": step.masks, **end}, end["timing_ms"])
        raise RuntimeError("the run of automatic masks ended without an answer")

    async def embed(self, request: Request) -> Response:
        """Encodes a picture, to be asked about by its id."""
        started = time.perf_counter()
        async with Deadline(self._settings.prompt_timeout_s).guard():
            source = await self._reader.picture(request)
            model = self._service.model(source.model)
            record, decode_s = await model.prompts.embed(source)
            stage_times = StageTimes(encode_s=record.encode_s, queue_s=record.waited_s)
            spec = model.config.plan.spec
            return await json_response(
                {
                    "image_id": source.image_id,
                    "size": list(record.size),
                    "decode": record.decode.document(),
                    "model_type": spec.name,
                    "shape": [1, *spec.architecture.embedding_shape],
                },
                self._timed("/embeddings", source, stage_times, decode_s, started),
            )

    async def embedding(self, request: Request) -> Response:
        """The embedding of a picture that is held: float32 [1, C, h, w]."""
        async with Deadline(self._settings.prompt_timeout_s).guard():
            image_id: str = request.path_params["image_id"]
            if not re.fullmatch(IMAGE_ID, image_id) or not belongs_to(image_id, request.state.caller.identity):
                raise not_held()
            model = self._service.config.model(request.query_params.get("model"))
            encoded = await self._service.model(model.name).prompts.embedding(image_id)
            return await npy_response(request, encoded.embedding[None])

    async def backend_info(self, request: Request) -> Response:
        """What really runs."""
        config = self._service.config
        return await json_response(
            await backend_info(self._service.encoder, config.plan, config.settings, config.sources)
        )

    async def models(self, request: Request) -> Response:
        """Every model that this server offers, and whether a replica of it is ready."""
        return await json_response({"models": await list_models(list(self._service.models.values()))})

    async def health(self, request: Request) -> Response:
        """Whether each deployment has a replica that answers, and requests are let in."""
        self._service.admission.check_open()
        await self._health.check()
        return await json_response({"status": "ok"})

    def _timed(
        self,
        route: str,
        source: ImageSource,
        stage_times: StageTimes,
        decode_s: float,
        started: float,
        masks: int = 0,
    ) -> Mapping[str, float]:
        """`timing_ms` of an answer, which is reported at the same time."""
        timing = timing_ms(stage_times, decode_s, time.perf_counter() - started)
        self._service.emit(Answered(route, timing, masks, source.model))
        note(masks=masks, ms={stage: milliseconds for stage, milliseconds in timing.items() if milliseconds})
        return timing


def _example_id(service: Service) -> str:
    """The id of the examples' picture, for everybody alike: with API keys each would have its own."""
    if service.config.settings.api_keys:
        return IMAGE_ID_EXAMPLE
    file = PictureFile(image_bytes(DISC), to_decode_options(ImageRequest()))
    return image_id_of(file, key="", model=service.config.model_identity)


def _size(size: Sequence[int]) -> str:
    """(height, width) as logs show it: width x height."""
    return "x".join(str(side) for side in reversed(size))


async def _raise(request: Request, error: Exception) -> Response:
    """Hands routing errors to the edge, which answers everything."""
    raise error
