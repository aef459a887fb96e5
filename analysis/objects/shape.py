"""Area, moments, perimeter, parts and holes of masks, from their runs in one walk. Knows no units.

The formulas are scikit-image's `regionprops`, of the same names: `inertia_tensor`, `orientation`,
`perimeter_crofton` in four directions, `euler_number` with 8-connected objects.
"""

import numpy as np
from numpy.typing import NDArray

from segmentation.compiled import compiled

AREA, CENTROID_X, CENTROID_Y, MAJOR, MINOR, ORIENTATION, ECCENTRICITY, PERIMETER, HOLES, PARTS, PARTS_DISTANCE = range(
    11
)
COLUMNS = 11


@compiled
def measure_shapes(
    runs: NDArray[np.int64], offsets: NDArray[np.int64], height: int, first: int, last: int, out: NDArray[np.float64]
) -> None:
    """Writes the row of each mask from `first` to `last`.

    Args:
        runs, offsets: a `MaskSet`'s; no mask is empty.
        height: of the picture.
        out: float64 [N, COLUMNS], in pixels; orientation in degrees, counter-clockwise from the x axis.
    """
    longest = 0
    for mask in range(first, last):
        longest = max(longest, offsets[mask + 1] - offsets[mask])
    parents = np.empty(longest, np.int64)
    for mask in range(first, last):
        begin, end = offsets[mask], offsets[mask + 1]
        _moments(runs, begin, end, height, out[mask])
        _outline(runs, begin, end, height, parents, out[mask])


@compiled
def _moments(runs: NDArray[np.int64], begin: int, end: int, height: int, row: NDArray[np.float64]) -> None:
    x0 = runs[begin, 0] // height
    y0 = runs[begin, 0] - x0 * height
    # Sums in whole numbers, in a frame at the mask: exact up to 64 megapixels.
    area = sx = sy = sxx = syy = sxy = 0
    for index in range(begin, end):
        column = runs[index, 0] // height
        n = runs[index, 1] - runs[index, 0]
        x = column - x0
        top = runs[index, 0] - column * height - y0
        ys = n * top + n * (n - 1) // 2
        area += n
        sx += n * x
        sxx += n * x * x
        sy += ys
        sxy += x * ys
        syy += n * top * top + top * n * (n - 1) + (n - 1) * n * (2 * n - 1) // 6
    mean_x, mean_y = sx / area, sy / area
    xx = max(0.0, sxx / area - mean_x * mean_x)
    yy = max(0.0, syy / area - mean_y * mean_y)
    xy = sxy / area - mean_x * mean_y
    if _same(sxx, syy, area, sx, sy):
        xx = yy
    if _is_zero(sxy, area, sx, sy):
        xy = 0.0
    middle, spread = (xx + yy) / 2, np.sqrt(((xx - yy) / 2) ** 2 + xy * xy)
    large, small = middle + spread, max(0.0, middle - spread)
    if xx * yy <= xy * xy * (1 + 1e-12):
        small = 0.0
    row[AREA] = area
    row[CENTROID_X] = x0 + mean_x
    row[CENTROID_Y] = y0 + mean_y
    row[MAJOR] = 4 * np.sqrt(large)
    row[MINOR] = 4 * np.sqrt(small)
    row[ECCENTRICITY] = np.sqrt(1 - small / large) if large > 0 else 0.0
    # The major axis' direction with y upwards.
    angle = 0.5 * np.degrees(np.arctan2(-2 * xy, xx - yy)) if xx != yy or xy != 0 else 45.0
    row[ORIENTATION] = angle % 180.0


@compiled
def _same(sxx: int, syy: int, area: int, sx: int, sy: int) -> bool:
    """Whether the second moments in x and y are equal, in whole numbers where these have room."""
    if area > 1 << 20:
        return False
    return area * (sxx - syy) == (sx - sy) * (sx + sy)


@compiled
def _is_zero(sxy: int, area: int, sx: int, sy: int) -> bool:
    if area > 1 << 20:
        return False
    return area * sxy == sx * sy


