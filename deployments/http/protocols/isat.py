"""ISAT's remote encoder: `/api/info` and `/api/encode`. ISAT decodes by itself, with the same checkpoint.

Its dialog has a field for the host and one for the port, which takes a path too: `5000/isat/vit_b` chooses a model.
"""

import io
import re

import numpy as np
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response

from deployments.http.protocols.bodies import aside, read_form
from deployments.http.protocols.forms import ISAT
from deployments.http.protocols.numbers import float_lists
from deployments.http.protocols.protocol import ToolProtocol, ToolRoute
from deployments.http.protocols.segmenter import Segmenter
from deployments.http.responses import json_response
from segmentation.errors import ImageTooLarge, InvalidImage, InvalidRequest
from segmentation.transforms import input_size

PATH = "/isat"
"""Begins the addresses that name a model."""
_SHAPE = re.compile(rb"(\d{1,6}),(\d{1,6})(?:,(\d{1,2}))?")


class Isat:
    """The routes."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter

    def protocol(self) -> ToolProtocol:
        """The protocol over this server."""
        form = ("multipart/form-data",)
        info, encode = "the checkpoint behind the embeddings", "the embedding of raw pixels"
        return ToolProtocol(
            form=ISAT,
            title="ISAT",
            routes=(
                ToolRoute("GET", "/api/info", self.info, info),
                ToolRoute("POST", "/api/encode", self.encode, encode, body_kinds=form),
                ToolRoute("GET", f"{PATH}/{{model}}/api/info", self.info, f"{info} of one model"),
                ToolRoute("POST", f"{PATH}/{{model}}/api/encode", self.encode, f"{encode}, one model", body_kinds=form),
            ),
            under=(PATH,),
        )

    async def info(self, request: Request) -> Response:
        """What the client shows, and the name of the checkpoint that it must have too."""
        model = self._model(request)
        document = {
            "checkpoint": self._segmenter.checkpoint(model),
            "device": self._segmenter.device(model),
            "dtype": "float32",
        }
        return await json_response(document)

    async def encode(self, request: Request) -> Response:
        """The embedding as nested lists."""
        model = self._model(request)
        form = await read_form(request, self._segmenter)
        missing = [name for name in ("file", "shape", "dtype") if name not in form]
        if missing:
            raise InvalidRequest(f"the form has no {', '.join(missing)}")
        data = form["file"]
        file = await aside(len(data), lambda: self._picture(data, form["shape"], form["dtype"]))
        source = await aside(len(file), lambda: self._segmenter.picture(file, request.state.caller, model))
        embedding, size = await self._segmenter.embedding(request, source)
        features = await aside(embedding.nbytes, lambda: float_lists(embedding))
        seen = input_size(size, self._segmenter.frame(model))
        text = f'{{"features":{features},"original_size":{list(size)},"input_size":{list(seen)}}}'
        return Response(text, media_type="application/json")

    def _model(self, request: Request) -> str:
        return self._segmenter.model_named(request.path_params.get("model"))

    def _picture(self, pixels: bytes, shape: bytes, dtype: bytes) -> bytes:
        """The pixels as a file that the server reads, so that they are kept by their content as every picture is."""
        matched = _SHAPE.fullmatch(shape.strip())
        if dtype.strip() != b"uint8" or matched is None:
            raise InvalidRequest("shape is height,width,channels, and dtype is uint8")
        height, width, channels = (int(part or 1) for part in matched.groups())
        if height * width > self._segmenter.settings.max_megapixels * 1e6:
            raise ImageTooLarge(f"a picture has at most {self._segmenter.settings.max_megapixels:g} megapixels")
        if channels not in {1, 3} or not height * width or len(pixels) != height * width * channels:
            raise InvalidImage("file holds height x width x channels bytes, of 1 or 3 channels")
        array = np.frombuffer(pixels, np.uint8).reshape(height, width, channels)
        buffer = io.BytesIO()
        Image.fromarray(array.squeeze(2) if channels == 1 else array).save(buffer, "BMP")
        return buffer.getvalue()
