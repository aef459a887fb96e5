"""What travels between the ingress and the analyzer. Plain frozen data; everything crosses processes by pickle."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from analysis import PIXELS, Rules, Scale
from deployments.calls.messages import Json
from segmentation.masks.formats import MaskFormat
from segmentation.types import Size


@dataclass(frozen=True, slots=True)
class AnalysisJob:
    """What is asked of the masks of one picture.

    image_id: of the picture; names it in the analyzer's cache.
    masks: each in any format of `analysis.read_masks`.
    predicted_iou, stability_score: of each mask; None where the caller gave the masks.
    rules, preset: as resolved.
    scale: given, or "file": that of the picture's file.
    mask_format: of the objects in the answer.
    export: a name of `analysis.EXPORTS`; None for objects as JSON.
    settings: what else made the masks, for the exports.
    max_masks: more masks are refused.
    """

    image_id: str
    masks: tuple[Any, ...]
    rules: Rules
    preset: str | None
    predicted_iou: tuple[float, ...] | None = None
    stability_score: tuple[float, ...] | None = None
    scale: Scale | Literal["file"] = PIXELS
    mask_format: MaskFormat = "rle"
    export: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    max_masks: int = 100_000


@dataclass(frozen=True, slots=True)
class AnalysisAnswer:
    """An analysis as JSON, or as a file.

    size: (height, width) of the picture.
    count: objects.
    head: the answer without its objects.
    objects: one JSON object each; empty with a file.
    file: the export's bytes; None without one.
    decode: how the picture was read.
    decode_s, analyse_s, queue_s: seconds for reading the picture, for the analysis, and before either began.
    """

    size: Size
    count: int
    head: Json
    objects: tuple[Json, ...]
    file: bytes | None
    decode: Json
    decode_s: float
    analyse_s: float
    queue_s: float
