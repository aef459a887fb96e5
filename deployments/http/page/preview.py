"""`POST /preview`: a picture as the server reads it, for browsers that can't read its file; and what the file holds.

Stateless: nothing is encoded or kept. The picture comes as in every request, and `decode` says how it is read.
"""

from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from deployments.http.deadline import Deadline
from deployments.http.headers import PREVIEW
from deployments.http.request_reader import RequestReader
from deployments.http.responses import to_json
from deployments.http.service import Service
from segmentation.errors import InvalidRequest
from segmentation.pictures.tasks import Shown

HOLDS = "Sam-Picture"
"""The header that says what the file holds, as JSON: pages, channels, channel_names, dtype, pixel_size, decode."""

LARGEST_PNG = 4_000_000
"""Pixels. Larger pictures come as JPEG: writing a PNG of them takes seconds."""


def add_preview(app: FastAPI, service: Service) -> None:
    """Adds the route."""
    reader = RequestReader(service.config)
    decoder = service.model("").picture_decoder

    async def preview(request: Request) -> Response:
        async with Deadline(service.config.settings.prompt_timeout_s).guard():
            source = await reader.picture(request)
            if source.file is None:
                raise InvalidRequest("a preview is made of the file: send image or image_url", "/image_id")
            return _answer(await decoder.shown(source.file, LARGEST_PNG))

    app.add_api_route(PREVIEW, preview, methods=["POST"], include_in_schema=False)


def _answer(picture: Shown) -> Response:
    info, size = picture.info, picture.info.pixel_size
    holds: dict[str, Any] = {
        "pages": info.pages,
        "channels": info.channels,
        "channel_names": list(info.channel_names),
        "dtype": info.dtype,
        "pixel_size": None if size is None else {"x": size.x, "y": size.y, "source": size.source},
        "decode": picture.decode.document(),
    }
    # JSON of ASCII only: a header carries nothing else, and names in files may hold anything.
    headers = {HOLDS: to_json(holds).decode("ascii")}
    return Response(picture.file, media_type=picture.media_type, headers=headers)
