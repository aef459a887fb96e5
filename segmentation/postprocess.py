"""From low-res logits to masks in the picture, in one pass: runs, area, box and stability, without full-size logits.

Interpolated logits lie between their neighbours. Where 3x3 low-res logits are on the same side of every threshold, so
is each pixel that they reach; only the pixels between, along the contour, are computed.

A NaN logit counts as background.
"""

from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from segmentation.compiled import compiled
from segmentation.rle import Runs, runs_area, runs_box
from segmentation.types import CropBox, Size
from segmentation.upscale import UpscaleTable

MIXED = 0
OUTSIDE = 1
FIRST_INSIDE = 4
"""Levels of logits, see `_level`: those below FIRST_INSIDE are outside the mask. MIXED is no level."""


@dataclass(frozen=True, slots=True)
class MeasuredMask:
    """One mask in the original frame.

    runs: int64 [K, 2], see `segmentation.rle`.
    box: first and last pixel, (x0, y0, x1, y1), all inclusive; the crop's corner (x0, y0, x0, y0) for an empty mask.
    area: pixels.
    stability_score: IoU of the mask at logit thresholds +offset and -offset; 0.0 if both are empty.
    """

    runs: Runs
    box: tuple[int, int, int, int]
    area: int
    stability_score: float


_LARGEST = float(np.finfo(np.float32).max)


def measure_mask(
    logits: NDArray[np.float32], table: UpscaleTable, crop_box: CropBox, size: Size, stability_offset: float
) -> MeasuredMask:
    """The mask where the logits, resized to the crop, are above 0.

    Args:
        logits: float32 [S, S], a decoder's low-res logits.
        table: from these logits to the crop.
        crop_box: the crop that was encoded, in the original frame.
        size: of the picture; the mask is empty outside the crop.
        stability_offset: of the two thresholds of the stability score, at least 0.
    """
    runs, high, low = _measure(
        np.require(logits, np.float32, ["C", "W"]),
        table.rows.weights,
        table.rows.bases,
        table.rows.starts,
        table.columns.weights,
        table.columns.bases,
        table.columns.starts,
        (crop_box[0], crop_box[1]),
        size[0],
        np.float32(min(stability_offset, _LARGEST)),
    )
    # float32, as torch divides: the score is compared with a threshold.
    stability = float(np.float32(high) / np.float32(low)) if low else 0.0
    if not len(runs):
        x0, y0 = crop_box[:2]
        return MeasuredMask(runs, (x0, y0, x0, y0), 0, stability)
    return MeasuredMask(runs, runs_box(runs, size), runs_area(runs), stability)


def measure_masks(
    logits: Iterable[NDArray[np.float32]],
    table: UpscaleTable,
    crop_box: CropBox,
    size: Size,
    stability_offset: float,
    workers: Executor,
) -> list[MeasuredMask]:
    """`measure_mask` of several masks, shared out over the workers."""
    one = partial(measure_mask, table=table, crop_box=crop_box, size=size, stability_offset=stability_offset)
    return list(workers.map(one, logits))


@compiled
def _level(value: np.float32, offset: np.float32) -> int:
    """One bit for where a logit lies, from OUTSIDE up: not above -offset, not above 0, not above offset, above it."""
    return 1 << (int(value > -offset) + int(value > 0) + int(value > offset))


@compiled
def _cells(logits: NDArray[np.float32], rows: int, columns: int, offset: np.float32) -> NDArray[np.uint8]:
    """The level of the 3x3 logits from each (row, column) on, MIXED where it is not one, uint8 [rows, columns]."""
    bits = np.empty((rows + 2, columns + 2), np.uint8)
    for row in range(rows + 2):
        for column in range(columns + 2):
            bits[row, column] = _level(logits[row, column], offset)
    across = np.empty((rows + 2, columns), np.uint8)
    for row in range(rows + 2):
        for column in range(columns):
            across[row, column] = bits[row, column] | bits[row, column + 1] | bits[row, column + 2]
    cells = np.empty((rows, columns), np.uint8)
    for row in range(rows):
        for column in range(columns):
            union = across[row, column] | across[row + 1, column] | across[row + 2, column]
            cells[row, column] = union if union & (union - 1) == 0 else MIXED
    return cells


