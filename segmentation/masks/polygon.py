"""Exact outlines of masks as polygons. Knows runs and corners of pixels, no files and no HTTP."""

import numpy as np
from numpy.typing import NDArray

from segmentation.compiled import compiled
from segmentation.masks.regions import label_regions
from segmentation.masks.rle import decode_crop, runs_box, to_runs
from segmentation.types import Rle

Ring = list[list[int]]
"""Corners [x, y], the first again as the last."""


def trace_polygons(rle: Rle) -> list[list[Ring]]:
    """The coordinates of a GeoJSON MultiPolygon whose area is exactly the mask's pixels; [] for an empty mask.

    Pixel-corner frame: pixel (x, y) is the square from (x, y) to (x + 1, y + 1), so the whole picture is
    [[0, 0], [W, 0], [W, H], [0, H], [0, 0]].

    Each polygon is one 4-connected region: pixels that touch only at a corner belong to different polygons, or meet
    around a hole. Its first ring is the outline, the others are holes. No ring meets a point twice; where a region
    touches itself at a corner, the hole there is a ring of its own that touches the outline. Outlines are
    counter-clockwise in the sense of RFC 7946 (positive area by the shoelace formula on x, y), holes clockwise. Points
    are corners of the outline only, without ones in the middle of a straight side.
    """
    runs = to_runs(rle)
    if not len(runs):
        return []
    height = rle.size[0]
    x0, y0, x1, y1 = runs_box(runs, rle.size)
    corners, ends = _trace(decode_crop(runs, height, x0 - 1, y0 - 1, x1 - x0 + 3, y1 - y0 + 3))
    pieces, labels = label_regions(runs, height, reach=0)
    outlines: dict[int, Ring] = {}
    holes: dict[int, list[Ring]] = {}
    for ring in np.split(corners + np.array((x0, y0)), ends[:-1]):
        x, y = _pixel_inside(ring[0], ring[1])
        region = int(labels[np.searchsorted(pieces[:, 0], x * height + y, side="right") - 1])
        closed = [*ring.tolist(), ring[0].tolist()]
        if _signed_area(ring) > 0:
            outlines[region] = closed
        else:
            holes.setdefault(region, []).append(closed)
    return [[outlines[region], *holes.get(region, [])] for region in sorted(outlines)]


def _signed_area(ring: NDArray[np.int64]) -> int:
    """Twice the area, positive if counter-clockwise in (x, y)."""
    x, y = ring.T
    return int((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def _pixel_inside(start: NDArray[np.int64], end: NDArray[np.int64]) -> tuple[int, int]:
    """A mask pixel (x, y) beside the side of a ring from `start` to `end`."""
    step_x, step_y = np.sign(end - start).tolist()
    x, y = start.tolist()
    return x - (step_y > 0 or step_x < 0), y - (step_x < 0 or step_y < 0)


@compiled
def _side_starts(mask: NDArray[np.bool_], x: int, y: int, direction: int) -> bool:
    """Whether an outline leaves the corner (x, y) to the right, down, left or up (0 to 3), the mask at its right hand.

    mask: padded by one pixel, so that pixel (x, y) is mask[y + 1, x + 1].
    """
    if direction == 0:
        return bool(mask[y + 1, x + 1] and not mask[y, x + 1])
    if direction == 1:
        return bool(mask[y + 1, x] and not mask[y + 1, x + 1])
    if direction == 2:
        return bool(mask[y, x] and not mask[y + 1, x])
    return bool(mask[y, x + 1] and not mask[y, x])


@compiled
def _is_crossing(mask: NDArray[np.bool_], x: int, y: int) -> bool:
    """Whether two mask pixels meet at the corner (x, y) diagonally, and only there."""
    same = mask[y, x] == mask[y + 1, x + 1] and mask[y, x + 1] == mask[y + 1, x]
    return bool(same and mask[y, x] != mask[y, x + 1])


@compiled
def _count_corners(mask: NDArray[np.bool_]) -> int:
    count = 0
    for y in range(mask.shape[0] - 1):
        for x in range(mask.shape[1] - 1):
            pixels = int(mask[y, x]) + mask[y, x + 1] + mask[y + 1, x] + mask[y + 1, x + 1]
            count += pixels % 2 + 2 * _is_crossing(mask, x, y)
    return count


@compiled
def _trace(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All rings: their corners one after the other, int64 [N, 2], (x, y), and where each ring ends, int64 [R].

    Follows the mask at the right hand and prefers a right turn, so that it stays with its own pixel at a crossing. A
    ring that comes by a crossing a second time is cut there in two.
    """
    count = _count_corners(mask)
    corners = np.empty((count, 2), np.int64)
    ends = np.empty(count, np.int64)
    used = rings = 0
    path = np.empty((count, 2), np.int64)
    height, width = mask.shape[0] - 1, mask.shape[1] - 1
    top_done = np.zeros((height, width), np.bool_)
    met = np.full((height, width), -1, np.int32)

    for top in range(height):
        for left in range(width):
            if top_done[top, left] or not _side_starts(mask, left, top, 0):
                continue
            x, y, direction = left, top, 0
            path[0] = left, top
            length = 1
            met[y, x] = 0
            while True:
                if direction == 0:
                    if top_done[y, x]:
                        met[y, x] = -1
                        break
                    top_done[y, x] = True
                x += (1, 0, -1, 0)[direction]
                y += (0, 1, 0, -1)[direction]
                turned = (direction + 1) % 4
                if not _side_starts(mask, x, y, turned):
                    turned = direction if _side_starts(mask, x, y, direction) else (direction + 3) % 4
                if turned == direction:
                    continue
                direction = turned
                first = met[y, x]
                if first < 0:
                    met[y, x] = length
                    path[length] = x, y
                    length += 1
                    continue
                for index in range(first, length):
                    corners[used] = path[index]
                    met[path[index, 1], path[index, 0]] = -1
                    used += 1
                ends[rings] = used
                rings += 1
                met[y, x] = first
                length = first + 1
    return corners[:used], ends[:rings]
