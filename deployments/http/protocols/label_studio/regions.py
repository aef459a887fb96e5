"""Regions of Label Studio, in per cent of a picture: the user's become prompts, and masks become regions."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from deployments.http.protocols.label_studio.brush_rle import decode_brush, encode_brush
from deployments.http.protocols.label_studio.label_config import Control
from deployments.http.protocols.outlines import outlines
from deployments.http.protocols.protocol import ToolModel
from deployments.http.protocols.segmenter import ToolMask
from segmentation.errors import InvalidRequest
from segmentation.masks.rle import decode

TOLERANCE = 0.001
MAX_SIDE = 100_000


class Region(ToolModel):
    """One region of the user's."""

    type: str = ""
    value: dict[str, Any] = Field(default_factory=dict)
    is_positive: bool | int | None = None
    original_width: Annotated[int, Field(ge=1, le=MAX_SIDE)] | None = None
    original_height: Annotated[int, Field(ge=1, le=MAX_SIDE)] | None = None


@dataclass(frozen=True, slots=True)
class AskedRegion:
    """One prompt: points with labels, a box, and the label that its mask gets.

    points: (x, y) in pixels.
    box: (x0, y0, x1, y1) in pixels.
    """

    label: str | None
    points: tuple[tuple[float, float], ...] = ()
    point_labels: tuple[int, ...] = ()
    box: tuple[float, float, float, float] | None = None


def asked_regions(regions: Sequence[Region], max_pixels: int) -> list[AskedRegion]:
    """A prompt for each rectangle (with the points in it) and brush region, else one of all points.

    Args:
        max_pixels: of the picture of a brush region.

    Raises:
        InvalidRequest: a region that can't be read.
    """
    points: list[tuple[float, float, int]] = []
    label: str | None = None
    boxes: list[tuple[str | None, tuple[float, float, float, float]]] = []
    for index, region in enumerate(regions):
        pointer = f"/params/context/result/{index}"
        kind = region.type.lower()
        own_label = _label(region)
        if kind in {"keypointlabels", "keypoint"}:
            x, y = _pixels(region, ("x", "y"), pointer)
            points.append((x, y, int(bool(_is_positive(region)))))
            label = label or own_label
        elif kind in {"rectanglelabels", "rectangle"}:
            x, y, width, height = _pixels(region, ("x", "y", "width", "height"), pointer)
            boxes.append((own_label, (x, y, x + width, y + height)))
        elif kind == "brushlabels":
            boxes.append((own_label, _brush_box(region, max_pixels, pointer)))
        else:
            raise InvalidRequest("keypoints, rectangles and brushes are taken as prompts", f"{pointer}/type")
    if not boxes:
        return [_asked(label, points, None)] if points else []
    if len(boxes) == 1:
        return [_asked(boxes[0][0] or label, points, boxes[0][1])]
    asked = [_asked(name, [point for point in points if _is_in(point, box)], box) for name, box in boxes]
    outside = [point for point in points if not any(_is_in(point, box) for _, box in boxes)]
    return [*asked, _asked(label, outside, None)] if any(positive for _, _, positive in outside) else asked


def results(masks: Sequence[tuple[ToolMask, str | None]], control: Control) -> list[dict[str, Any]]:
    """Regions for masks and their labels, as the control takes them; none for an empty mask."""
    found: list[dict[str, Any]] = []
    for mask, label in masks:
        name = label if label is not None and label in control.labels else next(iter(control.labels), label)
        for value in _values(mask, control.kind) if mask.area else []:
            height, width = mask.rle.size
            found.append(
                {
                    "id": uuid.uuid4().hex[:10],
                    "from_name": control.name,
                    "to_name": control.to_name,
                    "type": control.kind,
                    "original_width": width,
                    "original_height": height,
                    "image_rotation": 0,
                    "value": {**value, control.kind: [name] if name else []},
                    "score": mask.predicted_iou,
                    "readonly": False,
                }
            )
    return found


def _values(mask: ToolMask, kind: str) -> list[dict[str, Any]]:
    if kind == "brushlabels":
        return [{"format": "rle", "rle": encode_brush(decode(mask.rle))}]
    height, width = mask.rle.size
    polygons = outlines(mask.rle, TOLERANCE)
    return [{"points": [[100 * x / width, 100 * y / height] for x, y in polygon[:-1]]} for polygon in polygons]


def _asked(
    label: str | None, points: Sequence[tuple[float, float, int]], box: tuple[float, float, float, float] | None
) -> AskedRegion:
    return AskedRegion(label, tuple((x, y) for x, y, _ in points), tuple(positive for _, _, positive in points), box)


def _pixels(region: Region, names: Sequence[str], pointer: str) -> list[float]:
    """Fields of the value in pixels: those along the width and those along the height take turns."""
    if region.original_width is None or region.original_height is None:
        raise InvalidRequest("a region has an original_width and an original_height", pointer)
    sides = (region.original_width, region.original_height)
    found = []
    for index, name in enumerate(names):
        share = region.value.get(name)
        if isinstance(share, bool) or not isinstance(share, int | float):
            raise InvalidRequest(f"{name} is a number, in per cent", f"{pointer}/value/{name}")
        found.append(float(share) * sides[index % 2] / 100)
    return found


def _brush_box(region: Region, max_pixels: int, pointer: str) -> tuple[float, float, float, float]:
    """The box around a brush region."""
    if region.original_width is None or region.original_height is None:
        raise InvalidRequest("a region has an original_width and an original_height", pointer)
    if region.original_width * region.original_height > max_pixels:
        raise InvalidRequest(f"a brush region has at most {max_pixels / 1e6:g} megapixels", pointer)
    rle = region.value.get("rle")
    try:
        if not isinstance(rle, list):
            raise ValueError("rle is a list of bytes")
        mask = decode_brush(rle, (region.original_height, region.original_width))
    except ValueError as error:
        raise InvalidRequest(str(error), f"{pointer}/value/rle") from None
    if not mask.any():
        raise InvalidRequest("the brush region is empty", f"{pointer}/value/rle")
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _is_positive(region: Region) -> bool | int:
    """Told by the region, by its value, or not at all: then it is."""
    for given in (region.is_positive, region.value.get("is_positive"), region.value.get("positive")):
        if isinstance(given, bool | int):
            return given
    return True


def _label(region: Region) -> str | None:
    for name in (region.type, "labels"):
        labels = region.value.get(name)
        if isinstance(labels, list) and labels and isinstance(labels[0], str):
            return labels[0]
    return None


def _is_in(point: tuple[float, float, int], box: Sequence[float]) -> bool:
    x, y, _ = point
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]
