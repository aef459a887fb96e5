"""The exact outlines of a mask as the coordinates of a GeoJSON MultiPolygon, as the server's `mask_format: polygon`.

Pixel-corner frame: pixel (x, y) is the square from (x, y) to (x + 1, y + 1).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Corner = tuple[int, int]
Ring = list[list[int]]
"""Corners [x, y] where the outline turns, the first again as the last."""

STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Right, down, left, up: an outline has the mask at its right hand."""


def trace(mask: NDArray[np.bool_]) -> list[list[Ring]]:
    """One polygon for each 4-connected region of a mask: its outline, then its holes; [] for an empty mask.

    Args:
        mask: bool [H, W].

    No ring meets a point twice. Outlines have positive area by the shoelace formula on x, y; holes negative.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    top, left = int(rows[0]), int(columns[0])
    rings = _rings(_sides(mask[top : rows[-1] + 1, left : columns[-1] + 1]))
    outlines = sorted((ring for ring in rings if _doubled_area(ring) > 0), key=lambda ring: (ring[0][1], ring[0][0]))
    polygons: list[list[list[Corner]]] = [[outline] for outline in outlines]
    areas = [_doubled_area(outline) for outline in outlines]
    for hole in (ring for ring in rings if _doubled_area(ring) < 0):
        around = [index for index, outline in enumerate(outlines) if _contains(outline, _pixel_beside(hole))]
        polygons[min(around, key=areas.__getitem__)].append(hole)
    return [
        [[[x + left, y + top] for x, y in [*_turns(ring), _turns(ring)[0]]] for ring in polygon] for polygon in polygons
    ]


def _sides(mask: NDArray[np.bool_]) -> dict[Corner, list[int]]:
    """For each corner the directions in which sides of mask pixels leave it."""
    padded = np.pad(mask, 1)
    inside, above, left = padded[1:-1, 1:-1], padded[:-2, 1:-1], padded[1:-1, :-2]
    below, right = padded[2:, 1:-1], padded[1:-1, 2:]
    sides: dict[Corner, list[int]] = {}
    # A pixel's top side starts at its top left corner and runs right, its right side at the top right one, and so on.
    for direction, (other, dx, dy) in enumerate(((above, 0, 0), (right, 1, 0), (below, 1, 1), (left, 0, 1))):
        for y, x in np.argwhere(inside & ~other).tolist():
            sides.setdefault((x + dx, y + dy), []).append(direction)
    return sides


def _rings(sides: dict[Corner, list[int]]) -> list[list[Corner]]:
    """All rings, every corner on the way. A walk that returns to a corner closes a ring there."""
    rings = []
    for start in sorted(sides, key=lambda corner: (corner[1], corner[0])):
        while sides[start]:
            direction = sides[start][0]
            path: list[Corner] = []
            met: dict[Corner, int] = {}
            corner = start
            while True:
                if corner in met:
                    first = met[corner]
                    rings.append(path[first:])
                    for passed in path[first:]:
                        del met[passed]
                    del path[first:]
                    if not path:
                        break
                met[corner] = len(path)
                path.append(corner)
                leaving = sides[corner]
                # The right turn first: it stays with the same pixel where two meet at a corner.
                direction = next(turn % 4 for turn in (direction + 1, direction, direction + 3) if turn % 4 in leaving)
                leaving.remove(direction)
                corner = (corner[0] + STEPS[direction][0], corner[1] + STEPS[direction][1])
    return rings


def _turns(ring: list[Corner]) -> list[Corner]:
    """The ring without the corners in the middle of a straight side."""
    kept = []
    for index, (x, y) in enumerate(ring):
        (x0, y0), (x1, y1) = ring[index - 1], ring[(index + 1) % len(ring)]
        if not (x0 == x == x1 or y0 == y == y1):
            kept.append((x, y))
    return kept


def _doubled_area(ring: list[Corner]) -> int:
    x, y = np.array(ring, np.int64).T
    return int((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def _pixel_beside(ring: list[Corner]) -> Corner:
    """A mask pixel at the right hand of the ring's first side."""
    (x, y), (x1, y1) = ring[0], ring[1]
    return x - (y1 > y or x1 < x), y - (x1 < x or y1 < y)


def _contains(ring: list[Corner], pixel: Corner) -> bool:
    """Whether the centre of a pixel lies in the ring, by the number of vertical sides at its left."""
    points: NDArray[Any] = np.array(ring, np.int64)
    following = np.roll(points, -1, axis=0)
    vertical = points[:, 0] == following[:, 0]
    low, high = np.minimum(points[:, 1], following[:, 1]), np.maximum(points[:, 1], following[:, 1])
    left = vertical & (points[:, 0] <= pixel[0]) & (low <= pixel[1]) & (pixel[1] < high)
    return bool(left.sum() % 2)
