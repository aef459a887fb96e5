"""QuPath's extension for SAM: the API of samapi, `/sam/`.

Answers are GeoJSON features in corners of pixels, holes included, so that areas in QuPath are those of the masks.
"""

import asyncio
import io
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from pydantic import Field
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from deployments.calls.errors import Forbidden
from deployments.http.body import image_bytes
from deployments.http.protocols.bodies import aside, read_form, read_json
from deployments.http.protocols.forms import QUPATH
from deployments.http.protocols.protocol import ToolModel, ToolProtocol, ToolRoute
from deployments.http.protocols.segmenter import Segmenter, ToolMask
from deployments.http.responses import json_response
from segmentation.errors import InvalidImage, InvalidRequest
from segmentation.masks.formats import segmentation_value

WEIGHTS = "sam-serve:"
"""Begins the `url` of a model that this server offers; the client sends it back as `checkpoint_url`."""
TYPES = ("vit_h", "vit_l", "vit_b", "vit_t", "sam2_l", "sam2_bp", "sam2_s", "sam2_t", "sam3")
"""The types of samapi, of which the client sends one with every request."""
_PARAMETERS = (
    "points_per_side",
    "points_per_batch",
    "pred_iou_thresh",
    "stability_score_thresh",
    "stability_score_offset",
    "box_nms_thresh",
    "crop_n_layers",
    "crop_nms_thresh",
    "crop_overlap_ratio",
    "crop_n_points_downscale_factor",
    "min_mask_region_area",
)
_VIDEO = "this server's models segment pictures, not videos and not by text"

Coordinates = Annotated[list[float], Field(min_length=2, max_length=2)]


class PictureFields(ToolModel):
    """The picture of a request, and the client's names of a model."""

    type: str | None = Field(
        default=None,
        description="a model here; the client's own types stand for the default where they are not offered",
    )
    b64img: str = Field(description="base64 of the picture's file")
    checkpoint_url: str | None = Field(default=None, description="of `/sam/weights/`")


class PromptRequest(PictureFields):
    """One prompt."""

    bbox: Annotated[list[float], Field(min_length=4, max_length=4)] | None = None
    point_coords: list[Coordinates] | None = None
    point_labels: list[int] | None = None
    b64mask: str | None = Field(
        default=None, description="base64 of a grey picture: logits of the model's low resolution"
    )
    multimask_output: bool = False


class AutomaticMaskRequest(PictureFields):
    """Everything, with samapi's parameters and its defaults."""

    points_per_side: int | None = 32
    points_per_batch: int = 64
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    box_nms_thresh: float = 0.7
    crop_n_layers: int = 0
    crop_nms_thresh: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    min_mask_region_area: int = 0
    output_type: str = "Single Mask"
    include_image_edge: bool = False


class WeightsRequest(ToolModel):
    """Weights that the user wants to add."""

    type: str
    name: str
    url: str


