"""`POST /preview`: a picture as the server reads it, for browsers that can't read its file; and what the file holds.

Stateless: nothing is encoded or kept. The picture comes as in every request, and `decode` says how it is read.
"""

import asyncio
import io
from typing import Any

from fastapi import FastAPI
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response

from deployments.calls.messages import PictureFile
from deployments.http.deadline import Deadline
from deployments.http.headers import PREVIEW
from deployments.http.request_reader import RequestReader
from deployments.http.responses import to_json
from deployments.http.service import ServiceConfig
from segmentation.errors import InvalidRequest
from segmentation.pictures.decode import decode_picture

HOLDS = "Sam-Picture"
"""The header that says what the file holds, as JSON: pages, channels, channel_names, dtype, pixel_size, decode."""

LARGEST_PNG = 4_000_000
"""Pixels. Larger pictures come as JPEG: writing a PNG of them takes seconds."""


def add_preview(app: FastAPI, config: ServiceConfig) -> None:
    """Adds the route."""
    reader = RequestReader(config)

    async def preview(request: Request) -> Response:
        async with Deadline(config.settings.prompt_timeout_s).guard():
            source = await reader.picture(request)
            if source.file is None:
                raise InvalidRequest("a preview is made of the file: send image or image_url", "/image_id")
            file = source.file
            return await asyncio.to_thread(_answer, file, config.settings.max_megapixels)

    app.add_api_route(PREVIEW, preview, methods=["POST"], include_in_schema=False)


def _answer(file: PictureFile, max_megapixels: float) -> Response:
    picture = decode_picture(file.data, max_megapixels=max_megapixels, options=file.options)
    image = Image.fromarray(picture.rgb)
    buffer = io.BytesIO()
    small = image.width * image.height <= LARGEST_PNG
    if small:
        image.save(buffer, "PNG", compress_level=1)
    else:
        image.save(buffer, "JPEG", quality=92, subsampling=0)
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
    return Response(buffer.getvalue(), media_type="image/png" if small else "image/jpeg", headers=headers)
