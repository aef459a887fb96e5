"""The compiled loops behind `measure_masks`: low-res logits to where a mask turns, row of pixels by row of pixels.

A row is one bit per pixel; where it differs from the row above, a column of the mask begins or ends. Along a row the
arithmetic is the same for all pixels, so blocks of them are computed at once: `segmentation.masks.simd`.
"""

import numpy as np
from numpy.typing import NDArray

from segmentation.compiled import compiled
from segmentation.masks.simd import LANES, lanes_above, lowest
from segmentation.masks.upscale import TAPS

MIXED = 0
OUTSIDE = 1
FIRST_INSIDE = 4
"""Levels of logits, see `_level`: those below FIRST_INSIDE are outside the mask. MIXED is no level."""

ROWS_HELD = 4
"""Low-res rows that are held at the pixels' columns: a power of two, at least `TAPS`."""

NONE, ONE, ALL = np.uint64(0), np.uint64(1), np.uint64(2**64 - 1)


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
    """Where a band of the mask's rows turns, for `turns.to_runs`, and its pixels above `offset` and above -`offset`.

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
    inside = np.zeros(-(-right // LANES), np.uint64)
    across = np.zeros((ROWS_HELD, len(inside) * LANES), np.float32)
    held = np.full((ROWS_HELD, len(column_bases)), -1, np.int64)
    codes = np.empty(len(column_bases), np.uint8)
    firsts = np.empty(len(column_bases) + 1, np.int64)
    turns = np.empty((4 * right, 2), np.int32)
    used = high = low = 0
    for group in range(top, bottom + 1):
        base, start, stop = row_bases[group], row_starts[group], row_starts[group + 1]
        turns = _with_room(turns, used + (stop - start + 1) * right)
        spans = _find_spans(cells, base, column_bases, first, last + 1, codes, firsts)
        for span in range(spans):
            code, begin, end = codes[span], firsts[span], firsts[span + 1]
            if code == MIXED:
                for low_res in range(base, base + TAPS):
                    held_at = low_res % ROWS_HELD
                    _interpolate_across(
                        logits[low_res],
                        low_res,
                        column_weights,
                        column_bases,
                        column_starts,
                        begin,
                        end,
                        across[held_at],
                        held[held_at],
                    )
            else:
                # What is not mixed turns at the group's first row or not at all.
                x0, x1 = column_starts[begin], column_starts[end]
                used = _fill(inside, x0, x1, code >= FIRST_INSIDE, start, turns, used)
                low += (stop - start) * (x1 - x0) * (code > OUTSIDE)
                high += (stop - start) * (x1 - x0) * (code > FIRST_INSIDE)
        near, middle, far = across[base % ROWS_HELD], across[(base + 1) % ROWS_HELD], across[(base + 2) % ROWS_HELD]
        for y in range(start, stop):
            weights = row_weights[0, y], row_weights[1, y], row_weights[2, y]
            for span in range(spans):
                if codes[span] == MIXED:
                    x0, x1 = column_starts[firsts[span]], column_starts[firsts[span + 1]]
                    used, above_offset, above_minus = _measure_row(
                        near, middle, far, weights, offset, x0, x1, inside, y, turns, used
                    )
                    high += above_offset
                    low += above_minus
    turns = _with_room(turns, used + right)
    used = _fill(inside, left, right, False, row_starts[bottom + 1], turns, used)
    return turns[:used], high, low


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
    begin: int,
    end: int,
    across: NDArray[np.float32],
    held: NDArray[np.int64],
) -> None:
    """Writes one low-res row at the pixels' columns, those of the groups from `begin` to `end`, unless `across` holds
    it there.
    """
    for group in range(begin, end):
        if held[group] == low_res:
            continue
        held[group] = low_res
        base = bases[group]
        near, middle, far = logits[base], logits[base + 1], logits[base + 2]
        for x in range(np.uint64(starts[group]), np.uint64(starts[group + 1])):
            across[x] = weights[0, x] * near + weights[1, x] * middle + weights[2, x] * far


@compiled
def _measure_row(
    near: NDArray[np.float32],
    middle: NDArray[np.float32],
    far: NDArray[np.float32],
    weights: tuple[np.float32, np.float32, np.float32],
    offset: np.float32,
    x0: int,
    x1: int,
    inside: NDArray[np.uint64],
    y: int,
    turns: NDArray[np.int32],
    used: int,
) -> tuple[int, int, int]:
    """Computes the pixels of a part of a row; returns how many turns there are then, and how many of the pixels are
    above `offset` and -`offset`.

    near, middle, far: the low-res rows that the pixels depend on, at the pixels' columns, with their weights.
    """
    high = low = 0
    for block in range(x0 // LANES, (x1 - 1) // LANES + 1):
        wanted = _bits_between(x0 - block * LANES, x1 - block * LANES)
        now, above_offset, above_minus = lanes_above(near, middle, far, block * LANES, weights, offset, wanted)
        high += above_offset
        low += above_minus
        used = _note_turns(inside, block, now ^ (inside[block] & wanted), y, turns, used)
    return used, high, low


@compiled
def _fill(
    inside: NDArray[np.uint64], x0: int, x1: int, value: bool, y: int, turns: NDArray[np.int32], used: int
) -> int:
    """Puts all pixels of a part of a row inside, or none; returns how many turns there are then."""
    for block in range(x0 // LANES, (x1 - 1) // LANES + 1):
        wanted = _bits_between(x0 - block * LANES, x1 - block * LANES)
        now = wanted if value else NONE
        used = _note_turns(inside, block, now ^ (inside[block] & wanted), y, turns, used)
    return used


@compiled
def _bits_between(begin: int, end: int) -> np.uint64:
    """Bits `begin` to `end` of a block's, which may lie beyond it."""
    begin, end = max(begin, 0), min(end, LANES)
    return (ALL >> np.uint64(64 - (end - begin))) << np.uint64(begin)


@compiled
def _note_turns(
    inside: NDArray[np.uint64], block: int, turned: np.uint64, y: int, turns: NDArray[np.int32], used: int
) -> int:
    """Turns pixels of a block, and writes an (x, y) for each; returns how many turns there are then.

    The first is written even if there is none: whether there is one, no processor can predict.
    """
    inside[block] ^= turned
    # An index that could be negative would be tested for that.
    turns[np.uint64(used), 0] = block * LANES + lowest(turned)
    turns[np.uint64(used), 1] = y
    used += int(turned != NONE)
    turned &= turned - ONE
    while turned != NONE:
        turns[np.uint64(used), 0] = block * LANES + lowest(turned)
        turns[np.uint64(used), 1] = y
        used += 1
        turned &= turned - ONE
    return used


@compiled
def _with_room(turns: NDArray[np.int32], wanted: int) -> NDArray[np.int32]:
    """The turns, in a larger array if they have no room for more than `wanted`."""
    if wanted < len(turns):
        return turns
    grown = np.empty((2 * wanted, 2), np.int32)
    grown[: len(turns)] = turns
    return grown
