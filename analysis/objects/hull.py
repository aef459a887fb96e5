"""Convex hull and Feret diameters of masks, in whole numbers. Knows no units.

A pixel counts with the middles of its four sides, as `skimage.morphology.convex_hull_image` does; coordinates are
doubled, so that these are whole numbers. The convex mask is every pixel whose centre lies in the hull, and the largest
Feret diameter is the convex mask's, as in `regionprops`. The smallest, which `regionprops` lacks, is the hull's.
"""

import numpy as np
from numpy.typing import NDArray

from segmentation.compiled import compiled

CONVEX_AREA, FERET_MAX, FERET_MIN = range(3)
COLUMNS = 3

NONE = np.int64(1) << 40
"""No pixel in this column."""


@compiled
def measure_hulls(
    runs: NDArray[np.int64], offsets: NDArray[np.int64], height: int, first: int, last: int, out: NDArray[np.float64]
) -> None:
    """Writes (pixels of the convex mask, largest Feret diameter, smallest) of each mask from `first` to `last`.

    Args:
        runs, offsets: a `MaskSet`'s; no mask is empty.
        height: of the picture.
        out: float64 [N, COLUMNS], in pixels.
    """
    for mask in range(first, last):
        begin, end = offsets[mask], offsets[mask + 1]
        x0, x1 = runs[begin, 0] // height, runs[end - 1, 0] // height
        tops = np.full(x1 - x0 + 1, NONE)
        bottoms = np.full(x1 - x0 + 1, -NONE)
        for index in range(begin, end):
            x = runs[index, 0] // height
            tops[x - x0] = min(tops[x - x0], runs[index, 0] - x * height)
            bottoms[x - x0] = max(bottoms[x - x0], runs[index, 1] - 1 - x * height)
        # Of the mask's own hull: that of the convex mask is wider by what its border pixels stick out.
        _, out[mask, FERET_MIN] = _feret(_hull_of_columns(tops, bottoms))
        out[mask, CONVEX_AREA] = _make_convex(tops, bottoms)
        out[mask, FERET_MAX], _ = _feret(_hull_of_columns(tops, bottoms))


@compiled
def _chain(xs: NDArray[np.int64], ys: NDArray[np.int64], sign: int) -> int:
    """Keeps the points of the lower (sign 1) or upper (-1) hull, in place; returns how many."""
    used = 0
    for index in range(len(xs)):
        while used > 1:
            turn = (xs[used - 1] - xs[used - 2]) * (ys[index] - ys[used - 2]) - (ys[used - 1] - ys[used - 2]) * (
                xs[index] - xs[used - 2]
            )
            if sign * turn > 0:
                break
            used -= 1
        xs[used], ys[used] = xs[index], ys[index]
        used += 1
    return used


@compiled
def _extremes(
    tops: NDArray[np.int64], bottoms: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Each doubled x with points, ascending, and the smallest and the largest doubled y there."""
    width = len(tops)
    low = np.full(2 * width + 1, NONE)
    high = np.full(2 * width + 1, -NONE)
    for x in range(width):
        if tops[x] > bottoms[x]:
            continue
        top, bottom = 2 * tops[x], 2 * bottoms[x]
        for side in (2 * x, 2 * x + 2):
            low[side] = min(low[side], top)
            high[side] = max(high[side], bottom)
        low[2 * x + 1] = min(low[2 * x + 1], top - 1)
        high[2 * x + 1] = max(high[2 * x + 1], bottom + 1)
    present = np.flatnonzero(low < NONE)
    return present, low[present], high[present]


@compiled
def _make_convex(tops: NDArray[np.int64], bottoms: NDArray[np.int64]) -> int:
    """Moves the first and last pixel of each column to the convex mask's; returns its area."""
    xs, low, high = _extremes(tops, bottoms)
    upper_xs = xs.copy()
    lows, highs = _chain(xs, low, 1), _chain(upper_xs, high, -1)
    area = 0
    at_low = at_high = 0
    for x in range(len(tops)):
        along = 2 * x + 1
        while at_low < lows - 2 and xs[at_low + 1] <= along:
            at_low += 1
        while at_high < highs - 2 and upper_xs[at_high + 1] <= along:
            at_high += 1
        run = xs[at_low + 1] - xs[at_low]
        above = low[at_low] * run + (low[at_low + 1] - low[at_low]) * (along - xs[at_low])
        tops[x] = -((-above) // (2 * run))
        run = upper_xs[at_high + 1] - upper_xs[at_high]
        below = high[at_high] * run + (high[at_high + 1] - high[at_high]) * (along - upper_xs[at_high])
        bottoms[x] = below // (2 * run)
        area += max(0, bottoms[x] - tops[x] + 1)
    return area


@compiled
def _hull_of_columns(tops: NDArray[np.int64], bottoms: NDArray[np.int64]) -> NDArray[np.int64]:
    """The corners of the hull in order, int64 [K, 2], doubled (x, y)."""
    xs, low, high = _extremes(tops, bottoms)
    upper_xs = xs.copy()
    lows, highs = _chain(xs, low, 1), _chain(upper_xs, high, -1)
    corners = np.empty((lows + highs, 2), np.int64)
    used = 0
    for index in range(lows):
        corners[used, 0], corners[used, 1] = xs[index], low[index]
        used += 1
    for index in range(highs - 1, -1, -1):
        x, y = upper_xs[index], high[index]
        repeats_last = x == corners[used - 1, 0] and y == corners[used - 1, 1]
        repeats_first = x == corners[0, 0] and y == corners[0, 1]
        if repeats_last or repeats_first:
            continue
        corners[used, 0], corners[used, 1] = x, y
        used += 1
    return corners[:used].copy()


@compiled
def _feret(hull: NDArray[np.int64]) -> tuple[float, float]:
    """The largest and the smallest distance of parallel tangents, in pixels, by rotating calipers."""
    count = len(hull)
    longest = 0
    narrowest = np.inf
    far = 1
    for index in range(count):
        after = (index + 1) % count
        along_x, along_y = hull[after, 0] - hull[index, 0], hull[after, 1] - hull[index, 1]
        while True:
            ahead = (far + 1) % count
            step = along_x * (hull[ahead, 1] - hull[far, 1]) - along_y * (hull[ahead, 0] - hull[far, 0])
            if step <= 0:
                break
            far = ahead
        height = along_x * (hull[far, 1] - hull[index, 1]) - along_y * (hull[far, 0] - hull[index, 0])
        narrowest = min(narrowest, height / np.sqrt(float(along_x * along_x + along_y * along_y)))
        # With parallel sides both ends of the opposite side are antipodal.
        for a in (index, after):
            for b in (far, (far + 1) % count):
                longest = max(longest, (hull[a, 0] - hull[b, 0]) ** 2 + (hull[a, 1] - hull[b, 1]) ** 2)
    return np.sqrt(float(longest)) / 2, narrowest / 2