@compiled
def _find_spans(
    cells: NDArray[np.uint8],
    column: int,
    bases: NDArray[np.int64],
    codes: NDArray[np.uint8],
    firsts: NDArray[np.int64],
) -> int:
    """Writes the runs of equal cells of a column of cells to `codes` and `firsts`; returns how many there are."""
    spans = 0
    for group in range(len(bases)):
        code = cells[bases[group], column]
        if spans == 0 or code != codes[spans - 1]:
            codes[spans] = code
            firsts[spans] = group
            spans += 1
    firsts[spans] = len(bases)
    return spans


@compiled
def _measure(
    logits: NDArray[np.float32],
    row_weights: NDArray[np.float32],
    row_bases: NDArray[np.int64],
    row_starts: NDArray[np.int64],
    column_weights: NDArray[np.float32],
    column_bases: NDArray[np.int64],
    column_starts: NDArray[np.int64],
    corner: tuple[int, int],
    frame_height: int,
    offset: np.float32,
) -> tuple[Runs, int, int]:
    """The runs of the mask, and its pixels above `offset` and above -`offset`."""
    height = row_starts[-1]
    cells = _cells(logits, row_bases[-1] + 1, column_bases[-1] + 1, offset)
    codes = np.empty(len(row_bases), np.uint8)
    firsts = np.empty(len(row_bases) + 1, np.int64)
    across = np.empty(len(logits), np.float32)
    levels = np.empty(len(logits), np.uint8)
    runs = np.empty((2 * column_starts[-1] + height + 2, 2), np.int64)
    used = high = low = 0
    for column_group in range(len(column_bases)):
        base = column_bases[column_group]
        spans = _find_spans(cells, base, row_bases, codes, firsts)
        if spans == 1 and codes[0] == OUTSIDE:
            continue
        for x in range(column_starts[column_group], column_starts[column_group + 1]):
            runs = _with_room(runs, used, height)
            origin = (corner[0] + x) * frame_height + corner[1]
            inside = False
            for span in range(spans):
                group, last = firsts[span], firsts[span + 1]
                if codes[span] == MIXED:
                    rows = row_bases[group], row_bases[last - 1] + 3
                    _interpolate_across(logits, rows, base, column_weights[:, x], offset, across, levels)
                while group < last:
                    row = row_bases[group]
                    code, following = codes[span], last
                    if code == MIXED:
                        code, following = _common(levels, row), group + 1
                    start, stop = row_starts[group], row_starts[following]
                    group = following
                    if code != MIXED:
                        low += (stop - start) * (code > OUTSIDE)
                        high += (stop - start) * (code > FIRST_INSIDE)
                        if (code >= FIRST_INSIDE) != inside:
                            inside = not inside
                            used = _turn(runs, used, origin + start, inside)
                        continue
                    near, middle, far = across[row], across[row + 1], across[row + 2]
                    for y in range(start, stop):
                        value = row_weights[0, y] * near + row_weights[1, y] * middle + row_weights[2, y] * far
                        low += value > -offset
                        high += value > offset
                        if (value > 0) != inside:
                            inside = not inside
                            used = _turn(runs, used, origin + y, inside)
            if inside:
                used = _turn(runs, used, origin + height, False)
    return runs[:used].copy(), high, low


@compiled
def _interpolate_across(
    logits: NDArray[np.float32],
    rows: tuple[int, int],
    base: int,
    weights: NDArray[np.float32],
    offset: np.float32,
    across: NDArray[np.float32],
    levels: NDArray[np.uint8],
) -> None:
    """Writes one pixel column of the low-res rows from `rows[0]` to `rows[1]`, and its levels."""
    for row in range(rows[0], rows[1]):
        value = weights[0] * logits[row, base] + weights[1] * logits[row, base + 1] + weights[2] * logits[row, base + 2]
        across[row] = value
        levels[row] = _level(value, offset)


@compiled
def _common(levels: NDArray[np.uint8], row: int) -> int:
    """The level of three neighbouring rows, MIXED if it is not one."""
    return levels[row] if levels[row] == levels[row + 1] == levels[row + 2] else MIXED


@compiled
def _with_room(runs: Runs, used: int, height: int) -> Runs:
    """The runs, in a larger array if one more column might not fit."""
    if used + height // 2 + 2 <= len(runs):
        return runs
    grown = np.empty((2 * len(runs) + height, 2), np.int64)
    grown[:used] = runs[:used]
    return grown


@compiled
def _turn(runs: Runs, used: int, position: int, inside: bool) -> int:
    """Begin or end a run; one that begins where the last ended goes on with it. Returns the runs that are whole."""
    if not inside:
        runs[used, 1] = position
        return used + 1
    if used > 0 and runs[used - 1, 1] == position:
        return used - 1
    runs[used, 0] = position
    return used
