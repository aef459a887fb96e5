"""The routes: `/sam/` and `/sam2/`, `embed_image` and `segment_image`.

A negative point's label is -1 in `/sam/`. The client carries its key in the body or in the query, as `api_key`.
"""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from deployments.calls.npy import to_npy
from deployments.http.auth import ANYBODY, Caller
from deployments.http.body import image_bytes
from deployments.http.protocols.bodies import aside, read_json
from deployments.http.protocols.forms import ROBOFLOW
from deployments.http.protocols.numbers import float_lists
from deployments.http.protocols.protocol import ToolProtocol, ToolRoute, key_in_authorization
from deployments.http.protocols.roboflow.answers import BINARY, binary, polygons, prediction
from deployments.http.protocols.roboflow.names import PictureNames
from deployments.http.protocols.roboflow.requests import ImageRequest, Sam2SegmentRequest, SamSegmentRequest
from deployments.http.protocols.segmenter import Segmenter, ToolMask
from deployments.http.responses import json_response
from deployments.pipelines.pictures import ImageSource
from segmentation.errors import InvalidRequest

M = TypeVar("M", bound=ImageRequest)


class Roboflow:
    """The routes."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._names = PictureNames()

    def protocol(self) -> ToolProtocol:
        """The protocol over this server."""
        image = {"image": {"type": "base64", "value": "iVBORw0KGgo="}}
        point = {"x": 120, "y": 80, "positive": True}
        both = ("application/json", BINARY)
        return ToolProtocol(
            form=ROBOFLOW,
            title="Roboflow",
            routes=(
                ToolRoute(
                    "POST", "/sam/embed_image", self.sam_embed, "a picture's embedding", ImageRequest, (), both, image
                ),
                ToolRoute(
                    "POST",
                    "/sam/segment_image",
                    self.sam_segment,
                    "polygons of one prompt",
                    body=SamSegmentRequest,
                    answers=both,
                    example={**image, "point_coords": [[120, 80]], "point_labels": [1]},
                ),
                ToolRoute(
                    "POST", "/sam2/embed_image", self.sam2_embed, "encodes a picture", ImageRequest, example=image
                ),
                ToolRoute(
                    "POST",
                    "/sam2/segment_image",
                    self.sam2_segment,
                    "the best mask of each prompt, or everything",
                    body=Sam2SegmentRequest,
                    answers=both,
                    example={**image, "prompts": {"prompts": [{"points": [point]}]}},
                ),
            ),
            under=("/sam2",),
            key_of=_key_of,
            body_may_hold_key=True,
        )

    async def sam_embed(self, request: Request) -> Response:
        """The embedding itself, as nested lists or as a .npy file."""
        started = time.perf_counter()
        async with self._asked(request, ImageRequest) as (asked, source):
            embedding, _ = await self._segmenter.embedding(request, source)
            if asked.format == "binary":
                return Response(await aside(embedding.nbytes, lambda: to_npy(embedding)), media_type=BINARY)
            text = await aside(embedding.nbytes, lambda: float_lists(embedding))
            passed = round(time.perf_counter() - started, 6)
            return Response(f'{{"embeddings":{text},"time":{passed}}}', media_type="application/json")

    async def sam2_embed(self, request: Request) -> Response:
        """Encodes a picture, and names it."""
        started = time.perf_counter()
        async with self._asked(request, ImageRequest) as (asked, source):
            await self._segmenter.prepare(request, source)
            passed = time.perf_counter() - started
            return await json_response({"image_id": asked.image_id or source.image_id, "time": passed})

    async def sam_segment(self, request: Request) -> Response:
        """The best mask of one prompt."""
        started = time.perf_counter()
        async with self._asked(request, SamSegmentRequest) as (asked, source):
            prompt = asked.prompt(self._segmenter)
            found = await self._segmenter.segment(request, source, [prompt], with_logits=True)
            best = found.masks[0][:1]
            if asked.format == "binary":
                return await binary(best)
            document = await aside(64 * len(best[0].rle.counts), lambda: polygons(best))
            return await json_response({**document, "time": time.perf_counter() - started})

    async def sam2_segment(self, request: Request) -> Response:
        """The best mask of each prompt, or of everything."""
        started = time.perf_counter()
        async with self._asked(request, Sam2SegmentRequest) as (asked, source):
            masks: Sequence[ToolMask]
            as_arrays = asked.format == "binary"
            if prompts := asked.asked(self._segmenter):
                found = await self._segmenter.segment(
                    request, source, prompts, multimask=asked.multimask_output, with_logits=as_arrays
                )
                masks = [best[0] for best in found.masks]
            elif as_arrays:
                raise InvalidRequest("the binary format needs prompts", "/prompts")
            else:
                masks = (await self._segmenter.everything(request, source)).masks
            if as_arrays:
                return await binary(masks)
            as_rle = asked.format == "rle"
            size = sum(len(mask.rle.counts) for mask in masks)
            predictions = await aside(64 * size, lambda: [prediction(mask, as_rle=as_rle) for mask in masks])
            return await json_response({"predictions": predictions, "time": time.perf_counter() - started})

    @asynccontextmanager
    async def _asked(self, request: Request, document: type[M]) -> AsyncIterator[tuple[M, ImageSource]]:
        """What is asked, about which picture; the bound of the caller's key holds for the length of the block."""
        asked = await read_json(request, self._segmenter, document)
        caller: Caller = request.state.caller
        if caller != ANYBODY:
            yield asked, await self._source(asked, caller)
            return
        caller = self._segmenter.caller_of(asked.api_key)
        with self._segmenter.place_of_key(caller):
            yield asked, await self._source(asked, caller)

    async def _source(self, asked: ImageRequest, caller: Caller) -> ImageSource:
        model = asked.model(self._segmenter)
        if asked.image is None:
            if asked.image_id is None:
                raise InvalidRequest("Must provide either image or cached image_id", "/image")
            return self._names.find(asked.image_id, caller, model, self._segmenter)
        text = asked.image.value
        data = await aside(len(text), lambda: image_bytes(text))
        source = await aside(len(data), lambda: self._segmenter.picture(data, caller, model))
        if asked.image_id is not None:
            # The content decides, not the name: a client that uses a name again gets the masks of what it sent.
            self._names.add(asked.image_id, source, caller)
        return source


def _key_of(scope: Scope) -> str | None:
    return Request(scope).query_params.get("api_key") or key_in_authorization(scope)
