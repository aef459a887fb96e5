"""`GET /pictures/{image_id}` and its preview: a picture as the server decoded it."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from deployments.calls.errors import not_held
from deployments.calls.messages import PictureFile
from deployments.calls.remote import result, retry_on_replica_loss
from deployments.http.deadline import Deadline
from deployments.http.openapi.answer_models import PictureAnswer
from deployments.http.openapi.document import COMMON, IMAGE_ID_PARAMETER, json_answer, responses
from deployments.http.requests import IMAGE_ID
from deployments.http.responses import json_response
from deployments.http.service import Service
from deployments.pipelines.pictures import belongs_to
from segmentation.errors import InvalidRequest
from segmentation.pictures.tasks import Preview

PREVIEW_SIDE = 2_048
MAX_PREVIEW_SIDE = 8_192
SIDE_PARAMETER = {
    "name": "side",
    "in": "query",
    "description": "the preview's long side in pixels; a smaller picture keeps its size",
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_PREVIEW_SIDE, "default": PREVIEW_SIDE},
}
PNG_ANSWER = {"image/png": {"schema": {"type": "string", "format": "binary"}}}


def add_picture_routes(app: FastAPI, service: Service) -> None:
    """Adds the routes of pictures that are held."""
    routes = PictureRoutes(service)
    errors = ("unknown_image", "not_found", *COMMON)
    app.add_api_route(
        "/pictures/{image_id}",
        routes.picture,
        methods=["GET"],
        openapi_extra={"parameters": [IMAGE_ID_PARAMETER]},
        responses=responses("how the picture was read, and what its file holds", errors, json_answer(PictureAnswer)),
    )
    app.add_api_route(
        "/pictures/{image_id}/preview",
        routes.preview,
        methods=["GET"],
        openapi_extra={"parameters": [IMAGE_ID_PARAMETER, SIDE_PARAMETER]},
        responses=responses("the picture as the model sees it", (*errors, "invalid_request"), PNG_ANSWER),
    )


class PictureRoutes:
    """One method per route."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._timeout_s = service.config.settings.prompt_timeout_s

    async def picture(self, request: Request) -> Response:
        """How a picture was read, and what else its file holds: pages, channels, the size of a pixel."""
        async with Deadline(self._timeout_s).guard():
            found = await self._preview(request, 1)
        size = found.info.pixel_size
        document: Mapping[str, Any] = {
            "image_id": request.path_params["image_id"],
            "size": list(found.size),
            "decode": found.decode.document(),
            "pages": found.info.pages,
            "channels": found.info.channels,
            "channel_names": list(found.info.channel_names),
            "dtype": found.info.dtype,
            "pixel_size": None if size is None else {**asdict(size), "unit": "µm"},
        }
        return await json_response(document)

    async def preview(self, request: Request) -> Response:
        """The picture as the model sees it: upright, scaled to 8 bits, as a PNG."""
        side = _side(request.query_params.get("side"))
        async with Deadline(self._timeout_s).guard():
            found = await self._preview(request, side)
        headers = {"cache-control": "private, max-age=3600"}  # an id always stands for the same pixels
        return Response(found.png, media_type="image/png", headers=headers)

    async def _preview(self, request: Request, side: int) -> Preview:
        image_id: str = request.path_params["image_id"]
        if not re.fullmatch(IMAGE_ID, image_id) or not belongs_to(image_id, request.state.caller.identity):
            raise not_held()
        model = self._service.model(self._service.config.model(request.query_params.get("model")).name)
        file: PictureFile = await retry_on_replica_loss(
            lambda: result(model.encoder.call("file", image_id, key=image_id))
        )
        return await model.picture_decoder.preview(file, side)


def _side(given: str | None) -> int:
    if given is None:
        return PREVIEW_SIDE
    if not given.isascii() or not given.isdigit() or len(given) > 5 or not 1 <= int(given) <= MAX_PREVIEW_SIDE:
        raise InvalidRequest(f"side is a whole number from 1 to {MAX_PREVIEW_SIDE}", "/side")
    return int(given)
