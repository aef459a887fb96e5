"""The HTTP routes of the contract. Knows no Ray: everything behind them is in `Service`."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict
from typing import TypeVar

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from deployments.arrays import to_npy
from deployments.body import Body, image_bytes, read_body, strict_json
from deployments.edge import Edge, problem_for
from deployments.errors import DeadlineExceeded
from deployments.grid_pipeline import Finished, GridRun, Progress, Started
from deployments.info import backend_info, check_health
from deployments.messages import PictureFile, PromptJob
from deployments.openapi import BODY, COMMON, FIELDS, IMAGE_ID_PARAMETER, describe, request_body, responses
from deployments.pictures import ImageSource, image_id_of
from deployments.replies import NDJSON, EventStream, json_response, npy_response, timing_ms
from deployments.schemas import (
    AutomaticRequest,
    ImageRequest,
    SegmentRequest,
    parse,
    to_decode_options,
    to_parameters,
    to_prompts,
)
from deployments.service import Service
from segmentation.automatic import AutomaticParameters
from segmentation.errors import InvalidRequest
from segmentation.types import Prompt

T = TypeVar("T")
M = TypeVar("M", bound=ImageRequest)

SMALL_BODY_BYTES = 64_000
"""Bodies up to here are parsed in place: a hop to a thread would cost more."""


def create_app(service: Service, *, tells_id: bool = True) -> FastAPI:
    """The ASGI app; `tells_id` as in `Edge`."""
    app = FastAPI(title="SAM Serve", redirect_slashes=False)
    routes = Routes(service)
    needs_body = (*BODY, *FIELDS, *COMMON)
    app.add_api_route(
        "/segment",
        routes.segment,
        methods=["POST"],
        openapi_extra=request_body(SegmentRequest),
        responses=responses("masks of each prompt, best first", needs_body),
    )
    app.add_api_route(
        "/segment/auto",
        routes.segment_auto,
        methods=["POST"],
        openapi_extra=request_body(AutomaticRequest),
        responses=responses("all masks of the picture", needs_body, ("application/json", NDJSON)),
    )
    app.add_api_route(
        "/embeddings",
        routes.embed,
        methods=["POST"],
        openapi_extra=request_body(ImageRequest),
        responses=responses("the picture's id", needs_body),
    )
    app.add_api_route(
        "/embeddings/{image_id}",
        routes.embedding,
        methods=["GET"],
        openapi_extra={"parameters": [IMAGE_ID_PARAMETER]},
        responses=responses("float32 .npy [1, C, h, w]", ("unknown_image", *COMMON), ("application/octet-stream",)),
    )
    app.add_api_route(
        "/backend_info",
        routes.backend_info,
        methods=["GET"],
        responses=responses("what really runs", ("not_ready", "internal")),
    )
    app.add_api_route(
        "/health", routes.health, methods=["GET"], responses=responses("ready", ("not_ready", "internal"))
    )
    describe(app)
    app.add_exception_handler(HTTPException, _raise)
    app.add_middleware(Edge, admission=service.admission, tells_id=tells_id)
    return app


class Routes:
    """One method per route."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._settings = service.config.settings

    async def segment(self, request: Request) -> Response:
        """Masks for points, boxes and earlier masks."""
        started = time.perf_counter()
        async with Deadline(self._settings.prompt_timeout_s).guard():
            body = await read_body(request, self._max_body_bytes)
            fields, source, prompts = await self._aside(body, lambda: self._read_segment(body))
            job = PromptJob(prompts, fields.multimask_output, fields.return_logits, fields.mask_format)
            answer, decode_s = await self._service.prompts.segment(source, job)
            document = {
                "image_id": source.image_id,
                "size": list(answer.size),
                "results": [{"masks": masks} for masks in answer.results],
                "timing_ms": timing_ms(answer.spent, decode_s, time.perf_counter() - started),
            }
            return await json_response(document)

    async def segment_auto(self, request: Request) -> Response:
        """Masks of everything in the picture."""
        started = time.perf_counter()
        deadline = Deadline(self._settings.auto_timeout_s)
        async with deadline.guard():
            body = await read_body(request, self._max_body_bytes)
            fields, source, parameters = await self._aside(body, lambda: self._read_automatic(body))
        run = GridRun(self._service.workshop, source, parameters, fields.mask_format)
        steps = _until(deadline, run.events())
        first = await anext(steps)  # what is wrong with the picture gets a status of its own, streaming or not
        head = {"image_id": source.image_id, "size": list(first.size) if isinstance(first, Started) else []}

        def tail(finished: Finished) -> Mapping[str, object]:
            spent = timing_ms(finished.spent, finished.decode_s, time.perf_counter() - started)
            return {"parameters": asdict(parameters), "timing_ms": spent}

        if fields.stream:
            return EventStream(_events(head, steps, tail, request.state.request_id))
        async with aclosing(steps):
            async for step in steps:
                if isinstance(step, Finished):
                    return await json_response({**head, "masks": step.masks, **tail(step)})
        raise RuntimeError("the run of automatic masks ended without an answer")

    async def embed(self, request: Request) -> Response:
        """Encodes a picture, to be asked about by its id."""
        async with Deadline(self._settings.prompt_timeout_s).guard():
            body = await read_body(request, self._max_body_bytes)
            _, source = await self._aside(body, lambda: self._read(ImageRequest, body))
            encoded, _ = await self._service.prompts.prepare(source)
            architecture = self._service.config.plan.spec.architecture
            return await json_response(
                {
                    "image_id": source.image_id,
                    "size": list(encoded.size),
                    "model_type": self._service.config.plan.spec.name,
                    "shape": [1, *architecture.embedding_shape],
                }
            )

    async def embedding(self, request: Request) -> Response:
        """The embedding of a picture that is held: float32 [1, C, h, w]."""
        async with Deadline(self._settings.prompt_timeout_s).guard():
            encoded = await self._service.prompts.embedding(request.path_params["image_id"])
            return npy_response(request, await asyncio.to_thread(to_npy, encoded.embedding[None]))

    async def backend_info(self, request: Request) -> Response:
        """What really runs."""
        config = self._service.config
        return await json_response(
            await backend_info(self._service.encoder, config.plan, config.settings, config.sources)
        )

    async def health(self, request: Request) -> Response:
        """Whether each deployment has a replica that answers."""
        await check_health(self._service.peers)
        return await json_response({"status": "ok"})

    @property
    def _max_body_bytes(self) -> int:
        return int(self._settings.max_body_mb * 1_000_000)

    async def _aside(self, body: Body, work: Callable[[], T]) -> T:
        return work() if len(body) <= SMALL_BODY_BYTES else await asyncio.to_thread(work)

    def _read_segment(self, body: Body) -> tuple[SegmentRequest, ImageSource, tuple[Prompt, ...]]:
        fields, source = self._read(SegmentRequest, body)
        return fields, source, to_prompts(fields, self._settings, self._service.low_res_side)

    def _read_automatic(self, body: Body) -> tuple[AutomaticRequest, ImageSource, AutomaticParameters]:
        fields, source = self._read(AutomaticRequest, body)
        return fields, source, to_parameters(fields, self._settings)

    def _read(self, model: type[M], body: Body) -> tuple[M, ImageSource]:
        fields = parse(model, strict_json(body.json))
        given = sum(value is not None for value in (body.file, fields.image, fields.image_id))
        if given != 1:
            raise InvalidRequest("send exactly one of image and image_id", "/image")
        if fields.image_id is not None:
            if fields.decode is not None:
                raise InvalidRequest("decode goes with an image; an image_id stands for a decoded one", "/decode")
            return fields, ImageSource(fields.image_id)
        data = image_bytes(fields.image) if fields.image is not None else body.file
        file = PictureFile(data or b"", to_decode_options(fields))
        return fields, ImageSource(image_id_of(file, key="", model=self._service.config.model_identity), file)


