"""The compiled loops behind `measure_masks`: low-res logits to the runs of a mask, row of pixels by row of pixels.

A row is written as one byte per pixel, where it differs from the row above a column of the mask begins or ends. Along a
row the arithmetic is the same for all pixels, so the compiler makes vector instructions of it.
"""

import numpy as np
from numpy.typing import NDArray

from segmentation.compiled import compiled
from segmentation.rle import Runs
from segmentation.upscale import TAPS

MIXED = 0
OUTSIDE = 1
FIRST_INSIDE = 4
"""Levels of logits, see `_level`: those below FIRST_INSIDE are outside the mask. MIXED is no level."""

WORD = 8
"""Pixels of a row that are compared at once."""

PLACES = np.uint64(0x0001020304050607)
"""Times 256 to the power n, its top byte is n."""


@compiled
def find_turns(
    logits: NDArray[np.float32],
    row_weights: NDArray[np.float32],
    row_bases: NDArray[np.int64],
    row_starts: NDArray[np.int64],
    column_weights: NDArray[np.float32],
    column_bases: NDArray[np.int64],
    column_starts: NDArray[np.int64],
    offset: np.float32,
    band: int,
    bands: int,
) -> tuple[NDArray[np.int32], int, int]:
    """Where a band of the mask's rows turns, for `to_runs`, and its pixels above `offset` and above -`offset`.

    Args:
        logits: float32 [S, S].
        row_weights, row_bases, row_starts: an `AxisTable`'s arrays, for the crop's rows; then those for its columns.
        offset: of the stability score's thresholds.
        band, bands: which band, of how many.

    Returns:
        turns: int32 [n, 2], (x, y) of the pixels that differ from the one above, as if nothing of the mask were above
            the band and below it; ascending by y.
    """
    cells = _cells(logits, row_bases[-1] + 1, column_bases[-1] + 1, offset)
    top, bottom, first, last = _groups_not_outside(cells, row_bases, column_bases)
    top, bottom = top + (bottom + 1 - top) * band // bands, top + (bottom + 1 - top) * (band + 1) // bands - 1
    if top > bottom:
        return np.empty((0, 2), np.int32), 0, 0
    left, right = column_starts[first], column_starts[last + 1]
    inside = np.zeros(-(-right // WORD) * WORD, np.uint8)
    turned = np.zeros_like(inside)
    words = turned.view(np.uint64)
    across = np.empty((len(logits), right), np.float32)
    across_done = 0
    codes = np.empty(len(column_bases), np.uint8)
    firsts = np.empty(len(column_bases) + 1, np.int64)
    turns = np.empty((4 * right, 2), np.int32)
    used = high = low = 0
    for group in range(top, bottom + 1):
        base, start, stop = row_bases[group], row_starts[group], row_starts[group + 1]
        spans = _find_spans(cells, base, column_bases, first, last + 1, codes, firsts)
        for span in range(spans):
            x0, x1, code = column_starts[firsts[span]], column_starts[firsts[span + 1]], codes[span]
            if code == MIXED:
                for low_res in range(max(base, across_done), base + TAPS):
                    _interpolate_across(
                        logits, low_res, column_weights, column_bases, column_starts, first, last, across
                    )
                    across_done = low_res + 1
            else:
                _fill(inside[x0:x1], turned[x0:x1], np.uint8(code >= FIRST_INSIDE))
                low += (stop - start) * (x1 - x0) * (code > OUTSIDE)
                high += (stop - start) * (x1 - x0) * (code > FIRST_INSIDE)
        near, middle, far = across[base], across[base + 1], across[base + 2]
        for y in range(start, stop):
            turns = _with_room(turns, used + right)
            weights = row_weights[0, y], row_weights[1, y], row_weights[2, y]
            for span in range(spans):
                x0, x1 = column_starts[firsts[span]], column_starts[firsts[span + 1]]
                if codes[span] == MIXED:
                    above_offset, above_minus = _interpolate_down(
                        near, middle, far, weights, offset, np.uint64(x0), np.uint64(x1), inside, turned
                    )
                    high += above_offset
                    low += above_minus
                # What is not mixed turns at the group's first row or not at all.
                if codes[span] == MIXED or y == start:
                    used = _note_turns(words, x0, x1, y, turns, used)
    _fill(inside, turned, np.uint8(0))
    turns = _with_room(turns, used + right)
    used = _note_turns(words, left, right, row_starts[bottom + 1], turns, used)
    return turns[:used], high, low


@compiled
def to_runs(turns: NDArray[np.int32], width: int, corner: tuple[int, int], frame_height: int) -> Runs:
    """The runs between the turns of each column; one that begins where the last ended goes on with it.

    Args:
        turns: (x, y), ascending by y; an even number in each column, the first one inwards. Those of several bands
            follow each other.
        width: of the crop.
        corner: (x, y) of the crop in the frame.
        frame_height: of the picture.
    """
    ends = np.zeros(width + 1, np.int64)
    for turn in range(len(turns)):
        ends[turns[turn, 0] + 1] += 1
    for x in range(width):
        ends[x + 1] += ends[x]
    positions = np.empty(len(turns), np.int64)
    for turn in range(len(turns)):
        x = turns[turn, 0]
        positions[ends[x]] = (corner[0] + x) * frame_height + corner[1] + turns[turn, 1]
        ends[x] += 1
    runs = np.empty((len(turns) // 2, 2), np.int64)
    used = 0
    for pair in range(len(turns) // 2):
        start, stop = positions[2 * pair], positions[2 * pair + 1]
        if used > 0 and runs[used - 1, 1] == start:
            runs[used - 1, 1] = stop
        else:
            runs[used, 0] = start
            runs[used, 1] = stop
            used += 1
    return runs[:used].copy()


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
def _groups_not_outside(
    cells: NDArray[np.uint8], row_bases: NDArray[np.int64], column_bases: NDArray[np.int64]
) -> tuple[int, int, int, int]:
    """First and last group of rows, and of columns, with a cell that is not OUTSIDE; the first is larger if none."""
    top, bottom, first, last = len(row_bases), -1, len(column_bases), -1
    for row in range(len(row_bases)):
        for column in range(len(column_bases)):
            if cells[row_bases[row], column_bases[column]] != OUTSIDE:
                top, bottom = min(top, row), row
                first, last = min(first, column), max(last, column)
    return top, bottom, first, last


@compiled
def _find_spans(
    cells: NDArray[np.uint8],
    row: int,
    bases: NDArray[np.int64],
    begin: int,
    end: int,
    codes: NDArray[np.uint8],
    firsts: NDArray[np.int64],
) -> int:
    """Writes the runs of equal cells of a row of cells to `codes` and `firsts`; returns how many there are.

    begin, end: the groups of columns that count.
    """
    spans = 0
    for group in range(begin, end):
        code = cells[row, bases[group]]
        if spans == 0 or code != codes[spans - 1]:
            codes[spans] = code
            firsts[spans] = group
            spans += 1
    firsts[spans] = end
    return spans


@compiled
def _interpolate_across(
    logits: NDArray[np.float32],
    low_res: int,
    weights: NDArray[np.float32],
    bases: NDArray[np.int64],
    starts: NDArray[np.int64],
    first: int,
    last: int,
    across: NDArray[np.float32],
) -> None:
    """Writes one low-res row at the pixels' columns, those of the groups from `first` to `last`."""
    for group in range(first, last + 1):
        base, x0, x1 = bases[group], starts[group], starts[group + 1]
        near, middle, far = logits[low_res, base], logits[low_res, base + 1], logits[low_res, base + 2]
        for_near, for_middle, for_far = weights[0, x0:x1], weights[1, x0:x1], weights[2, x0:x1]
        samples = across[low_res, x0:x1]
        for x in range(len(samples)):
            samples[x] = for_near[x] * near + for_middle[x] * middle + for_far[x] * far


@compiled
def _interpolate_down(
    near: NDArray[np.float32],
    middle: NDArray[np.float32],
    far: NDArray[np.float32],
    weights: tuple[np.float32, np.float32, np.float32],
    offset: np.float32,
    begin: np.uint64,
    end: np.uint64,
    inside: NDArray[np.uint8],
    turned: NDArray[np.uint8],
) -> tuple[int, int]:
    """Writes which pixels of a row from `begin` to `end` are inside, and which turned; returns how many are above
    `offset` and -`offset`.

    near, middle, far: the low-res rows that the pixels depend on, with their weights.
    begin, end: unsigned, since an index that could be negative takes a branch each, and the loop is not vectorised.
    """
    high, low = np.int32(0), np.int32(0)
    for x in range(begin, end):
        value = weights[0] * near[x] + weights[1] * middle[x] + weights[2] * far[x]
        now = np.uint8(value > 0)
        turned[x] = inside[x] ^ now
        inside[x] = now
        high += np.int32(value > offset)
        low += np.int32(value > -offset)
    return int(high), int(low)


@compiled
def _fill(inside: NDArray[np.uint8], turned: NDArray[np.uint8], value: np.uint8) -> None:
    """Writes that all pixels of a part of a row are inside, or none, and which turned."""
    for x in range(len(inside)):
        turned[x] = inside[x] ^ value
        inside[x] = value


@compiled
def _note_turns(words: NDArray[np.uint64], begin: int, end: int, y: int, turns: NDArray[np.int32], used: int) -> int:
    """Writes an (x, y) for each pixel that turned, and clears them; returns how many turns there are then.

    words: WORD pixels each, one byte a pixel: 1 where it turned. What turned beside the part, in the same word, is
        written too.
    """
    for word in range(np.uint64(begin // WORD), np.uint64(-(-end // WORD))):
        left = words[word]
        while left != 0:
            # Of the lowest byte that is 1, alone: its place, by a product that carries it to the top byte.
            place = ((left & (~left + np.uint64(1))) * PLACES) >> np.uint64(56)
            turns[used, 0] = word * np.uint64(WORD) + place
            turns[used, 1] = y
            used += 1
            left &= left - np.uint64(1)
        words[word] = 0
    return used


@compiled
def _with_room(turns: NDArray[np.int32], wanted: int) -> NDArray[np.int32]:
    """The turns, in a larger array if they have no room for so many."""
    if wanted <= len(turns):
        return turns
    grown = np.empty((2 * wanted, 2), np.int32)
    grown[: len(turns)] = turns
    return grown
