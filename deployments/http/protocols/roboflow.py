"""Roboflow's `inference` API for Segment Anything: `/sam/` and `/sam2/`, `embed_image` and `segment_image`.

A negative point's label is -1 in `/sam/`. The client carries its key in the body or in the query, as `api_key`.
"""

import io
import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from deployments.calls.npy import to_npy
from deployments.http.auth import ANYBODY, Caller
from deployments.http.body import image_bytes
from deployments.http.problems import Problem
from deployments.http.protocols.bodies import aside, read_json
from deployments.http.protocols.numbers import float_lists
from deployments.http.protocols.outlines import boundary_pixels
from deployments.http.protocols.protocol import ToolModel, ToolProtocol, ToolRoute, key_in_authorization
from deployments.http.protocols.segmenter import Segmenter, ToolMask
from deployments.http.requests import IMAGE_ID
from deployments.http.responses import json_response
from deployments.pipelines.pictures import ImageSource
from segmentation.errors import InvalidRequest
from segmentation.masks.rle import decode, encode
from segmentation.types import Prompt

NAME = "roboflow"
MAX_NAMES = 4096
"""Clients' own names of pictures that one replica of the ingress remembers."""
BINARY = "application/octet-stream"

Coordinates = Annotated[list[float], Field(min_length=2, max_length=2)]


class ImageField(ToolModel):
    """A picture's file."""

    type: Literal["base64"]
    value: str


class ImageRequest(ToolModel):
    """The picture of a request: its file, or the `image_id` of one that was embedded before."""

    api_key: str | None = None
    image: ImageField | None = None
    image_id: Annotated[str, Field(max_length=256)] | None = None
    format: Literal["json", "rle", "binary"] = "json"


M = TypeVar("M", bound=ImageRequest)


class SamSegmentRequest(ImageRequest):
    """One prompt of `/sam/segment_image`."""

    point_coords: list[Coordinates] | None = None
    point_labels: list[float] | None = None
    embeddings: Any = Field(default=None, description="not taken: embeddings are kept here under image_id")
    has_mask_input: bool | None = False


class Point(ToolModel):
    """A click."""

    x: float
    y: float
    positive: bool = True


class Box(ToolModel):
    """A box by its centre."""

    x: float
    y: float
    width: float
    height: float


class Sam2Prompt(ToolModel):
    """Points, a box, or both."""

    points: list[Point] | None = None
    box: Box | None = None


