"""The JSON of requests: what fields there are, and of what kind.

Only the shape is checked here; `request_values` and the core check what a value means, with the same pointers.
"""

import re
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo

from deployments.calls.errors import InvalidFields, pointer_to
from deployments.settings.server import Settings
from segmentation.errors import LimitExceeded
from segmentation.masks.formats import MaskFormat
from segmentation.pictures.options import Scaling

IMAGE_ID = r"^[A-Za-z0-9_-]{1,64}$"
MAX_POINTS_PER_PROMPT = 1024
MAX_CHANNELS = 16
MAX_ERRORS = 20

MAX_GRID_POINTS = 65_536
MAX_GRIDS = 16

M = TypeVar("M", bound="Request")


LARGEST_INTEGER = 2**53
"""Stands for all larger ones: far beyond every limit, and a number that arithmetic on floats can take."""


def _whole(value: object) -> object:
    """JSON Schema's integer: a number without a fraction, however it is written (1.0, 1e3)."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return max(-LARGEST_INTEGER, min(value, LARGEST_INTEGER))
    return value


Integer = Annotated[int, BeforeValidator(_whole)]
Point = Annotated[list[float], Field(min_length=2, max_length=2)]
Points = Annotated[list[Point], Field(fail_fast=True, max_length=MAX_POINTS_PER_PROMPT)]
GridPoints = Annotated[list[Point], Field(fail_fast=True, max_length=MAX_GRID_POINTS)]
Labels = Annotated[list[Integer], Field(fail_fast=True, max_length=MAX_POINTS_PER_PROMPT)]


class Request(BaseModel):
    """Strict: an unknown field, a number in a string, NaN or infinity are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    def let_go(self) -> None:
        """Drops what is large and converted already."""


class DecodeFields(Request):
    """How to read a picture that is more than one 8-bit RGB frame."""

    page: Integer | None = Field(default=None, description="of a TIFF, or frame of an animation, from 0")
    channels: Annotated[list[Integer], Field(max_length=MAX_CHANNELS)] | None = Field(
        default=None, description="one to three, from 0, shown as grey, RG or RGB"
    )
    scaling: Scaling | None = Field(default=None, description="how samples become 0 to 255")
    range: Annotated[list[float], Field(max_length=2)] | None = Field(
        default=None, description="[low, high] of samples, or percentiles"
    )


class ImageRequest(Request):
    """Names a picture: exactly one of an `image` (or a file in the form), an `image_url` and an `image_id`."""

    image: str | None = Field(default=None, description="the picture's file in base64, or a data URI")
    image_url: str | None = Field(
        default=None, description="the address of the picture's file, on a host that the server's operator listed"
    )
    image_id: str | None = Field(default=None, pattern=IMAGE_ID, description="the id of a picture that was sent before")
    decode: DecodeFields | None = Field(default=None, description="how the picture is read; not with image_id")
    model: str | None = Field(
        default=None,
        description="one of `GET /models`; the server's default if none is named. Ids belong to a model",
    )

    def let_go(self) -> None:
        self.image = None


class PromptFields(Request):
    """One prompt: at least one of points, box and mask_input."""

    points: Points | None = Field(default=None, description="[[x, y], ...] in pixels of the upright picture")
    labels: Labels | None = Field(default=None, description="one per point: 1 foreground (the default), 0 background")
    box: Annotated[list[float], Field(min_length=4, max_length=4)] | None = Field(
        default=None, description="[x0, y0, x1, y1] in pixels"
    )
    mask_input: str | None = Field(
        default=None, description="`logits` of an earlier answer: base64 of a little-endian float32 .npy"
    )


def _few_prompts(value: object, info: ValidationInfo) -> object:
    """Before any of them is looked at."""
    if isinstance(info.context, Settings) and isinstance(value, list) and len(value) > info.context.max_prompts:
        raise LimitExceeded(f"at most {info.context.max_prompts} prompts in one request", "/prompts")
    return value


Prompts = Annotated[list[PromptFields], BeforeValidator(_few_prompts)]


