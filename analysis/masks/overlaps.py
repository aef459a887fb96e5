"""Which masks overlap, and by how many pixels: a spatial index over boxes, then the runs of the pairs that it finds.

The time grows with the number of pairs whose boxes meet, not with the square of the number of masks.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.masks.mask_set import MaskSet
from segmentation.compiled import compiled

OverlapMeasure = Literal["iou", "overlap"]
"""`iou`: intersection / union. `overlap`: intersection / area of the smaller mask."""


def overlapping_pairs(
    masks: MaskSet, areas: NDArray[np.int64], boxes: NDArray[np.int64], measure: OverlapMeasure, threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The pairs of masks that overlap by at least a threshold.

    Args:
        areas: int64 [N], pixels.
        boxes: int64 [N, 4], (x0, y0, x1, y1), inclusive.
        measure: what is compared with the threshold.
        threshold: 0 to 1. A pair without a common pixel is never found.

    Returns:
        pairs: int64 [P, 2], (i, j) with i < j, in ascending order.
        values: float64 [P], the measure.
    """
    levels, order, keys, level_starts, columns = _index(boxes, areas)
    pairs, values = _find(
        masks.runs,
        masks.offsets,
        areas,
        boxes,
        levels,
        order,
        keys,
        level_starts,
        columns,
        measure == "iou",
        float(threshold),
    )
    ascending = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return pairs[ascending], values[ascending]


def _index(
    boxes: NDArray[np.int64], areas: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], int]:
    """A grid for each power of two: a box lies in the grid whose cells are just as large, in the cell of its corner.

    So a box meets only boxes of its own grid, or of a coarser one, that lie in the same cell or in one of the eight
    around it.
    """
    longest = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) + 1
    levels = np.ceil(np.log2(np.maximum(longest, 1))).astype(np.int64)
    columns = int(boxes[:, 2].max(initial=0)) + 2
    cells = (boxes[:, 0] >> levels) + (boxes[:, 1] >> levels) * columns
    order = np.lexsort((cells, levels))
    order = order[areas[order] > 0]
    top = int(levels.max(initial=0)) + 1
    level_starts = np.searchsorted(levels[order], np.arange(top + 1))
    return levels, order, cells[order], level_starts.astype(np.int64), columns


@compiled
def _find(
    runs: NDArray[np.int64],
    offsets: NDArray[np.int64],
    areas: NDArray[np.int64],
    boxes: NDArray[np.int64],
    levels: NDArray[np.int64],
    order: NDArray[np.int64],
    keys: NDArray[np.int64],
    level_starts: NDArray[np.int64],
    columns: int,
    by_iou: bool,
    threshold: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    pairs = np.empty((max(64, 2 * len(order)), 2), np.int64)
    values = np.empty(len(pairs), np.float64)
    used = 0
    for place in range(len(order)):
        mask = order[place]
        for level in range(levels[mask], len(level_starts) - 1):
            first, last = level_starts[level], level_starts[level + 1]
            if first == last:
                continue
            cell_x, cell_y = boxes[mask, 0] >> level, boxes[mask, 1] >> level
            end_x, end_y = boxes[mask, 2] >> level, boxes[mask, 3] >> level
            for y in range(max(cell_y - 1, 0), end_y + 1):
                low, high = max(cell_x - 1, 0) + y * columns, end_x + y * columns
                other_place = first + np.searchsorted(keys[first:last], low)
                while other_place < last and keys[other_place] <= high:
                    other = order[other_place]
                    other_place += 1
                    # Of two boxes in one grid, each would find the other.
                    if level == levels[mask] and other_place - 1 <= place:
                        continue
                    value = _measure(runs, offsets, areas, boxes, mask, other, by_iou, threshold)
                    if value < threshold or value <= 0:
                        continue
                    if used == len(pairs):
                        more = np.empty((2 * used, 2), np.int64)
                        more[:used] = pairs
                        pairs = more
                        more_values = np.empty(2 * used, np.float64)
                        more_values[:used] = values
                        values = more_values
                    pairs[used, 0] = min(mask, other)
                    pairs[used, 1] = max(mask, other)
                    values[used] = value
                    used += 1
    return pairs[:used].copy(), values[:used].copy()


@compiled
def _measure(
    runs: NDArray[np.int64],
    offsets: NDArray[np.int64],
    areas: NDArray[np.int64],
    boxes: NDArray[np.int64],
    a: int,
    b: int,
    by_iou: bool,
    threshold: float,
) -> float:
    """The measure of two masks; -1 where the boxes alone show that it is under the threshold."""
    width = min(boxes[a, 2], boxes[b, 2]) - max(boxes[a, 0], boxes[b, 0]) + 1
    height = min(boxes[a, 3], boxes[b, 3]) - max(boxes[a, 1], boxes[b, 1]) + 1
    if width <= 0 or height <= 0:
        return -1.0
    smaller, larger = (a, b) if areas[a] <= areas[b] else (b, a)
    most = min(width * height, areas[smaller])
    total = areas[a] + areas[b]
    if (most / (total - most) if by_iou else most / areas[smaller]) < threshold:
        return -1.0
    common = _intersection(runs, offsets, smaller, larger)
    return float(common / (total - common) if by_iou else common / areas[smaller])


@compiled
def _intersection(runs: NDArray[np.int64], offsets: NDArray[np.int64], a: int, b: int) -> int:
    """Pixels of both masks. Looks runs of the larger list up by bisection: a background has too many to walk over."""
    if offsets[a + 1] - offsets[a] > offsets[b + 1] - offsets[b]:
        a, b = b, a
    common = 0
    low = offsets[b]
    last = offsets[b + 1]
    for index in range(offsets[a], offsets[a + 1]):
        start, end = runs[index, 0], runs[index, 1]
        # The first run of b that ends behind `start`: doubling steps from the last one found, then bisection.
        step = 1
        high = low
        while high < last and runs[high, 1] <= start:
            low = high + 1
            high += step
            step *= 2
        high = min(high, last)
        while low < high:
            middle = (low + high) // 2
            if runs[middle, 1] <= start:
                low = middle + 1
            else:
                high = middle
        other = low
        while other < last and runs[other, 0] < end:
            common += min(end, runs[other, 1]) - max(start, runs[other, 0])
            other += 1
    return common