class Sam2SegmentRequest(ImageRequest):
    """Prompts of `/sam2/segment_image`; without any, everything."""

    prompts: list[Sam2Prompt] = Field(default_factory=list)
    multimask_output: bool = True

    @field_validator("prompts", mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        """A list, `{"prompts": list}`, or one prompt."""
        if isinstance(value, dict):
            value = value.get("prompts", [value] if value else [])
        return value


class Roboflow:
    """The routes."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._names: OrderedDict[tuple[Caller, str], str] = OrderedDict()

    def protocol(self) -> ToolProtocol:
        """The protocol over this server."""
        image = {"image": {"type": "base64", "value": "iVBORw0KGgo="}}
        point = {"x": 120, "y": 80, "positive": True}
        both = ("application/json", BINARY)
        return ToolProtocol(
            name=NAME,
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
            error=_error,
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
            if asked.embeddings is not None:
                raise InvalidRequest(
                    "send the image or its image_id: embeddings of clients are not taken", "/embeddings"
                )
            if asked.has_mask_input:
                raise InvalidRequest("a mask is not taken as input here; /segment takes one", "/has_mask_input")
            prompt = self._sam_prompt(asked)
            found = await self._segmenter.segment(request, source, [prompt], with_logits=True)
            best = found.masks[0][:1]
            if asked.format == "binary":
                return await _binary(best)
            masks = await aside(64 * len(best[0].rle.counts), lambda: [_largest(boundary_pixels(m.rle)) for m in best])
            low = [_largest(boundary_pixels(encode(_low_res(mask) > 0))) for mask in best]
            return await json_response({"masks": masks, "low_res_masks": low, "time": time.perf_counter() - started})

    async def sam2_segment(self, request: Request) -> Response:
        """The best mask of each prompt."""
        started = time.perf_counter()
        async with self._asked(request, Sam2SegmentRequest) as (asked, source):
            masks: Sequence[ToolMask]
            if asked.prompts:
                prompts = [self._sam2_prompt(prompt) for prompt in asked.prompts]
                found = await self._segmenter.segment(
                    request, source, prompts, multimask=asked.multimask_output, with_logits=asked.format == "binary"
                )
                masks = [best[0] for best in found.masks]
            elif asked.format == "binary":
                raise InvalidRequest("the binary format needs prompts", "/prompts")
            else:
                masks = (await self._segmenter.everything(request, source)).masks
            if asked.format == "binary":
                return await _binary(masks)
            as_rle = asked.format == "rle"
            size = sum(len(mask.rle.counts) for mask in masks)
            predictions = await aside(64 * size, lambda: [_prediction(mask, as_rle) for mask in masks])
            return await json_response({"predictions": predictions, "time": time.perf_counter() - started})

    @asynccontextmanager
    async def _asked(self, request: Request, model: type[M]) -> AsyncIterator[tuple[M, ImageSource]]:
        """What is asked, about which picture; the bound of the caller's key holds for the length of the block."""
        asked = await read_json(request, self._segmenter, model)
        caller: Caller = request.state.caller
        if caller != ANYBODY:
            yield asked, await self._source(asked, caller)
            return
        caller = self._segmenter.caller_of(asked.api_key)
        with self._segmenter.place_of_key(caller):
            yield asked, await self._source(asked, caller)

    async def _source(self, asked: ImageRequest, caller: Caller) -> ImageSource:
        if asked.image is None:
            return self._named(asked.image_id, caller)
        text = asked.image.value
        data = await aside(len(text), lambda: image_bytes(text))
        source = await aside(len(data), lambda: self._segmenter.picture(data, caller))
        if asked.image_id is not None:
            # The content decides, not the name: a client that uses a name again gets the masks of what it sent.
            self._names[caller, asked.image_id] = source.image_id
            self._names.move_to_end((caller, asked.image_id))
            if len(self._names) > MAX_NAMES:
                self._names.popitem(last=False)
        return source

    def _named(self, image_id: str | None, caller: Caller) -> ImageSource:
        if image_id is None:
            raise InvalidRequest("Must provide either image or cached image_id", "/image")
        known = self._names.get((caller, image_id), image_id)
        return self._segmenter.picture_by_id(known if re.fullmatch(IMAGE_ID, known) else "-", caller)

    def _sam_prompt(self, asked: SamSegmentRequest) -> Prompt:
        points = asked.point_coords or []
        labels = asked.point_labels if asked.point_labels is not None else [1.0] * len(points)
        if any(label not in {-1.0, 0.0, 1.0} for label in labels):
            raise InvalidRequest("a label is 1 (positive) or -1 (negative)", "/point_labels")
        return self._segmenter.prompt([(x, y) for x, y in points], [int(label == 1) for label in labels])

    def _sam2_prompt(self, prompt: Sam2Prompt) -> Prompt:
        points = prompt.points or []
        box = None
        if prompt.box is not None:
            half_width, half_height = prompt.box.width / 2, prompt.box.height / 2
            x, y = prompt.box.x, prompt.box.y
            box = [x - half_width, y - half_height, x + half_width, y + half_height]
        return self._segmenter.prompt(
            [(point.x, point.y) for point in points], [int(point.positive) for point in points], box
        )


def _prediction(mask: ToolMask, as_rle: bool) -> dict[str, Any]:
    masks: Any = boundary_pixels(mask.rle)
    if as_rle:
        masks = {"size": list(mask.rle.size), "counts": mask.rle.counts}
    return {"masks": masks, "confidence": mask.predicted_iou, "format": "rle" if as_rle else "polygon"}


def _largest(polygons: list[list[list[int]]]) -> list[list[int]]:
    return polygons[0] if polygons else []


async def _binary(masks: Sequence[ToolMask]) -> Response:
    """An .npz of `masks`, bool [N, H, W], and `low_res_masks`, float32 [N, side, side]."""

    def write() -> bytes:
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            masks=np.stack([decode(mask.rle) for mask in masks]),
            low_res_masks=np.stack([_low_res(mask) for mask in masks]),
        )
        return buffer.getvalue()

    height, width = masks[0].rle.size
    return Response(await aside(height * width * len(masks), write), media_type=BINARY)


def _low_res(mask: ToolMask) -> NDArray[np.float32]:
    if mask.logits is None:
        raise RuntimeError("the logits of the masks were not asked for")
    return mask.logits


def _key_of(scope: Scope) -> str | None:
    return Request(scope).query_params.get("api_key") or key_in_authorization(scope)


def _error(problem: Problem) -> object:
    return {"message": problem.detail}