class QuPath:
    """The routes."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter

    def protocol(self) -> ToolProtocol:
        """The protocol over this server."""
        text = ("text/plain",)
        picture = {"type": "vit_b", "b64img": "iVBORw0KGgo="}
        return ToolProtocol(
            form=QUPATH,
            title="QuPath",
            routes=(
                ToolRoute("GET", "/sam/version/", self.version, "version of the server", answers=text),
                ToolRoute("GET", "/sam/weights/", self.weights, "models that the server offers"),
                ToolRoute(
                    "POST",
                    "/sam/weights/",
                    self.register_weights,
                    "refused unless the model is offered: models are the operator's",
                    body=WeightsRequest,
                    answers=text,
                    example={"type": "vit_b", "name": "mine", "url": "https://example.org/mine.pth"},
                ),
                ToolRoute("GET", "/sam/weights/cancel/", self.cancel, "nothing is downloaded", answers=text),
                ToolRoute("GET", "/sam/progress/", self.progress, "progress of downloads: none"),
                ToolRoute(
                    "POST",
                    "/sam/",
                    self.segment,
                    "features of one prompt",
                    body=PromptRequest,
                    example={**picture, "point_coords": [[120, 80]], "point_labels": [1]},
                ),
                ToolRoute(
                    "POST",
                    "/sam/automask/",
                    self.automatic,
                    "features of everything",
                    body=AutomaticMaskRequest,
                    example={**picture, "points_per_side": 16},
                ),
                ToolRoute(
                    "POST",
                    "/sam/upload/",
                    self.upload,
                    "encodes a picture ahead of its prompts",
                    body_kinds=("multipart/form-data",),
                ),
                *(
                    ToolRoute("POST", path, self.refuse, _VIDEO)
                    for path in ("/sam/sam3/", "/sam/video/", "/sam/sam3video/")
                ),
            ),
            under=("/sam",),
        )

    async def version(self, request: Request) -> Response:
        """The version of this server."""
        return PlainTextResponse(version("sam-serve"))

    async def weights(self, request: Request) -> Response:
        """The models, whatever type is asked for: the client's types are none of this server's names."""
        kind = request.query_params.get("type", "vit_h")[:16]
        return await json_response(
            [{"type": kind, "name": name, "url": WEIGHTS + name} for name in self._segmenter.models]
        )

    async def register_weights(self, request: Request) -> Response:
        """Says whether the model is there."""
        asked = await read_json(request, self._segmenter, WeightsRequest)
        self._offered(asked.url)
        return PlainTextResponse("This model is offered already.")

    async def cancel(self, request: Request) -> Response:
        """Nothing is under way."""
        return PlainTextResponse("Nothing is being downloaded.")

    async def progress(self, request: Request) -> Response:
        """The client asks while it waits for a download."""
        return await json_response({"message": None, "percent": -1})

    async def segment(self, request: Request) -> Response:
        """The masks of one prompt."""
        asked = await read_json(request, self._segmenter, PromptRequest)
        model = self._model(asked)
        points = asked.point_coords or []
        labels = asked.point_labels or []
        if any(label not in {0, 1} for label in labels):
            raise InvalidRequest("a label is 1 (foreground) or 0 (background)", "/point_labels")
        logits = None
        if asked.b64mask:
            mask = image_bytes(asked.b64mask)
            logits = await asyncio.to_thread(_logits, mask, self._segmenter.low_res_side(model))
        prompt = self._segmenter.prompt([(x, y) for x, y in points], labels, asked.bbox or None, logits)
        data = await aside(len(asked.b64img), lambda: image_bytes(asked.b64img))
        source = await aside(len(data), lambda: self._segmenter.picture(data, request.state.caller, model))
        found = await self._segmenter.segment(request, source, [prompt], multimask=asked.multimask_output)
        return await self._features(found.masks[0], model)

    async def automatic(self, request: Request) -> Response:
        """The masks of everything; `output_type` and `include_image_edge` change nothing."""
        asked = await read_json(request, self._segmenter, AutomaticMaskRequest)
        model = self._model(asked)
        parameters = {name: getattr(asked, name) for name in _PARAMETERS}
        self._segmenter.automatic(parameters)
        data = await aside(len(asked.b64img), lambda: image_bytes(asked.b64img))
        source = await aside(len(data), lambda: self._segmenter.picture(data, request.state.caller, model))
        found = await self._segmenter.everything(request, source, parameters)
        return await self._features(found.masks, model)

    async def upload(self, request: Request) -> Response:
        """Checks and encodes the picture; nothing is kept on disk under the client's names."""
        form = await read_form(request, self._segmenter)
        if "file" not in form or "dirname" not in form:
            raise InvalidRequest("the form has a dirname and a file")
        model = self._segmenter.default_model
        data = form["file"]
        source = await aside(len(data), lambda: self._segmenter.picture(data, request.state.caller, model))
        await self._segmenter.prepare(request, source)
        return await json_response({"filename": source.image_id})

    async def refuse(self, request: Request) -> Response:
        """Videos and text."""
        raise InvalidRequest(_VIDEO)

    def _model(self, asked: PictureFields) -> str:
        """The model that the client chose from this server's list, else by its type."""
        if asked.checkpoint_url:
            return self._offered(asked.checkpoint_url)
        return self._segmenter.model_named(asked.type, TYPES)

    def _offered(self, checkpoint_url: str) -> str:
        name = checkpoint_url.removeprefix(WEIGHTS)
        if name not in self._segmenter.models or not checkpoint_url.startswith(WEIGHTS):
            raise Forbidden(f"models are the operator's to add; this server offers {', '.join(self._segmenter.models)}")
        return name

    async def _features(self, masks: Sequence[ToolMask], model: str) -> Response:
        size = sum(len(mask.rle.counts) for mask in masks)
        return await json_response(await aside(64 * size, lambda: _features(masks, model)))


def _features(masks: Sequence[ToolMask], model: str) -> list[dict[str, Any]]:
    features = []
    for index, mask in enumerate(masks):
        if not mask.area:
            continue
        polygons = segmentation_value(mask.rle, "polygon")
        geometry = (
            {"type": "Polygon", "coordinates": polygons[0]}
            if len(polygons) == 1
            else {"type": "MultiPolygon", "coordinates": polygons}
        )
        properties = {"object_idx": index, "label": "object", "quality": mask.predicted_iou, "sam_model": model}
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return features


def _logits(data: bytes, side: int) -> NDArray[np.float32]:
    """A grey picture as mask input, its levels as logits, as samapi takes it."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "TIFF")) as picture:
            if picture.size != (side, side):
                raise InvalidRequest(f"a mask has {side} x {side} pixels", "/b64mask")
            return np.asarray(picture.convert("F"), np.float32)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise InvalidImage("b64mask is no grey PNG or TIFF") from None
