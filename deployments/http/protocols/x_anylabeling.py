"""X-AnyLabeling's remote server: `/v1/models` and `/v1/predict`.

The client sends the whole picture with every click. Its content is its id here: only the first click encodes it.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from deployments.http.body import image_bytes
from deployments.http.protocols.bodies import aside, read_json
from deployments.http.protocols.forms import X_ANYLABELING
from deployments.http.protocols.outlines import outlines
from deployments.http.protocols.protocol import ToolModel, ToolProtocol, ToolRoute, key_in_header
from deployments.http.protocols.segmenter import Segmenter, ToolMask
from deployments.http.responses import json_response
from segmentation.errors import InvalidRequest
from segmentation.types import Prompt

EVERYTHING = "_everything"
"""Ends the name of the second entry that each model has in the client's list: the one that takes no clicks."""
UNFINISHED = "AUTOLABEL_OBJECT"
"""The label of a shape that the client still asks its user to name."""
MAX_MARKS = 1024

_CLICKED = ("button_add_point", "button_remove_point", "button_add_rect", "button_clear", "button_finish_object")
_EVERYTHING = ("button_run", "input_conf", "edit_conf", "input_iou", "edit_iou", "toggle_preserve_existing_annotations")
_EPSILON_FACTOR = 0.001


class Mark(ToolModel):
    """A click or a rectangle of the user's; `auto_grid` stands for everything."""

    type: Literal["point", "rectangle", "auto_grid"]
    data: Annotated[list[float], Field(default_factory=list, max_length=4)]
    label: int | None = 1


class PredictParameters(ToolModel):
    """The widgets of the client; 0 stands for one that it does not show."""

    conf_threshold: float | None = Field(default=None, ge=0, le=1)
    iou_threshold: float | None = Field(default=None, ge=0, le=1)
    epsilon_factor: float | None = Field(default=None, ge=0, le=0.1)
    marks: Annotated[list[Mark], Field(default_factory=list, max_length=MAX_MARKS)]
    text_prompt: str | None = None


class PredictRequest(ToolModel):
    """A picture, and what is asked about it."""

    model: str = Field(description="of `/v1/models`")
    image: str = Field(description="data URI or base64 of the picture's file")
    params: PredictParameters = Field(default_factory=lambda: PredictParameters.model_validate({}))


