"""The parameters of automatic masks: `SamAutomaticMaskGenerator`'s own names, and the two profiles of the server."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from segmentation.errors import InvalidRequest

GridPoints = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class AutomaticParameters:
    """What to look for in a whole picture. Defaults are SAM's.

    points_per_side: the grid has this many points squared; None if `point_grids` gives them.
    points_per_batch: points decoded at once; large values are capped, the masks are the same.
    pred_iou_thresh: keep masks whose predicted IoU is above this; 0 keeps all.
    stability_score_thresh: keep masks with at least this stability score; 0 keeps all.
    stability_score_offset: distance of the stability score's two thresholds from 0, in logits.
    box_nms_thresh: box IoU above which the worse of two masks of one crop goes.
    crop_n_layers: further runs on crops; layer i cuts the picture in 2**i by 2**i.
    crop_nms_thresh: box IoU above which the mask of the larger of two crops goes.
    crop_overlap_ratio: overlap of the first layer's crops, in fractions of the picture's short side.
    crop_n_points_downscale_factor: layer i has points_per_side / factor**i points a side; a layer with none is skipped.
    point_grids: per layer, points (x, y) in fractions of the crop, 0 to 1; instead of points_per_side.
    min_mask_region_area: holes and islands with fewer pixels are removed from every mask; 0 leaves masks as they are.
    min_mask_area: whole masks with fewer pixels are left out; not a parameter of SAM's.

    Raises:
        InvalidRequest: a value out of range, with the JSON pointer `/name`.
    """

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
    point_grids: tuple[GridPoints, ...] | None = None
    min_mask_region_area: float = 0
    min_mask_area: int = 0

    def __post_init__(self) -> None:
        if (self.points_per_side is None) == (self.point_grids is None):
            raise InvalidRequest("give exactly one of points_per_side and point_grids", "/point_grids")
        if self.points_per_side is not None:
            self._check("points_per_side", low=1, whole=True)
        for name in ("points_per_batch", "crop_n_points_downscale_factor"):
            self._check(name, low=1, whole=True)
        for name in ("crop_n_layers", "min_mask_area"):
            self._check(name, low=0, whole=True)
        for name in ("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh", "crop_nms_thresh"):
            self._check(name, low=0, high=1)
        self._check("crop_overlap_ratio", low=0, high=1)
        self._check("stability_score_offset", low=0)
        self._check("min_mask_region_area", low=0)
        if self.point_grids is not None:
            object.__setattr__(self, "point_grids", _point_grids(self.point_grids, self.crop_n_layers))

    @property
    def total_points(self) -> int:
        """Points over all crops of all layers; a very small picture has fewer crops."""
        if self.point_grids is not None:
            layers = [len(grid) for grid in self.point_grids[: self.crop_n_layers + 1]]
        else:
            factor, side = self.crop_n_points_downscale_factor, self.points_per_side or 0
            layers = [int(side / factor**layer) ** 2 for layer in range(self.crop_n_layers + 1)]
        return sum(points * 4**layer for layer, points in enumerate(layers))

    @property
    def decoding(self) -> "DecodingParameters":
        """Those that the decoding of points needs."""
        return DecodingParameters(
            self.points_per_batch, self.pred_iou_thresh, self.stability_score_thresh, self.stability_score_offset
        )

    def _check(self, name: str, low: float, high: float = math.inf, whole: bool = False) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise InvalidRequest(f"{name} must be {'a whole number' if whole else 'a number'}", f"/{name}")
        if not (low <= value <= high and math.isfinite(value)):
            limits = f"at least {low}" if high == math.inf else f"between {low} and {high}"
            raise InvalidRequest(f"{name} must be {limits}", f"/{name}")


@dataclass(frozen=True, slots=True)
class DecodingParameters:
    """The parameters that the candidates of given points depend on; each as in `AutomaticParameters`."""

    points_per_batch: int
    pred_iou_thresh: float
    stability_score_thresh: float
    stability_score_offset: float


QUALITY = AutomaticParameters(crop_n_layers=2, crop_n_points_downscale_factor=2, min_mask_region_area=100)
"""The default profile."""

PERFORMANCE = AutomaticParameters(
    points_per_side=16,
    pred_iou_thresh=0.80,
    stability_score_thresh=0.90,
    crop_n_layers=1,
    crop_n_points_downscale_factor=2,
    min_mask_region_area=500,
)
"""The profile of performance mode."""


def with_overrides(profile: AutomaticParameters, overrides: Mapping[str, Any]) -> AutomaticParameters:
    """The profile with a request's own values; `point_grids` takes the place of the profile's `points_per_side`.

    Raises:
        InvalidRequest: an unknown name, or a value out of range, with the JSON pointer `/name`.
    """
    known = {field.name for field in fields(AutomaticParameters)}
    if unknown := sorted(set(overrides) - known):
        raise InvalidRequest(f"unknown parameter {unknown[0]!r}", f"/{unknown[0]}")
    changes = dict(overrides)
    if changes.get("point_grids") is not None:
        changes.setdefault("points_per_side", None)
    return replace(profile, **changes)


def _point_grids(grids: Sequence[Sequence[Sequence[float]]], crop_n_layers: int) -> tuple[GridPoints, ...]:
    """The grids as plain tuples, whatever sequences or arrays they came as."""
    if len(grids) != crop_n_layers + 1:
        raise InvalidRequest(
            f"point_grids has one grid for the whole picture and one per crop layer: {crop_n_layers + 1}",
            "/point_grids",
        )
    return tuple(
        tuple(_grid_point(point, f"/point_grids/{layer}/{index}") for index, point in enumerate(grid))
        for layer, grid in enumerate(grids)
    )


def _grid_point(point: Sequence[float], pointer: str) -> tuple[float, float]:
    try:
        x, y = (float(value) for value in point)
    except (TypeError, ValueError):
        raise InvalidRequest("a grid point is [x, y]", pointer) from None
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise InvalidRequest("a grid point lies in 0 <= x <= 1, 0 <= y <= 1", pointer)
    return x, y
