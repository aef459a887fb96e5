"""Removal of small holes and islands from a mask, on its runs. Equal to `remove_small_regions` of segment-anything."""

import numpy as np
from numpy.typing import NDArray

from segmentation.compiled import compiled
from segmentation.masks.rle import Runs
from segmentation.types import Size


def remove_small_regions(runs: Runs, size: Size, min_area: float) -> tuple[Runs, bool]:
    """The mask without holes, then without islands, of fewer than `min_area` pixels; and whether it changed.

    Regions are 8-connected, holes too. If every island is small, the largest stays.
    """
    holes = _complement(runs, size)
    large_holes, filled = _drop_small(holes, size[0], float(min_area), False)
    if filled:
        runs = _complement(large_holes, size)
    runs, dropped = _drop_small(runs, size[0], float(min_area), True)
    return runs, filled or dropped


def label_regions(runs: Runs, height: int, reach: int) -> tuple[Runs, NDArray[np.int64]]:
    """The runs cut at column ends, and the region of each, numbered from 0 in column-major order.

    Args:
        reach: 1 for 8-connected regions, 0 for 4-connected ones.
    """
    pieces = _cut_at_columns(runs, height)
    return pieces, _label(pieces, height, reach)


def _complement(runs: Runs, size: Size) -> Runs:
    edges = np.concatenate([[0], runs.ravel(), [size[0] * size[1]]]).reshape(-1, 2)
    return np.ascontiguousarray(edges[edges[:, 0] < edges[:, 1]])


@compiled
def _cut_at_columns(runs: Runs, height: int) -> Runs:
    count = 0
    for start, end in runs:
        count += (end - 1) // height - start // height + 1
    pieces = np.empty((count, 2), np.int64)
    used = 0
    for start, end in runs:
        position = start
        while position < end:
            stop = min(end, (position // height + 1) * height)
            pieces[used, 0] = position
            pieces[used, 1] = stop
            used += 1
            position = stop
    return pieces


@compiled
def _root(parents: NDArray[np.int64], index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index


@compiled
def _label(pieces: Runs, height: int, reach: int) -> NDArray[np.int64]:
    """Union-find over the pieces of neighbouring columns, which both ascend."""
    count = len(pieces)
    parents = np.arange(count)
    left = 0
    for index in range(count):
        # In the frame of the column before.
        start, end = pieces[index, 0] - height, pieces[index, 1] - height
        column = start // height
        while left < index and (pieces[left, 0] // height < column or pieces[left, 1] + reach <= start):
            left += 1
        other = left
        while other < index and pieces[other, 0] // height == column and pieces[other, 0] < end + reach:
            a, b = _root(parents, other), _root(parents, index)
            parents[max(a, b)] = min(a, b)
            other += 1
    labels = np.empty(count, np.int64)
    regions = 0
    for index in range(count):
        root = _root(parents, index)
        if root == index:
            labels[index] = regions
            regions += 1
        else:
            labels[index] = labels[root]
    return labels


@compiled
def _drop_small(runs: Runs, height: int, min_area: float, keep_one: bool) -> tuple[Runs, bool]:
    pieces = _cut_at_columns(runs, height)
    labels = _label(pieces, height, 1)
    regions = labels.max() + 1 if len(labels) else 0
    areas = np.zeros(regions, np.int64)
    for index in range(len(pieces)):
        areas[labels[index]] += pieces[index, 1] - pieces[index, 0]
    stays = areas >= min_area
    if stays.all():
        return runs, False
    if keep_one and not stays.any():
        stays[_first_largest(pieces, labels, areas, height)] = True
    kept = np.empty_like(pieces)
    used = 0
    for index in range(len(pieces)):
        if not stays[labels[index]]:
            continue
        if used > 0 and kept[used - 1, 1] == pieces[index, 0]:
            kept[used - 1, 1] = pieces[index, 1]
        else:
            kept[used] = pieces[index]
            used += 1
    return kept[:used].copy(), True


@compiled
def _first_largest(pieces: Runs, labels: NDArray[np.int64], areas: NDArray[np.int64], height: int) -> int:
    """The largest region; of equals the one that OpenCV numbers first: by its first 2x2 block in row-major order."""
    largest = areas.max()
    best = -1
    best_row = best_column = 0
    for index in range(len(pieces)):
        if areas[labels[index]] != largest:
            continue
        column = pieces[index, 0] // height // 2
        row = pieces[index, 0] % height // 2
        if best < 0 or row < best_row or (row == best_row and column < best_column):
            best, best_row, best_column = labels[index], row, column
    return best
