"""Outlines of masks as tools draw them: simplified polygons, and chains of boundary pixels. Knows no tool."""

import numpy as np
from numpy.typing import NDArray

from segmentation.masks.polygon import Ring, trace_polygons
from segmentation.types import Rle

INSET = 1 / 64
"""Pixels. Polygons are drawn in coordinates of pixel corners, but many exporters truncate them to the index of a pixel.
An outline this far inside its corners is the mask in both readings."""
LEAST_SHARE = 0.005
"""Parts that are together a smaller share of a mask are left out: specks that nobody wants as shapes."""

EPSILON = 1e-12
"""Avoids division by zero."""

Points = NDArray[np.float64]


def outer_polygons(rle: Rle, tolerance: float) -> list[list[list[float]]]:
    """The outlines of a mask's parts without their holes, the largest part first; [] for an empty mask.

    Coordinates are pixel corners, `INSET` towards the mask. The last point of each is the first again.

    Args:
        tolerance: of the simplification, as a share of an outline's length; 0 keeps every corner.
    """
    rings = sorted((polygon[0] for polygon in trace_polygons(rle)), key=ring_area, reverse=True)
    areas = np.array([ring_area(ring) for ring in rings], np.float64)
    rest = areas[::-1].cumsum()[::-1]
    kept = [ring for ring, left in zip(rings, rest, strict=True) if left > LEAST_SHARE * areas.sum()]
    return [_simplified(_inset(ring), tolerance) for ring in kept]


def boundary_pixels(rle: Rle) -> list[list[list[int]]]:
    """The outer boundary of each of a mask's parts as indices (x, y) of its pixels, the largest part first.

    Only corners of the chain are listed, and the first is not repeated. Filled with their edges, as OpenCV fills
    polygons, they are the mask without its holes.
    """
    rings = sorted((polygon[0] for polygon in trace_polygons(rle)), key=ring_area, reverse=True)
    return [_chain(ring) for ring in rings]


def ring_area(ring: Ring) -> float:
    """The area inside a closed ring, in pixels, its holes included."""
    x, y = np.array(ring[:-1], np.float64).T
    return float(abs((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2)


def _inset(ring: Ring) -> Points:
    """The corners of a ring that has its mask at the right hand, moved into the mask; the first is not repeated."""
    corners = np.array(ring[:-1], np.float64)
    steps = np.sign(np.roll(corners, -1, axis=0) - corners)
    inward = np.stack((-steps[:, 1], steps[:, 0]), axis=1)
    moved: Points = corners + INSET * (inward + np.roll(inward, 1, axis=0))
    return moved


def _simplified(points: Points, tolerance: float) -> list[list[float]]:
    """Douglas and Peucker's simplification of a closed outline, from its first point and the farthest from that."""
    length = float(np.linalg.norm(np.roll(points, -1, axis=0) - points, axis=1).sum())
    half = int(np.linalg.norm(points - points[0], axis=1).argmax())
    closed = np.concatenate((points, points[:1]))
    keep = np.zeros(len(closed), np.bool_)
    keep[[0, half, -1]] = True
    waiting = [(0, half), (half, len(points))]
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
    kept: list[list[float]] = closed[keep].tolist()
    return kept


def _distances(points: Points, start: Points, end: Points) -> Points:
    """Distances of points from a line segment."""
    along = end - start
    squared = float(along @ along)
    place = np.clip((points - start) @ along / max(squared, EPSILON), 0, 1)
    distances: Points = np.linalg.norm(points - start - place[:, None] * along, axis=1)
    return distances


def _chain(ring: Ring) -> list[list[int]]:
    corners = np.array(ring, np.int64)
    steps = np.diff(corners, axis=0)
    lengths = np.abs(steps).sum(axis=1)
    directions = np.repeat(np.sign(steps), lengths, axis=0)
    starts = corners[0] + np.concatenate((np.zeros((1, 2), np.int64), directions.cumsum(axis=0)[:-1]))
    # The pixel at the right hand of each side of length 1.
    down, left, up = ((directions == move).all(axis=1) for move in ((0, 1), (-1, 0), (0, -1)))
    x = starts[:, 0] - (down | left)
    y = starts[:, 1] - (left | up)
    pixels = np.stack((x, y), axis=1)
    moved = (pixels != np.roll(pixels, 1, axis=0)).any(axis=1)
    pixels = pixels[moved] if moved.any() else pixels[:1]
    turns = (np.roll(pixels, -1, axis=0) - pixels != pixels - np.roll(pixels, 1, axis=0)).any(axis=1)
    corners_of_chain: list[list[int]] = (pixels[turns] if turns.any() else pixels[:1]).tolist()
    return corners_of_chain
