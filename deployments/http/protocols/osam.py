"""osam's API, whose types labelme uses too: `/api/generate`."""

import base64
import io
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from deployments.http.body import image_bytes
from deployments.http.protocols.bodies import aside, read_json
from deployments.http.protocols.forms import OSAM
from deployments.http.protocols.protocol import ToolModel, ToolProtocol, ToolRoute
from deployments.http.protocols.segmenter import Segmenter, ToolMask
from deployments.http.responses import json_response
from segmentation.errors import InvalidRequest
from segmentation.masks.rle import decode
from segmentation.types import Prompt

Coordinates = Annotated[list[float], Field(min_length=2, max_length=2)]
OSAMS_OWN = frozenset(
    f"{name}{tag}"
    for name, tags in {
        "efficientsam": ("10m", "latest"),
        "sam": ("100m", "300m", "latest"),
        "sam2": ("tiny", "small", "large", "latest"),
        "sam3": ("latest",),
    }.items()
    for tag in ("", *(f":{tag}" for tag in tags))
)
"""Models that osam's clients name, which have other weights there."""

FOREGROUND, BOX_START, BOX_END = 1, 2, 3


class PromptFields(ToolModel):
    """Points and their labels: 0 background, 1 foreground, 2 and 3 a box's corners, -1 none."""

    points: list[Coordinates] | None = None
    point_labels: list[int] | None = None
    texts: list[str] | None = None


class GenerateRequest(ToolModel):
    """A picture and a prompt; without one, the picture's centre is the point."""

    model: str = Field(description="a model here, also as `sam:NAME`; names of osam's own stand for the default")
    image: str | None = Field(default=None, description="base64 of the picture's file")
    image_embedding: Any = Field(default=None, description="not taken: send the picture, whose embedding is kept here")
    prompt: PromptFields | None = None


class Osam:
    """The routes."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter

    def protocol(self) -> ToolProtocol:
        """The protocol over this server."""
        example = {"model": "sam", "image": "iVBORw0KGgo=", "prompt": {"points": [[120, 80]], "point_labels": [1]}}
        route = ToolRoute(
            "POST", "/api/generate", self.generate, "the best mask of a prompt", body=GenerateRequest, example=example
        )
        return ToolProtocol(form=OSAM, title="osam, labelme", routes=(route,))

    async def generate(self, request: Request) -> Response:
        """One annotation: the best mask."""
        asked = await read_json(request, self._segmenter, GenerateRequest)
        if asked.image is None:
            raise InvalidRequest("send the picture in image; its embedding is kept here, and is not taken from clients")
        text = asked.image
        name, _, tag = asked.model.partition(":")
        chosen = tag if name == "sam" and tag in self._segmenter.models else asked.model
        model = self._segmenter.model_named(chosen, OSAMS_OWN)
        data = await aside(len(text), lambda: image_bytes(text))
        source = await aside(len(data), lambda: self._segmenter.picture(data, request.state.caller, model))
        if asked.prompt is None:
            height, width = await self._segmenter.prepare(request, source)
            prompt = self._segmenter.prompt([(width / 2, height / 2)], [FOREGROUND])
        else:
            prompt = self._prompt(asked.prompt)
        found = await self._segmenter.segment(request, source, [prompt])
        best = found.masks[0][:1]
        annotations = await aside(64 * sum(len(mask.rle.counts) for mask in best), lambda: _annotations(best))
        return await json_response({"model": model, "image_embedding": None, "annotations": annotations})

    def _prompt(self, fields: PromptFields) -> Prompt:
        if fields.points is None or fields.point_labels is None:
            raise InvalidRequest("this server's models take points with labels, not texts", "/prompt")
        if len(fields.points) != len(fields.point_labels):
            raise InvalidRequest("points and point_labels must have the same number of rows", "/prompt/points")
        corners: dict[int, list[float]] = {}
        points: list[tuple[float, float]] = []
        labels: list[int] = []
        for (x, y), label in zip(fields.points, fields.point_labels, strict=True):
            if label in {BOX_START, BOX_END}:
                if label in corners:
                    raise InvalidRequest("a prompt has one box: one point of label 2 and one of 3", "/prompt")
                corners[label] = [x, y]
            elif label in {0, 1}:
                points.append((x, y))
                labels.append(label)
            elif label != -1:
                raise InvalidRequest("point_labels must contain only 0, 1, 2, or 3", "/prompt/point_labels")
        if corners.keys() not in (set(), {BOX_START, BOX_END}):
            raise InvalidRequest("a box has two corners: points of label 2 and 3", "/prompt")
        box = [*corners[BOX_START], *corners[BOX_END]] if corners else None
        return self._segmenter.prompt(points, labels, box)


def _annotations(masks: Sequence[ToolMask]) -> list[dict[str, Any]]:
    found = []
    for mask in masks:
        if not mask.area:
            continue
        x, y, width, height = mask.bbox
        cut = decode(mask.rle)[y : y + height, x : x + width]
        box = {"xmin": x, "ymin": y, "xmax": x + width - 1, "ymax": y + height - 1}
        found.append({"bounding_box": box, "mask": _png(cut), "score": mask.predicted_iou, "text": None})
    return found


def _png(mask: Any) -> str:
    """base64 of a grey PNG, 255 where the mask is."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(mask).view(np.uint8) * np.uint8(255)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
