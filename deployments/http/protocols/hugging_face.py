"""The image segmentation task of Hugging Face's inference clients, at the URL that they take as a model's.

The task knows no prompts, and its answer is everything. A client that passes `parameters` on as they are, as the one
for JavaScript does, may put `points`, `labels` and `box` there.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from deployments.http.body import image_bytes
from deployments.http.protocols.bodies import aside, media_type, read_bytes, to_document
from deployments.http.protocols.forms import HUGGING_FACE
from deployments.http.protocols.protocol import ToolModel, ToolProtocol, ToolRoute
from deployments.http.protocols.segmenter import Segmenter, ToolMask
from deployments.http.responses import json_response
from deployments.pipelines.pictures import ImageSource
from segmentation.errors import InvalidRequest
from segmentation.masks.formats import segmentation_value

PATH = "/hugging-face"
SUBTASKS = ("instance",)
_IMAGE = re.compile(r"image/[a-z0-9.+-]+|application/octet-stream|application/x-www-form-urlencoded|")
"""What a picture's bytes are sent as; clients that don't know say nothing."""

Coordinates = Annotated[list[float], Field(min_length=2, max_length=2)]


class SegmentationParameters(ToolModel):
    """The task's parameters, and this server's prompts."""

    threshold: float | None = Field(default=None, ge=0, le=1, description="masks of less predicted IoU are left out")
    mask_threshold: float | None = Field(default=None, description="not used: masks are cut where SAM cuts them")
    overlap_mask_area_threshold: float | None = Field(default=None, description="not used: masks may overlap")
    subtask: str | None = None
    points: list[Coordinates] | None = None
    labels: list[int] | None = None
    box: Annotated[list[float], Field(min_length=4, max_length=4)] | None = None


class SegmentationRequest(ToolModel):
    """A picture with parameters; without them its bytes may be the body."""

    inputs: str = Field(description="base64 of the picture's file")
    parameters: SegmentationParameters | None = None


class HuggingFace:
    """The routes."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter

    def protocol(self) -> ToolProtocol:
        """The protocol over this server."""
        kinds = ("image/png", "image/jpeg", "application/octet-stream")
        example = {"inputs": "iVBORw0KGgo=", "parameters": {"threshold": 0.9}}
        routes = tuple(
            ToolRoute("POST", path, self.segment, summary, SegmentationRequest, kinds, example=example)
            for path, summary in (
                (PATH, "masks of everything"),
                (f"{PATH}/{{model}}", "the same by one model"),
            )
        )
        return ToolProtocol(
            form=HUGGING_FACE,
            title="Hugging Face",
            routes=routes,
            under=(PATH,),
        )

    async def segment(self, request: Request) -> Response:
        """Masks as grey PNGs of the whole picture, the best first."""
        model = self._segmenter.model_named(request.path_params.get("model"))
        body = await read_bytes(request, self._segmenter)
        parameters = SegmentationParameters()
        data = body
        if media_type(request) == "application/json" or body[:1] == b"{":
            asked = await aside(len(body), lambda: to_document(SegmentationRequest, body))
            parameters = asked.parameters or parameters
            data = await aside(len(asked.inputs), lambda: image_bytes(asked.inputs))
        elif not _IMAGE.fullmatch(media_type(request)):
            raise InvalidRequest("send a picture's bytes as image/*, or JSON")
        if parameters.subtask not in {None, *SUBTASKS}:
            raise InvalidRequest(f"subtask is {', '.join(SUBTASKS)}: the model names no classes", "/parameters/subtask")
        source = await aside(len(data), lambda: self._segmenter.picture(data, request.state.caller, model))
        masks = await self._masks(request, source, parameters)
        best_first = sorted(masks, key=lambda mask: -mask.predicted_iou)
        size = sum(len(mask.rle.counts) for mask in masks)
        return await json_response(await aside(64 * size, lambda: _answer(best_first)))

    async def _masks(
        self, request: Request, source: ImageSource, parameters: SegmentationParameters
    ) -> Sequence[ToolMask]:
        least = parameters.threshold or 0.0
        if parameters.points or parameters.box:
            points = [(x, y) for x, y in parameters.points or []]
            labels = [1] * len(points) if parameters.labels is None else parameters.labels
            if any(label not in {0, 1} for label in labels):
                raise InvalidRequest("a label is 1 (foreground) or 0 (background)", "/parameters/labels")
            prompt = self._segmenter.prompt(points, labels, parameters.box)
            found = (await self._segmenter.segment(request, source, [prompt])).masks[0]
            return [mask for mask in found if mask.predicted_iou >= least]
        given = {} if parameters.threshold is None else {"pred_iou_thresh": parameters.threshold}
        return (await self._segmenter.everything(request, source, given)).masks


def _answer(masks: Sequence[ToolMask]) -> list[dict[str, Any]]:
    return [
        {"label": "object", "score": mask.predicted_iou, "mask": segmentation_value(mask.rle, "png")} for mask in masks
    ]
