"""Outlines of masks as tools draw them: simplified polygons, and chains of boundary pixels. Knows no tool."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from deployments.http.protocols.slits import Points, Protected, apart, joined
from segmentation.masks.polygon import trace_polygons
from segmentation.types import Rle

INSET = 1 / 64
"""Pixels. Polygons are drawn in coordinates of pixel corners, but many exporters truncate them to the index of a pixel.
An outline this far inside its corners is the mask in both readings."""
LEAST_SHARE = 0.005
"""Parts that are together a smaller share of a mask are left out, and holes that are together a smaller share are
filled: specks that nobody wants in shapes."""

EPSILON = 1e-12
"""Avoids division by zero."""


def outlines(rle: Rle, tolerance: float) -> list[list[list[float]]]:
    """One polygon for each of a mask's parts, the largest part first; [] for an empty mask.

    Coordinates are pixel corners, `INSET` towards the mask. The last point of each is the first again. A part with
    holes has slits `2 * INSET` wide from each hole to the outline, because these tools' polygons are single rings.

    Args:
        tolerance: of the simplification, as a share of a ring's length; 0 keeps every corner.
    """
    parts = _parts(rle)
    areas = [[ring_area(ring) for ring in rings] for rings in parts]
    whole = sum(outline - sum(holes) for outline, *holes in areas)
    least_part = _least_kept([outline for outline, *_ in areas], LEAST_SHARE * whole)
    least_hole = _least_kept([hole for _, *holes in areas for hole in holes], LEAST_SHARE * whole)
    found = []
    for (outline, *holes), (area, *hole_areas) in zip(parts, areas, strict=True):
        if area >= least_part:
            kept = [hole for hole, hole_area in zip(holes, hole_areas, strict=True) if hole_area >= least_hole]
            rings = [_inset(ring) for ring in (outline, *kept)]
            found.append(_closed(joined(rings, INSET, lambda ring: _simplified(ring, tolerance))))
    return found


def boundary_pixels(rle: Rle) -> list[list[list[int]]]:
    """The boundary of each of a mask's parts as indices (x, y) of its pixels, the largest part first.

    Only corners of the chain are listed, and the first is not repeated. A part with holes has a chain that goes along a
    row of pixels to each hole, around it and back. Filled with their edges, as OpenCV fills polygons, the chains are
    the mask.
    """
    return [_chain(joined([_inset(ring) for ring in rings], INSET, _all)) for rings in _parts(rle)]


def ring_area(ring: Points) -> float:
    """The area inside a ring, in pixels, its holes included."""
    x, y = ring.T
    return abs(float(x @ np.roll(y, -1) - np.roll(x, -1) @ y)) / 2


def _parts(rle: Rle) -> list[list[Points]]:
    """The outline and the holes of each part, the part with the largest outline first; no first point is repeated."""
    parts = [apart([np.array(ring[:-1], np.float64) for ring in rings]) for rings in trace_polygons(rle)]
    return sorted(parts, key=lambda rings: ring_area(rings[0]), reverse=True)


def _least_kept(areas: list[float], least: float) -> float:
    """The area of the smallest ring that is kept: smaller ones are together at most `least`."""
    ascending = np.sort(np.array(areas, np.float64))
    kept = ascending[ascending.cumsum() > least]
    return float(kept[0]) if len(kept) else np.inf


def _inset(corners: Points) -> Points:
    """The corners of a ring that has its mask at the right hand, moved into the mask."""
    steps = np.sign(np.roll(corners, -1, axis=0) - corners)
    inward = np.stack((-steps[:, 1], steps[:, 0]), axis=1)
    moved: Points = corners + INSET * (inward + np.roll(inward, 1, axis=0))
    return moved


def _closed(points: Points) -> list[list[float]]:
    closed: list[list[float]] = [*points.tolist(), points[0].tolist()]
    return closed


def _simplified(ring: Protected, tolerance: float) -> NDArray[np.bool_]:
    """Douglas and Peucker's simplification of a closed outline between its protected points.

    The first point and the one farthest from it are protected too. Returns which points are left, [N].
    """
    points = ring.points
    length = float(np.linalg.norm(np.roll(points, -1, axis=0) - points, axis=1).sum())
    closed = np.concatenate((points, points[:1]))
    keep = np.zeros(len(closed), np.bool_)
    keep[[0, int(np.linalg.norm(points - points[0], axis=1).argmax()), -1]] = True
    keep[ring.kept] = True
    fixed = np.flatnonzero(keep).tolist()
    waiting = list(pairwise(fixed))
    while waiting:
        first, last = waiting.pop()
        if last - first < 2:
            continue
        distances = _distances(closed[first + 1 : last], closed[first], closed[last])
        farthest = int(distances.argmax())
        if distances[farthest] > tolerance * length:
            middle = first + 1 + farthest
            keep[middle] = True
            waiting += [(first, middle), (middle, last)]
    if keep.sum() < 4:  # two points and the first again: a thin part; its own corners are a polygon
        keep[:] = True
    return keep[:-1]


def _all(ring: Protected) -> NDArray[np.bool_]:
    return np.ones(len(ring.points), np.bool_)


def _distances(points: Points, start: Points, end: Points) -> Points:
    """Distances of points from a line segment."""
    along = end - start
    squared = float(along @ along)
    place = np.clip((points - start) @ along / max(squared, EPSILON), 0, 1)
    distances: Points = np.linalg.norm(points - start - place[:, None] * along, axis=1)
    return distances


def _chain(points: Points) -> list[list[int]]:
    """The pixels that an outline's points lie in, without those in the middle of a straight piece."""
    pixels: NDArray[np.int64] = np.floor(points).astype(np.int64)
    moved = (pixels != np.roll(pixels, 1, axis=0)).any(axis=1)
    pixels = pixels[moved] if moved.any() else pixels[:1]
    before, after = pixels - np.roll(pixels, 1, axis=0), np.roll(pixels, -1, axis=0) - pixels
    turns = (before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]) | ((before * after).sum(axis=1) < 0)
    chain: list[list[int]] = (pixels[turns] if turns.any() else pixels[:1]).tolist()
    return chain
