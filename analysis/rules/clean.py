"""Fills small holes of masks and removes small islands, on their runs.

Holes are 4-connected regions of background that the mask encloses, islands 8-connected parts: the same regions that
`holes` and `parts` count. `segmentation.masks.regions` differs: it is segment-anything's, with 8-connected holes.
"""

import numpy as np
from numpy.typing import NDArray

from analysis.masks.mask_set import MaskSet
from analysis.objects.shape import find_root, join_regions
from analysis.rules.parameters import Clean
from segmentation.compiled import compiled


def clean(masks: MaskSet, rule: Clean) -> MaskSet:
    """The masks without holes of fewer pixels than `rule.holes`, then without parts of fewer than `rule.islands`.

    If all parts of a mask are small, the largest stays; of equals, the first in column-major order.
    """
    runs, offsets = masks.runs, masks.offsets
    if rule.holes > 0:
        runs, offsets = _fill_holes(runs, offsets, masks.size[0], float(rule.holes))
    if rule.islands > 0:
        runs, offsets = _drop_islands(runs, offsets, masks.size[0], float(rule.islands))
    return MaskSet(masks.size, runs, offsets)


@compiled
def _labels(runs: NDArray[np.int64], height: int, reach: int) -> NDArray[np.int64]:
    """The region of each run, as the number of the region's first run.

    runs: cut at columns, ascending.
    reach: 1 for 8-connected regions, 0 for 4-connected ones.
    """
    parents = np.arange(len(runs))
    before = column_start = before_end = 0
    column = -2
    for index in range(len(runs)):
        x = runs[index, 0] // height
        if x != column:
            before = column_start if x == column + 1 else index
            before_end = index
            column_start = index
            column = x
        start, stop = runs[index, 0] - height, runs[index, 1] - height
        while before < before_end and runs[before, 1] + reach <= start:
            before += 1
        other = before
        while other < before_end and runs[other, 0] < stop + reach:
            join_regions(parents, other, index)
            other += 1
    for index in range(len(runs)):
        parents[index] = find_root(parents, index)
    return parents


@compiled
def _region_areas(runs: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The pixels of a region, at the place of its first run."""
    areas = np.zeros(len(runs), np.int64)
    for index in range(len(runs)):
        areas[labels[index]] += runs[index, 1] - runs[index, 0]
    return areas


@compiled
def _background(runs: NDArray[np.int64], height: int, x0: int, x1: int, y0: int, y1: int) -> NDArray[np.int64]:
    """The background in a mask's box and one pixel around it, in a frame of its own of height y1 - y0 + 3."""
    tall = y1 - y0 + 3
    gaps = np.empty((len(runs) + x1 - x0 + 3, 2), np.int64)
    gaps[0, 0], gaps[0, 1] = 0, tall
    used = 1
    index = 0
    for x in range(x0, x1 + 1):
        column = (x - x0 + 1) * tall
        at = 0
        while index < len(runs) and runs[index, 0] < (x + 1) * height:
            start, stop = runs[index, 0] - x * height - y0 + 1, runs[index, 1] - x * height - y0 + 1
            gaps[used, 0], gaps[used, 1] = column + at, column + start
            used += 1
            at = stop
            index += 1
        gaps[used, 0], gaps[used, 1] = column + at, column + tall
        used += 1
    column = (x1 - x0 + 2) * tall
    gaps[used, 0], gaps[used, 1] = column, column + tall
    return gaps[: used + 1].copy()


@compiled
def _fill_holes(
    runs: NDArray[np.int64], offsets: NDArray[np.int64], height: int, limit: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    filled = np.empty_like(runs)
    filled_offsets = np.zeros_like(offsets)
    used = 0
    for mask in range(len(offsets) - 1):
        own = runs[offsets[mask] : offsets[mask + 1]]
        if len(own):
            y0, y1 = height, -1
            x0, x1 = own[0, 0] // height, own[-1, 0] // height
            for index in range(len(own)):
                x = own[index, 0] // height
                y0, y1 = min(y0, own[index, 0] - x * height), max(y1, own[index, 1] - 1 - x * height)
            gaps = _background(own, height, x0, x1, y0, y1)
            labels = _labels(gaps, y1 - y0 + 3, 0)
            areas = _region_areas(gaps, labels)
            # Column by column: a run goes on over each gap that is a small hole.
            gap = 1
            index = 0
            for x in range(x0, x1 + 1):
                first = used
                gap += 1  # above the first run of the column
                while index < len(own) and own[index, 0] < (x + 1) * height:
                    joined = used > first and labels[gap - 1] != 0 and areas[labels[gap - 1]] < limit
                    if joined:
                        filled[used - 1, 1] = own[index, 1]
                    else:
                        filled[used, 0], filled[used, 1] = own[index, 0], own[index, 1]
                        used += 1
                    gap += 1
                    index += 1
        filled_offsets[mask + 1] = used
    return filled[:used].copy(), filled_offsets


@compiled
def _drop_islands(
    runs: NDArray[np.int64], offsets: NDArray[np.int64], height: int, limit: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    kept = np.empty_like(runs)
    kept_offsets = np.zeros_like(offsets)
    used = 0
    for mask in range(len(offsets) - 1):
        own = runs[offsets[mask] : offsets[mask + 1]]
        if len(own):
            labels = _labels(own, height, 1)
            areas = _region_areas(own, labels)
            largest = np.argmax(areas)
            for index in range(len(own)):
                if areas[labels[index]] >= limit or labels[index] == largest:
                    kept[used, 0], kept[used, 1] = own[index, 0], own[index, 1]
                    used += 1
        kept_offsets[mask + 1] = used
    return kept[:used].copy(), kept_offsets