@compiled
def _outline(
    runs: NDArray[np.int64],
    begin: int,
    end: int,
    height: int,
    parents: NDArray[np.int64],
    row: NDArray[np.float64],
) -> None:
    """Perimeter, parts and holes, from how the runs of neighbouring columns lie to each other.

    A line along one direction enters the mask once for each pixel whose neighbour before it is outside. Upright lines:
    once a run. Level and diagonal lines: where the runs of the column before, shifted by 0, 1 or -1, leave a run
    uncovered.
    """
    level = rising = falling = 0  # pixels whose neighbour in the column before is in the mask too
    joins = 0
    for index in range(end - begin):
        parents[index] = index
    before = begin  # the first run of the column before that may touch
    column_start = begin
    column = -2
    before_end = begin
    for index in range(begin, end):
        x = runs[index, 0] // height
        if x != column:
            before = column_start if x == column + 1 else index
            before_end = index
            column_start = index
            column = x
        start, stop = runs[index, 0] - height, runs[index, 1] - height
        while before < before_end and runs[before, 1] < start:
            before += 1
        other = before
        while other < before_end and runs[other, 0] <= stop:
            a, b = runs[other, 0], runs[other, 1]
            level += max(0, min(stop, b) - max(start, a))
            rising += max(0, min(stop, b + 1) - max(start, a + 1))
            falling += max(0, min(stop, b - 1) - max(start, a - 1))
            joins += 1
            join_regions(parents, other - begin, index - begin)
            other += 1
    area = row[AREA]
    # Cauchy-Crofton: pi times the mean over directions of (lines entering) x (distance between lines).
    entering = (end - begin) + (area - level) + (2 * area - rising - falling) / np.sqrt(2.0)
    row[PERIMETER] = np.pi / 4 * entering
    parts = 0
    for index in range(end - begin):
        parts += parents[index] == index
    row[PARTS] = parts
    row[HOLES] = joins - (end - begin) + parts
    row[PARTS_DISTANCE] = 0.0 if parts < 2 else _parts_distance(runs, begin, end, height, parents, parts)


@compiled
def find_root(parents: NDArray[np.int64], index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index


@compiled
def join_regions(parents: NDArray[np.int64], a: int, b: int) -> None:
    a, b = find_root(parents, a), find_root(parents, b)
    if a < b:
        parents[b] = a
    else:
        parents[a] = b


@compiled
def _parts_distance(
    runs: NDArray[np.int64], begin: int, end: int, height: int, parents: NDArray[np.int64], parts: int
) -> float:
    """The largest distance between the centroids of two parts.

    Of the centroids only those that are extreme in one of 64 directions are compared: with thousands of specks all
    pairs would take minutes. The result is too small by at most 0.13 %, and exact for up to 64 parts.
    """
    number = np.full(end - begin, -1, np.int64)
    sums = np.zeros((parts, 3), np.float64)
    used = 0
    for index in range(end - begin):
        root = find_root(parents, index)
        if number[root] < 0:
            number[root] = used
            used += 1
        part = number[root]
        start, stop = runs[begin + index, 0], runs[begin + index, 1]
        x = start // height
        n = stop - start
        sums[part, 0] += n
        sums[part, 1] += n * x
        sums[part, 2] += n * (start - x * height) + n * (n - 1) / 2
    xs, ys = sums[:, 1] / sums[:, 0], sums[:, 2] / sums[:, 0]
    if parts > 64:
        chosen = np.empty(128, np.int64)
        for direction in range(64):
            along = xs * np.cos(np.pi * direction / 64) + ys * np.sin(np.pi * direction / 64)
            chosen[2 * direction] = np.argmin(along)
            chosen[2 * direction + 1] = np.argmax(along)
        xs, ys = xs[chosen], ys[chosen]
    longest = 0.0
    for a in range(len(xs)):
        for b in range(a + 1, len(xs)):
            longest = max(longest, (xs[a] - xs[b]) ** 2 + (ys[a] - ys[b]) ** 2)
    return float(np.sqrt(longest))