class SegmentRequest(ImageRequest):
    """What is at these prompts?"""

    prompts: Prompts = Field(min_length=1)
    multimask_output: bool = Field(default=True, description="three masks per prompt; false gives SAM's single mask")
    mask_format: MaskFormat = Field(
        default="rle", description="COCO's compressed run lengths, the coordinates of a GeoJSON MultiPolygon, or a PNG"
    )
    return_logits: bool = Field(default=False, description="add `logits`, to be sent back as `mask_input`")

    def let_go(self) -> None:
        super().let_go()
        self.prompts = []


class AutomaticRequest(ImageRequest):
    """What is in this whole picture? `SamAutomaticMaskGenerator`'s parameters; those left out are the profile's."""

    points_per_side: Integer | None = Field(
        default=None, description="the grid has this many points squared (quality 32, performance 16)"
    )
    points_per_batch: Integer | None = Field(
        default=None, description="points decoded at once; capped, the masks are the same"
    )
    pred_iou_thresh: float | None = Field(
        default=None, description="keep masks whose predicted IoU is above this; 0 keeps all (0.88, 0.8)"
    )
    stability_score_thresh: float | None = Field(
        default=None, description="keep masks that are at least as stable; 0 keeps all (0.95, 0.9)"
    )
    stability_score_offset: float | None = Field(
        default=None, description="distance of the stability score's two thresholds from 0, in logits (1, 1)"
    )
    box_nms_thresh: float | None = Field(
        default=None, description="box IoU above which the worse of two masks of one crop goes (0.7, 0.7)"
    )
    crop_n_layers: Integer | None = Field(
        default=None, description="further runs on crops: layer i cuts the picture in 2^i by 2^i (2, 1)"
    )
    crop_nms_thresh: float | None = Field(
        default=None, description="box IoU above which the mask of the larger of two crops goes (0.7, 0.7)"
    )
    crop_overlap_ratio: float | None = Field(
        default=None, description="overlap of the first layer's crops, as a share of the short side (0.3413, 0.3413)"
    )
    crop_n_points_downscale_factor: Integer | None = Field(
        default=None, description="layer i has points_per_side / factor^i points a side (2, 2)"
    )
    point_grids: Annotated[list[GridPoints], Field(max_length=MAX_GRIDS)] | None = Field(
        default=None, description="per crop layer, points in fractions of the crop; excludes points_per_side"
    )
    min_mask_region_area: float | None = Field(
        default=None,
        description="holes and islands of masks with fewer pixels are removed (quality 100, performance 500)",
    )
    min_mask_area: Integer | None = Field(default=None, description="masks with fewer pixels are left out (0, 0)")
    performance_mode: bool | None = Field(default=None, description="the faster, coarser profile of defaults")
    mask_format: MaskFormat = Field(
        default="rle", description="COCO's compressed run lengths, the coordinates of a GeoJSON MultiPolygon, or a PNG"
    )
    stream: bool = Field(default=False, description="answer as application/x-ndjson while the work goes on")


class ProblemDocument(BaseModel):
    """An RFC 9457 problem document."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[dict[str, str]]
    request_id: str


def parse(model: type[M], document: Any, settings: Settings | None = None) -> M:
    """The document as a request.

    Every list of a request has a bound that holds before its elements are validated, so that errors are few.

    Raises:
        InvalidFields: with one JSON pointer per field that is wrong.
        LimitExceeded: a list that is longer than the server takes.
    """
    try:
        return model.model_validate(document, context=settings)
    except ValidationError as failure:
        found = failure.errors(include_url=False, include_context=False, include_input=False)[:MAX_ERRORS]
        errors = tuple((pointer_to(error["loc"]), _plain(error["type"], error["msg"])) for error in found)
    pointer, message = errors[0]
    if found[0]["type"] == "too_long" and _BOUNDED.fullmatch(pointer):
        raise LimitExceeded(f"{pointer}: {message}", pointer)
    raise InvalidFields(f"{pointer or 'the request'}: {message}", pointer, errors)


_BOUNDED = re.compile(r"/prompts/\d+/(points|labels)|(/automatic)?/point_grids(/\d+)?|/decode/channels|/masks|/filters")
"""Lists whose bound is the server's, and not a matter of what they mean."""


def _plain(kind: str, message: str) -> str:
    return {"extra_forbidden": "unknown field", "missing": "this field is needed"}.get(kind, message)