class Deadline:
    """The moment when a request has taken too long."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends = asyncio.get_running_loop().time() + seconds

    @asynccontextmanager
    async def guard(self) -> AsyncIterator[None]:
        """Cancels the block at the deadline.

        Raises:
            DeadlineExceeded: it did.
        """
        try:
            async with asyncio.timeout_at(self._ends):
                yield
        except TimeoutError:
            raise DeadlineExceeded(
                f"no answer within {self._seconds:g} s. Automatic masks are faster with performance_mode or a lower "
                "crop_n_layers, and stream shows how far they are"
            ) from None


async def _until(deadline: Deadline, events: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """The events, each under the deadline: a guard around a `yield` would cancel whoever sends them."""
    async with aclosing(events):
        while True:
            async with deadline.guard():
                try:
                    event = await anext(events)
                except StopAsyncIteration:
                    return
            yield event


async def _events(
    head: Mapping[str, object],
    steps: AsyncGenerator[Started | Progress | Finished, None],
    tail: Callable[[Finished], Mapping[str, object]],
    request_id: str,
) -> AsyncGenerator[Mapping[str, object], None]:
    """The lines of a stream: start, progress, masks, end; or an error in the place of what can't come."""
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
            yield {"event": "error", "problem": problem_for(error, request_id).document(request_id)}


async def _raise(request: Request, error: Exception) -> Response:
    """Hands routing errors to the edge, which answers everything."""
    raise error
