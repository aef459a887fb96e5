"""The JSON of `/analyze`: what fields there are and of what kind. What a value means is checked by `analysis`."""

from typing import Annotated, Any, Literal

from pydantic import Field, WrapValidator, create_model

from analysis import EXPORTS, PIXELS, RULE_NAMES, Rules, Scale, read_scale, resolve_rules
from deployments.calls.errors import InvalidFields
from deployments.http.request_values import to_parameters, to_prompts
from deployments.http.requests import AutomaticRequest, ImageRequest, Prompts, Request, SegmentRequest
from deployments.pipelines.analysis import GivenMasks, MaskSource
from deployments.settings.server import Settings
from segmentation.errors import InvalidRequest, LimitExceeded
from segmentation.masks.formats import MaskFormat

MAX_MASKS = 100_000
"""Of one request."""
MAX_ENTRIES = 256
"""Of a rule's list."""

ExportName = Literal["json", "csv", "xlsx", "geojson", "coco", "yolo", "labels", "rois", "overlay", "archive"]

_PARAMETERS: dict[str, Any] = {
    name: (field.annotation, field)
    for name, field in AutomaticRequest.model_fields.items()
    if name not in {*ImageRequest.model_fields, "mask_format", "stream"}
}
AutomaticFields: Any = create_model(
    "AutomaticFields",
    __base__=Request,
    __doc__="The parameters of `/segment/auto`; those left out are the profile's.",
    **_PARAMETERS,
)


class ScaleFields(Request):
    """How long a pixel is."""

    pixel_size: float = Field(description="the side of a pixel, above 0")
    unit: str = Field(default="µm", description="µm (or um), nm, mm, or px")


class CleanFields(Request):
    """Fills small holes, then removes small islands."""

    holes: float | None = Field(default=None, description="holes of fewer pixels are filled")
    islands: float | None = Field(default=None, description="parts of fewer pixels go; the largest stays")


class EdgeFields(Request):
    """Masks near a side of the picture."""

    margin: float | None = Field(default=None, description="pixels to a side of the picture, 0 is touching it")
    action: Literal["drop", "mark"] | None = Field(default=None, description="drop by default")


class PartsFields(Request):
    """Masks in pieces."""

    max_distance: float = Field(description="pixels between the centroids of two parts")


class DuplicateFields(Request):
    """Two masks of one thing."""

    measure: Literal["iou", "overlap"] | None = Field(
        default=None, description="overlap is intersection / smaller area; iou by default"
    )
    threshold: float | None = Field(default=None, description="0 to 1; 0.8 by default")
    keep: Literal["larger", "smaller", "score"] | None = Field(default=None, description="larger by default")


class FilterFields(Request):
    """Keeps objects whose property is within a range."""

    property: str = Field(description="a measurement, see docs/analysis.md; areas and lengths in the scale's unit")
    min: float | None = None
    max: float | None = None
    group: str | None = Field(default=None, description="only objects of this group are tested")


class NestingFields(Request):
    """Which masks lie in which."""

    threshold: float | None = Field(default=None, description="share of the smaller that lies in the larger")


class GroupFields(Request):
    """Groups of alike objects."""

    by: Annotated[list[str], Field(max_length=MAX_ENTRIES)] | None = Field(
        default=None, description="properties; equivalent_diameter by default"
    )
    method: Literal["kmeans", "otsu", "thresholds", "quantiles"] | None = None
    count: Any = Field(
        default=None,
        description="auto chooses by silhouette",
        json_schema_extra={"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}, {"type": "null"}]},
    )
    thresholds: Annotated[list[float], Field(max_length=MAX_ENTRIES)] | None = Field(
        default=None, description="for method thresholds, ascending"
    )
    names: Annotated[list[str], Field(max_length=MAX_ENTRIES)] | None = Field(
        default=None, description="smallest first"
    )


class MonodisperseFields(Request):
    """Objects of the largest group that are much larger than its mean."""

    max_ratio: Annotated[list[float], Field(max_length=MAX_ENTRIES)] | None = Field(
        default=None, description="[1.3, 1.2] by default; one after the other"
    )


def _scale(value: Any, _: Any) -> Any:
    """Without the union's own errors, whose pointers name types of Python."""
    return value if value is None or value == "file" else ScaleFields.model_validate(value)


class AnalyzeRequest(ImageRequest):
    """What is in this picture, how many, how large, in which groups? At most one of automatic, prompts and masks."""

    automatic: AutomaticFields | None = Field(default=None, description="parameters of a run of automatic masks")
    prompts: Prompts | None = Field(default=None, min_length=1, description="the best mask of each")
    masks: Annotated[list[Any], Field(max_length=MAX_MASKS)] | None = Field(
        default=None, description="masks in any mask_format; no model runs"
    )
    scale: Annotated[ScaleFields | Literal["file"] | None, WrapValidator(_scale)] = Field(
        default=None, description="file reads it from the picture's metadata; null measures in pixels"
    )
    preset: str | None = Field(default=None, description="a name of `GET /analyze/presets`")
    background: Literal["drop", "keep"] | None = None
    clean: CleanFields | None = None
    edge: EdgeFields | None = None
    parts: PartsFields | None = None
    duplicates: DuplicateFields | None = None
    filters: Annotated[list[FilterFields], Field(max_length=MAX_ENTRIES)] | None = None
    nesting: NestingFields | None = None
    groups: GroupFields | None = None
    monodisperse: MonodisperseFields | None = None
    mask_format: MaskFormat = "rle"
    stream: bool = Field(default=False, description="answer as application/x-ndjson while the work goes on")
    format: ExportName = Field(default="json", description="json, or a file in this format")


def to_rules(fields: AnalyzeRequest) -> Rules:
    """The rules: those of the preset, and the request's own in their places; null leaves a rule out.

    Raises:
        InvalidRequest: a rule that can't be, with its JSON pointer.
    """
    given = fields.model_dump(include=set(RULE_NAMES), exclude_unset=True)
    return resolve_rules(fields.preset, given)


def to_scale(fields: AnalyzeRequest) -> Scale | Literal["file"]:
    """The scale, or where it is to be read."""
    if fields.scale is None:
        return PIXELS
    if isinstance(fields.scale, str):
        return "file"
    return read_scale(fields.scale.pixel_size, fields.scale.unit)


def to_mask_source(fields: AnalyzeRequest, settings: Settings, low_res_side: int) -> MaskSource:
    """Where the masks come from.

    Raises:
        InvalidRequest: two sources, or one that can't be; `LimitExceeded` for one beyond the server's limits.
    """
    given = [name for name in ("automatic", "prompts", "masks") if getattr(fields, name) is not None]
    if len(given) > 1:
        raise InvalidRequest("give at most one of automatic, prompts and masks", f"/{given[1]}")
    if fields.masks is not None:
        if len(fields.masks) > MAX_MASKS:
            raise LimitExceeded(f"{len(fields.masks)} masks; at most {MAX_MASKS} are analysed at once", "/masks")
        return GivenMasks(tuple(fields.masks))
    if fields.prompts is not None:
        return to_prompts(SegmentRequest(prompts=fields.prompts), settings, low_res_side)
    values = {} if fields.automatic is None else fields.automatic.model_dump(exclude_none=True)
    try:
        return to_parameters(AutomaticRequest(**values), settings)
    except InvalidFields:
        raise
    except InvalidRequest as error:
        raise type(error)(error.message, f"/automatic{error.pointer}") from None


assert set(ExportName.__args__) == {"json", *EXPORTS}  # type: ignore[attr-defined]