class XAnyLabeling:
    """The routes."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter

    def protocol(self) -> ToolProtocol:
        """The protocol over this server."""
        return ToolProtocol(
            form=X_ANYLABELING,
            title="X-AnyLabeling",
            routes=(
                ToolRoute("GET", "/v1/models", self.models, "the models that the client offers"),
                ToolRoute("GET", "/v1/models/{model_id}/info", self.model_info, "one model"),
                ToolRoute(
                    "POST",
                    "/v1/predict",
                    self.predict,
                    "polygons of the objects at marks, or of everything",
                    body=PredictRequest,
                    example={
                        "model": self._segmenter.default_model,
                        "image": "data:image/png;base64,iVBORw0KGgo=",
                        "params": {"marks": [{"type": "point", "data": [120, 80], "label": 1}]},
                    },
                ),
            ),
            under=("/v1",),
            key_of=key_in_header("token"),
        )

    async def models(self, request: Request) -> Response:
        """Every model twice: to be clicked, and for everything at once."""
        entries = {name: entry for model in self._segmenter.models for name, entry in _entries(model)}
        return await json_response({"success": True, "data": entries})

    async def model_info(self, request: Request) -> Response:
        """One entry of the list."""
        model_id: str = request.path_params["model_id"]
        entries = dict(_entries(self._offered(model_id)))
        return await json_response({"success": True, "data": {"model_id": model_id, **entries[model_id]}})

    async def predict(self, request: Request) -> Response:
        """Shapes of one picture."""
        asked = await read_json(request, self._segmenter, PredictRequest)
        model = self._offered(asked.model)
        if asked.params.text_prompt:
            raise InvalidRequest("this server's models take points and rectangles, not text", "/params/text_prompt")
        data = await aside(len(asked.image), lambda: image_bytes(asked.image))
        source = await aside(len(data), lambda: self._segmenter.picture(data, request.state.caller, model))
        marks = [mark for mark in asked.params.marks if mark.type != "auto_grid"]
        tolerance = _EPSILON_FACTOR if asked.params.epsilon_factor is None else asked.params.epsilon_factor
        if marks and not asked.model.endswith(EVERYTHING):
            found = await self._segmenter.segment(request, source, self._prompts(marks))
            masks: Sequence[ToolMask] = [best[0] for best in found.masks]
            label, replace = UNFINISHED, False
        else:
            everything = await self._segmenter.everything(request, source, _thresholds(asked.params))
            masks = everything.masks
            label, replace = "object", None
        size = sum(len(mask.rle.counts) for mask in masks)
        shapes = await aside(64 * size, lambda: _shapes(masks, label, tolerance))
        return await json_response({"success": True, "data": {"shapes": shapes, "description": "", "replace": replace}})

    def _offered(self, model_id: str) -> str:
        """The model of an entry."""
        return self._segmenter.model_named(model_id.removesuffix(EVERYTHING) or EVERYTHING)

    def _prompts(self, marks: Sequence[Mark]) -> list[Prompt]:
        """One prompt a rectangle, with the points in it; one of all points where there is no rectangle."""
        points: list[tuple[float, float, int]] = []
        boxes: list[list[float]] = []
        for index, mark in enumerate(marks):
            if len(mark.data) != (2 if mark.type == "point" else 4):
                raise InvalidRequest("a point has x and y, a rectangle two corners", f"/params/marks/{index}/data")
            if mark.type == "point":
                points.append((mark.data[0], mark.data[1], int(mark.label != 0)))
            else:
                x0, y0, x1, y1 = mark.data
                boxes.append([min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)])
        if not boxes:
            return [self._prompt(points, None)]
        if len(boxes) == 1:
            return [self._prompt(points, boxes[0])]
        prompts = [self._prompt([point for point in points if _is_in(point, box)], box) for box in boxes]
        outside = [point for point in points if not any(_is_in(point, box) for box in boxes)]
        if any(label for _, _, label in outside):
            prompts.append(self._prompt(outside, None))
        return prompts

    def _prompt(self, points: Sequence[tuple[float, float, int]], box: list[float] | None) -> Prompt:
        return self._segmenter.prompt([(x, y) for x, y, _ in points], [label for _, _, label in points], box)


def _entries(model: str) -> list[tuple[str, dict[str, Any]]]:
    clicked: list[dict[str, Any]] = [{"name": name, "value": None} for name in _CLICKED]
    fineness = [{"name": "mask_fineness_slider", "value": 10}, {"name": "mask_fineness_value_label", "value": None}]
    values = {"edit_conf": 0.0, "edit_iou": 0.0}
    everything: list[dict[str, Any]] = [{"name": name, "value": values.get(name)} for name in _EVERYTHING]
    return [
        (
            model,
            {
                "display_name": f"Segment Anything ({model})",
                "widgets": [*clicked, *fineness],
                "params": {"epsilon_factor": _EPSILON_FACTOR},
                "batch_processing_mode": None,
            },
        ),
        (
            model + EVERYTHING,
            {
                "display_name": f"Segment Anything ({model}), everything",
                "widgets": [*everything, *fineness],
                "params": {"epsilon_factor": _EPSILON_FACTOR},
                "batch_processing_mode": "default",
            },
        ),
    ]


def _thresholds(parameters: PredictParameters) -> dict[str, float]:
    """What of the automatic masks' profile the client's widgets change."""
    given = {"pred_iou_thresh": parameters.conf_threshold, "box_nms_thresh": parameters.iou_threshold}
    return {name: value for name, value in given.items() if value}


def _shapes(masks: Sequence[ToolMask], label: str, tolerance: float) -> list[dict[str, Any]]:
    """A polygon for each part of each mask; parts of one mask share a group."""
    shapes: list[dict[str, Any]] = []
    group = 0
    for mask in masks:
        polygons = outlines(mask.rle, tolerance)
        group += len(polygons) > 1
        shapes += [
            {
                "label": label,
                "shape_type": "polygon",
                "points": polygon,
                "score": mask.predicted_iou,
                "group_id": group if len(polygons) > 1 else None,
                "attributes": {},
            }
            for polygon in polygons
        ]
    return shapes


def _is_in(point: tuple[float, float, int], box: Sequence[float]) -> bool:
    x, y, _ = point
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]
