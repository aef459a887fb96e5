"""Outlines of objects: closed star-shaped curves as one radius per direction, and their pixels in a picture.

Knows nothing of colour.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

DIRECTIONS = 360
_THETA = np.linspace(-np.pi, np.pi, DIRECTIONS, endpoint=False)


@dataclass(frozen=True, slots=True)
class Patch:
    """The pixels around one outline.

    `rows` and `columns` cut the window out of the picture. Per window pixel, float32 [h, w]: `u`, distance from the
    centre over the outline's radius in that direction (1 on the outline); `depth`, pixels inside the outline along that
    direction (negative outside); `dx` and `dy`, offset from the centre over the outline's nominal radius.
    """

    rows: slice
    columns: slice
    u: np.ndarray
    depth: np.ndarray
    dx: np.ndarray
    dy: np.ndarray


def disc(rng: np.random.Generator) -> np.ndarray:
    """A circle, now and then a little dented. Every maker here returns radii float32 [DIRECTIONS] with maximum 1."""
    return _bounded(1.0 + _harmonics(rng, 2, 6, rng.choice([0.0, 0.01, 0.03])))


def ellipse(rng: np.random.Generator) -> np.ndarray:
    """An ellipse of aspect 1.1 to 3.5."""
    aspect, turn = np.exp(rng.uniform(np.log(1.1), np.log(3.5))), rng.uniform(0, np.pi)
    return _bounded(1.0 / np.hypot(np.cos(_THETA - turn), aspect * np.sin(_THETA - turn)))


def polygon(rng: np.random.Generator) -> np.ndarray:
    """A convex polygon of 3 to 8 sides, some with rounded corners."""
    sides = int(rng.integers(3, 9))
    normals = np.linspace(0, 2 * np.pi, sides, endpoint=False) + rng.uniform(-0.25, 0.25, sides)
    normals += rng.uniform(0, 2 * np.pi)
    distances = rng.uniform(0.6, 1.0, sides) if rng.random() < 0.6 else np.ones(sides)
    cosines = np.cos(_THETA[:, None] - normals[None])
    radii = np.where(cosines > 0.05, distances / np.maximum(cosines, 0.05), 3.0).min(axis=1)
    rounding = rng.choice([0.5, 4.0, 10.0])
    return _bounded(gaussian_filter1d(np.minimum(radii, 1.8), rounding, mode="wrap"))


def blob(rng: np.random.Generator) -> np.ndarray:
    """A smooth random shape."""
    return _bounded(np.maximum(1.0 + _harmonics(rng, 2, 9, rng.uniform(0.08, 0.3)), 0.3))


def star(rng: np.random.Generator) -> np.ndarray:
    """Lobes or teeth around a body."""
    lobes, depth = int(rng.integers(4, 11)), rng.uniform(0.08, 0.35)
    return _bounded(1.0 + depth * np.cos(lobes * _THETA + rng.uniform(0, 2 * np.pi)))


MAKERS = {"disc": disc, "ellipse": ellipse, "polygon": polygon, "blob": blob, "star": star}


def rasterise(radii: np.ndarray, place: tuple[float, float, float], side: int, margin: float = 3.0) -> Patch | None:
    """The window of a square picture around an outline at `place` (x, y, radius), and `margin` pixels more.

    None when it lies outside.
    """
    x, y, radius = place
    reach = radius + margin
    top, bottom = max(0, int(y - reach)), min(side, int(y + reach) + 2)
    left, right = max(0, int(x - reach)), min(side, int(x + reach) + 2)
    if top >= bottom or left >= right:
        return None
    dy = (np.arange(top, bottom, dtype=np.float32) + 0.5 - y)[:, None]
    dx = (np.arange(left, right, dtype=np.float32) + 0.5 - x)[None]
    distance = np.hypot(dx, dy)
    index = ((np.arctan2(dy, dx) + np.pi) * (DIRECTIONS / (2 * np.pi))).astype(np.int64) % DIRECTIONS
    limit = radius * radii[index]
    ones = np.ones_like(distance)
    return Patch(
        rows=slice(top, bottom),
        columns=slice(left, right),
        u=distance / limit,
        depth=limit - distance,
        dx=dx / radius * ones,
        dy=dy / radius * ones,
    )


def _harmonics(rng: np.random.Generator, low: int, high: int, amplitude: float) -> np.ndarray:
    """A random periodic curve float64 [DIRECTIONS]; higher harmonics are weaker."""
    orders = np.arange(low, high)
    weights = rng.normal(size=len(orders)) * amplitude / np.sqrt(orders - low + 1)
    phases = rng.uniform(0, 2 * np.pi, len(orders))
    return (weights[:, None] * np.cos(orders[:, None] * _THETA[None] + phases[:, None])).sum(axis=0)


def _bounded(radii: np.ndarray) -> np.ndarray:
    return (radii / radii.max()).astype(np.float32)
