"""A picture as the server decodes it, and what its file holds: of a picture that is sent, and of one that is held.

Nothing is encoded or kept.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from deployments.calls.errors import not_held
from deployments.calls.messages import PictureFile
from deployments.calls.remote import result, retry_on_replica_loss
from deployments.http.deadline import Deadline
from deployments.http.headers import PICTURES, PREVIEW
from deployments.http.openapi.answer_models import PictureAnswer
from deployments.http.openapi.document import (
    BODY,
    COMMON,
    FIELDS,
    IMAGE_ID_PARAMETER,
    MODEL_PARAMETER,
    json_answer,
    request_body,
    responses,
)
from deployments.http.request_reader import RequestReader
from deployments.http.requests import IMAGE_ID, ImageRequest
from deployments.http.responses import json_response, to_json
from deployments.http.service import Service
from deployments.pipelines.pictures import ImageSource, belongs_to
from segmentation.errors import InvalidRequest
from segmentation.pictures.tasks import Preview

PREVIEW_SIDE = 2_048
MAX_PREVIEW_SIDE = 8_192
HOLDS = "Sam-Picture"
"""The header of a preview that says how the picture was read and what its file holds, as JSON."""
MAX_HOLDS_BYTES = 8_000
"""Many clients refuse longer headers; the channels' names, which files may have any number of, give way."""
SIDE_PARAMETER = {
    "name": "side",
    "in": "query",
    "description": "the preview's long side in pixels; a smaller picture keeps its size",
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_PREVIEW_SIDE, "default": PREVIEW_SIDE},
}
PNG_ANSWER = {"image/png": {"schema": {"type": "string", "format": "binary"}}}
HOLDS_HEADER = {
    HOLDS: {
        "description": "the answer of `GET /pictures/{image_id}` as JSON, without `image_id`; without names of "
        f"channels where they would make it longer than {MAX_HOLDS_BYTES:,} bytes",
        "schema": {"type": "string"},
    }
}


def add_picture_routes(app: FastAPI, service: Service) -> None:
    """Adds the routes of pictures."""
    routes = PictureRoutes(service)
    errors = ("unknown_image", "not_found", *COMMON)
    app.add_api_route(
        f"{PICTURES}/{{image_id}}",
        routes.picture,
        methods=["GET"],
        openapi_extra={"parameters": [IMAGE_ID_PARAMETER, MODEL_PARAMETER]},
        responses=responses(
            "how the picture was read, and what its file holds",
            (*errors, "invalid_request"),
            json_answer(PictureAnswer),
        ),
    )
    app.add_api_route(
        f"{PICTURES}/{{image_id}}/preview",
        routes.held_preview,
        methods=["GET"],
        openapi_extra={"parameters": [IMAGE_ID_PARAMETER, MODEL_PARAMETER, SIDE_PARAMETER]},
        responses=_preview_responses((*errors, "invalid_request")),
    )
    app.add_api_route(
        PREVIEW,
        routes.preview,
        methods=["POST"],
        openapi_extra={**request_body(ImageRequest), "parameters": [SIDE_PARAMETER]},
        responses=_preview_responses((*BODY, *FIELDS, *COMMON)),
    )


class PictureRoutes:
    """One method per route."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._reader = RequestReader(service.config)
        self._timeout_s = service.config.settings.prompt_timeout_s

    async def picture(self, request: Request) -> Response:
        """How a picture was read, and what else its file holds: pages, channels, the size of a pixel."""
        async with Deadline(self._timeout_s).guard():
            source = self._held(request)
            found = await self._preview(source, 1)
        return await json_response({"image_id": source.image_id, **_holds(found)})

    async def held_preview(self, request: Request) -> Response:
        """The picture as the model sees it: upright, scaled to 8 bits, as a PNG."""
        side = _side(request)
        async with Deadline(self._timeout_s).guard():
            found = await self._preview(self._held(request), side)
        # An id always stands for the same pixels.
        return _png(found, {"cache-control": "private, max-age=3600"})

    async def preview(self, request: Request) -> Response:
        """The same of a picture that is sent. It is neither encoded nor kept."""
        side = _side(request)
        async with Deadline(self._timeout_s).guard():
            found = await self._preview(await self._reader.picture(request), side)
        return _png(found)

    def _held(self, request: Request) -> ImageSource:
        image_id: str = request.path_params["image_id"]
        if not re.fullmatch(IMAGE_ID, image_id) or not belongs_to(image_id, request.state.caller.identity):
            raise not_held()
        return ImageSource(image_id, model=self._service.config.model(request.query_params.get("model")).name)

    async def _preview(self, source: ImageSource, side: int) -> Preview:
        decoder = self._service.model(source.model).picture_decoder
        return await decoder.preview(source.file or await self._file(source), side)

    async def _file(self, source: ImageSource) -> PictureFile:
        encoder = self._service.model(source.model).encoder
        file: PictureFile = await retry_on_replica_loss(
            lambda: result(encoder.call("file", source.image_id, key=source.image_id))
        )
        return file


def _holds(found: Preview) -> dict[str, Any]:
    """A `PictureAnswer` without the id."""
    info, size = found.info, found.info.pixel_size
    return {
        "size": list(found.size),
        "decode": found.decode.document(),
        "pages": info.pages,
        "channels": info.channels,
        "channel_names": list(info.channel_names),
        "dtype": info.dtype,
        "pixel_size": None if size is None else {**asdict(size), "unit": "µm"},
    }


def _png(found: Preview, headers: Mapping[str, str] = MappingProxyType({})) -> Response:
    # Names in files may hold anything: JSON of ASCII breaks no header.
    holds = to_json(_holds(found))
    if len(holds) > MAX_HOLDS_BYTES:
        holds = to_json({**_holds(found), "channel_names": []})
    return Response(found.png, media_type="image/png", headers={**headers, HOLDS: holds.decode("ascii")})


def _preview_responses(codes: tuple[str, ...]) -> dict[int | str, dict[str, Any]]:
    found = responses("the picture as the model sees it", codes, PNG_ANSWER)
    found[200]["headers"] = HOLDS_HEADER
    return found


def _side(request: Request) -> int:
    """The query's `side`."""
    given = request.query_params.get("side")
    if given is None:
        return PREVIEW_SIDE
    if not given.isascii() or not given.isdigit() or len(given) > 5 or not 1 <= int(given) <= MAX_PREVIEW_SIDE:
        raise InvalidRequest(f"side is a whole number from 1 to {MAX_PREVIEW_SIDE}", "/side")
    return int(given)
