"""All measurements of a set of masks, as columns. Knows rules and files as little as the kernels do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.masks.mask_set import MaskSet
from analysis.objects import hull, intensity, shape
from analysis.objects.properties import INTENSITIES, MEASUREMENTS, SIZES
from analysis.picture import StoredPicture
from analysis.scale import Scale
from segmentation.types import Size
from segmentation.workers import Workers

Check = Callable[[int, int], None]
"""Called with (done, total); raises to stop the work."""

CHUNK = 128
"""Masks that are measured between two calls of a check."""

RANGE_PERCENTILES = (0.1, 99.9)
"""Of the valid samples of more than 8 bits: the range that `brightness` refers to, as the default scaling has it."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """What was measured of N masks, in pixels.

    columns: float64 [N] each, by the names of `MEASUREMENTS`, and of the extras that need no rule. NaN where a
        property is not defined.
    intensities: float64 [N, C, 5], mean, std, min, max and median of each channel; C is 0 without a picture.
    boxes: int64 [N, 4], (x0, y0, x1, y1), inclusive.
    ranges: float64 [C, 2], the samples that count as brightness 0 and 1.
    """

    columns: Mapping[str, NDArray[np.float64]]
    intensities: NDArray[np.float64]
    boxes: NDArray[np.int64]
    ranges: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def channels(self) -> int:
        """Channels of the picture whose intensities were measured."""
        return int(self.intensities.shape[1])

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> "Measurements":
        """The rows at these positions, in this order."""
        chosen = np.asarray(indices, np.int64)
        columns = {name: column[chosen] for name, column in self.columns.items()}
        return Measurements(columns, self.intensities[chosen], self.boxes[chosen], self.ranges)

    def with_columns(self, **columns: NDArray[np.float64]) -> "Measurements":
        """The same with further columns."""
        return Measurements({**self.columns, **columns}, self.intensities, self.boxes, self.ranges)

    def column(self, name: str, scale: Scale) -> NDArray[np.float64]:
        """A property by its name, in the scale's unit; with `_px` behind it, in pixels.

        Raises:
            KeyError: there is no such property, or no such channel.
        """
        if name in self.columns:
            values = self.columns[name]
            if name in SIZES:
                return values * factor(name, scale)
            return values
        plain = name.removesuffix("_px")
        if plain != name and plain in SIZES:
            return self.columns[plain]
        if name == "brightness":
            return self._brightness()
        return self._intensity(name)

    def _intensity(self, name: str) -> NDArray[np.float64]:
        head, _, kind = name.partition("_")
        kind, _, channel = kind.partition("_")
        if head != "intensity" or kind not in INTENSITIES:
            raise KeyError(name)
        if not self.channels:
            # A picture without samples has no intensities: no mask is in any range of them.
            return np.full(len(self), np.nan)
        values = self.intensities[:, :, INTENSITIES.index(kind)]
        if channel:
            if not channel.isdecimal() or int(channel) >= self.channels:
                raise KeyError(name)
            return values[:, int(channel)]
        combined: NDArray[np.float64]
        combined = {"min": np.min, "max": np.max}.get(kind, np.mean)(values, axis=1)
        return combined

    def _brightness(self) -> NDArray[np.float64]:
        if not self.channels:
            return np.full(len(self), np.nan)
        low, high = self.ranges.T
        # A channel of one level has no range: everything in it counts as dark.
        span = np.where(high > low, high - low, np.inf)
        values: NDArray[np.float64] = ((self.intensities[:, :, intensity.MEAN] - low) / span).mean(axis=1)
        return values


def factor(name: str, scale: Scale) -> float:
    """By what a length or an area in pixels is multiplied."""
    return scale.pixel_size**2 if MEASUREMENTS[name].dimension == "area" else scale.pixel_size


def measure(
    masks: MaskSet, picture: StoredPicture | None, workers: Workers, check: Check | None = None
) -> Measurements:
    """Measures every mask.

    Args:
        masks: none of them empty.
        picture: the samples whose intensities are measured, of the masks' size; None measures none.
        workers: threads that share the work.
        check: called with (masks done, masks); may raise to stop.
    """
    count, (height, width) = len(masks), masks.size
    shapes, hulls = np.empty((count, shape.COLUMNS)), np.empty((count, hull.COLUMNS))
    planes = [] if picture is None else intensity.sample_planes(picture.samples)
    valids = [intensity.valid_plane(picture.valid, channel) for channel in range(len(planes))] if picture else []
    intensities = np.empty((len(planes), count, intensity.COLUMNS))
    done = 0

    def work(part: range) -> None:
        nonlocal done
        first, last = part.start, part.stop
        shape.measure_shapes(masks.runs, masks.offsets, height, first, last, shapes)
        hull.measure_hulls(masks.runs, masks.offsets, height, first, last, hulls)
        for plane, valid, out in zip(planes, valids, intensities, strict=True):
            intensity.measure_intensities(masks.runs, masks.offsets, plane, valid, first, last, out)
        done += last - first
        if check is not None:
            check(done, count)

    workers.map(work, [range(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)])
    boxes = masks.boxes()
    return Measurements(
        _columns(shapes, hulls, boxes, (height, width)),
        np.ascontiguousarray(intensities.transpose(1, 0, 2)),
        boxes,
        np.array([_range(plane, valid) for plane, valid in zip(planes, valids, strict=True)]).reshape(-1, 2),
    )


def parts_distances(masks: MaskSet) -> NDArray[np.float64]:
    """The largest distance between the centroids of two 8-connected parts of each mask, float64 [N], in pixels."""
    shapes = np.empty((len(masks), shape.COLUMNS))
    shape.measure_shapes(masks.runs, masks.offsets, masks.size[0], 0, len(masks), shapes)
    return shapes[:, shape.PARTS_DISTANCE]


def _columns(
    shapes: NDArray[np.float64], hulls: NDArray[np.float64], boxes: NDArray[np.int64], size: Size
) -> dict[str, NDArray[np.float64]]:
    area, major, minor, perimeter = (
        shapes[:, index] for index in (shape.AREA, shape.MAJOR, shape.MINOR, shape.PERIMETER)
    )
    x0, y0, x1, y1 = boxes.T
    height, width = size
    return {
        "area": area,
        "equivalent_diameter": 2 * np.sqrt(area / np.pi),
        "perimeter": perimeter,
        "circularity": 4 * np.pi * area / perimeter**2,
        "major_axis": major,
        "minor_axis": minor,
        "aspect_ratio": np.divide(major, minor, out=np.full(len(area), np.nan), where=minor > 0),
        "orientation": shapes[:, shape.ORIENTATION],
        "feret_max": hulls[:, hull.FERET_MAX],
        "feret_min": hulls[:, hull.FERET_MIN],
        "solidity": area / hulls[:, hull.CONVEX_AREA],
        "eccentricity": shapes[:, shape.ECCENTRICITY],
        "extent": area / ((x1 - x0 + 1) * (y1 - y0 + 1)),
        "holes": shapes[:, shape.HOLES],
        "centroid_x": shapes[:, shape.CENTROID_X],
        "centroid_y": shapes[:, shape.CENTROID_Y],
        "bbox_width": (x1 - x0 + 1).astype(np.float64),
        "bbox_height": (y1 - y0 + 1).astype(np.float64),
        "edge_distance": np.min([x0, y0, width - 1 - x1, height - 1 - y1], axis=0).astype(np.float64),
        "parts": shapes[:, shape.PARTS],
        "parts_distance": shapes[:, shape.PARTS_DISTANCE],
    }


def _range(plane: NDArray[np.generic], valid: NDArray[np.bool_]) -> tuple[float, float]:
    if plane.dtype == np.uint8:
        return 0.0, 255.0
    samples = plane[valid] if len(valid) else plane
    samples = samples[np.isfinite(samples)]
    if not len(samples):
        return 0.0, 0.0
    low, high = np.percentile(samples, RANGE_PERCENTILES)
    return float(low), float(high)
