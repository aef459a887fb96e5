"""Polygons to masks: a pixel belongs to a polygon if its centre does. Knows no JSON."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segmentation.compiled import compiled
from segmentation.types import Size

Rings = Sequence[NDArray[np.float64]]
"""The rings of one polygon, float64 [K, 2] each, (x, y): the outline and its holes."""


def rasterize(polygons: Sequence[Rings], size: Size) -> NDArray[np.int64]:
    """The runs of the mask that the polygons cover together, int64 [K, 2], cut at columns.

    Inside one polygon the even-odd rule holds over all of its rings, so a hole is empty, and so is what a
    self-intersecting outline covers twice. Polygons that overlap are united. What lies outside the picture is left
    out. In the pixel-corner frame pixel (x, y) is the square from (x, y) to (x + 1, y + 1): `trace_polygons` of a mask
    gives the same mask here.
    """
    parts = [_rasterize_one(rings, size) for rings in polygons]
    if len(parts) == 1:
        return parts[0]
    runs = np.concatenate([*parts, np.zeros((0, 2), np.int64)])
    return _united(runs[np.lexsort((runs[:, 1], runs[:, 0]))], size[0])


def _rasterize_one(rings: Rings, size: Size) -> NDArray[np.int64]:
    edges = [np.hstack([ring, np.roll(ring, -1, axis=0)]) for ring in rings if len(ring)]
    if not edges:
        return np.zeros((0, 2), np.int64)
    sides = np.concatenate(edges)
    sides = sides[sides[:, 0] != sides[:, 2]]  # an upright side crosses no column's centre line
    reverse = sides[:, 0] > sides[:, 2]
    sides[reverse] = sides[reverse][:, [2, 3, 0, 1]]
    columns, heights = _crossings(np.ascontiguousarray(sides), size[1])
    order = np.lexsort((heights, columns))
    return _between(columns[order], heights[order], size[0])


@compiled
def _crossings(sides: NDArray[np.float64], width: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Where the sides (x0 < x1) cross the centre lines of columns: the column, and the y."""
    total = 0
    for index in range(len(sides)):
        first = max(0.0, np.ceil(sides[index, 0] - 0.5))
        last = min(float(width), np.ceil(sides[index, 2] - 0.5))
        total += int(max(0.0, last - first))
    columns = np.empty(total, np.int64)
    heights = np.empty(total, np.float64)
    used = 0
    for index in range(len(sides)):
        x0, y0, x1, y1 = sides[index]
        first = int(max(0.0, np.ceil(x0 - 0.5)))
        last = int(min(float(width), np.ceil(x1 - 0.5)))
        for x in range(first, last):
            columns[used] = x
            heights[used] = y0 + (y1 - y0) * ((x + 0.5 - x0) / (x1 - x0))
            used += 1
    return columns, heights


@compiled
def _between(columns: NDArray[np.int64], heights: NDArray[np.float64], height: int) -> NDArray[np.int64]:
    """The pixels between the first and the second crossing of a column, the third and the fourth, and so on."""
    runs = np.empty((len(columns) // 2, 2), np.int64)
    used = 0
    for pair in range(len(columns) // 2):
        x = columns[2 * pair]
        start = int(min(max(0.0, np.ceil(heights[2 * pair] - 0.5)), float(height)))
        end = int(min(max(0.0, np.ceil(heights[2 * pair + 1] - 0.5)), float(height)))
        if start >= end:
            continue
        if used > 0 and runs[used - 1, 1] == x * height + start and start > 0:
            runs[used - 1, 1] = x * height + end
        else:
            runs[used, 0] = x * height + start
            runs[used, 1] = x * height + end
            used += 1
    return runs[:used].copy()


@compiled
def _united(runs: NDArray[np.int64], height: int) -> NDArray[np.int64]:
    """The union of runs that ascend by their start."""
    united = np.empty((len(runs), 2), np.int64)
    used = 0
    for index in range(len(runs)):
        start, end = runs[index, 0], runs[index, 1]
        if used > 0 and start <= united[used - 1, 1] and start // height == united[used - 1, 0] // height:
            united[used - 1, 1] = max(end, united[used - 1, 1])
        else:
            united[used, 0] = start
            united[used, 1] = end
            used += 1
    return united[:used].copy()
