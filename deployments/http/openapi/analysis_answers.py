"""The JSON of `/analyze`'s answers, for `/openapi.json` only; tests hold the answers to these models."""

from typing import Any, Literal

from pydantic import Field

from deployments.http.openapi.answer_models import Answer, Parameters, Pictured, Segmentation, TimingMs

Figures = dict[str, int | float | None]


class Intensity(Answer):
    """Of the valid samples of one channel in the mask, as they are stored; null where none is valid."""

    mean: float | None
    std: float | None
    min: float | None
    max: float | None
    median: float | None


class MeasurementsPx(Answer):
    """Areas and lengths in pixels."""

    area: float
    equivalent_diameter: float
    perimeter: float
    major_axis: float
    minor_axis: float
    feret_max: float
    feret_min: float


class ObjectMeasurements(MeasurementsPx):
    """Areas and lengths in the scale's unit; definitions in docs/analysis.md."""

    circularity: float
    aspect_ratio: float | None = Field(description="null for a straight line of pixels")
    orientation: float = Field(ge=0, le=180, description="degrees, counter-clockwise from the x axis")
    solidity: float
    eccentricity: float
    extent: float
    holes: float
    intensity: list[Intensity] = Field(description="one per channel of the picture")


class AnalysedObject(Answer):
    """One object. Objects descend by area."""

    id: int = Field(ge=1)
    segmentation: Segmentation
    bbox: list[int] = Field(min_length=4, max_length=4, description="[x, y, width, height], pixels")
    centroid: list[float] = Field(
        min_length=2, max_length=2, description="[x, y]; centres of pixels have whole numbers"
    )
    group: str
    label: str | None = Field(description="empty, single, double, ... by direct children; null without nesting")
    parent: int | None = Field(description="id of the smallest object around this one")
    children: list[int]
    depth: int = Field(ge=0)
    touches_edge: bool
    predicted_iou: float | None
    stability_score: float | None
    measurements: ObjectMeasurements
    measurements_px: MeasurementsPx


class AnalysedGroup(Answer):
    """One group; groups ascend by size."""

    name: str
    count: int
    share: float = Field(ge=0, le=1)
    statistics: dict[str, Figures] = Field(
        description="of each measurement: count mean median std cv min max d10 d50 d90; std of the sample (n - 1)"
    )


class ScaleAnswer(Answer):
    """How long a pixel is."""

    pixel_size: float
    unit: Literal["px", "nm", "µm", "mm"]
    source: Literal["pixels", "request", "file"]


class DroppedByRule(Answer):
    """How many masks a rule took."""

    rule: str
    count: int


class Summary(Answer):
    """What the picture's objects amount to."""

    count: int
    input_masks: int
    edge_objects: int
    picture_area: float
    covered_area: float
    coverage: float
    density_per_mm2: float | None = Field(description="null without a physical scale")
    equivalent_diameter: dict[str, Figures | None] = Field(description="d10 d50 d90 span, number and area_weighted")
    size_classes: list[dict[str, int | float]]
    loading: dict[str, Any] | None = Field(
        description="with nesting: how many objects lie in each container, observed and by Poisson"
    )


class AnalysisAnswerModel(Pictured):
    """The analysis of a picture."""

    scale: ScaleAnswer
    preset: str | None
    objects: list[AnalysedObject]
    groups: list[AnalysedGroup]
    summary: Summary
    dropped: list[DroppedByRule] = Field(description="in the order in which the rules were applied")
    rules: dict[str, Any] = Field(description="as resolved")
    parameters: Parameters | None = Field(default=None, description="of the automatic masks, where they were run")
    timing_ms: TimingMs


class PresetAnswer(Answer):
    """A named set of rules."""

    name: str
    description: str
    reasons: dict[str, str] = Field(description="why each rule is as it is")
    rules: dict[str, Any]


class PresetsAnswer(Answer):
    """All presets."""

    default: str
    presets: list[PresetAnswer]
