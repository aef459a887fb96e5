"""A picture filled with touching grains: a warped Voronoi partition, as of crystals, tiles or tissue."""

import numpy as np
from scipy.spatial import cKDTree

from training.textures import any_texture, smooth_noise


def paint_grains(rng: np.random.Generator, picture: np.ndarray, limit: int) -> tuple[np.ndarray, int]:
    """Paints over the whole picture, float32 [side, side, 3], in place.

    Returns the labels uint8 [side, side] (0 where grout or a missing grain shows the background) and the number of
    grains, at most `limit`.
    """
    side = picture.shape[0]
    count = int(np.exp(rng.uniform(np.log(8), np.log(min(110, limit)))))
    pitch = side / np.sqrt(count)
    seeds = _relaxed(rng, side, count)
    warp = rng.uniform(0, 0.12) * pitch
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    rows += warp * smooth_noise(rng, side, side, 0.7 * pitch)
    columns += warp * smooth_noise(rng, side, side, 0.7 * pitch)
    distances, nearest = cKDTree(seeds).query(np.stack([columns, rows], -1).reshape(-1, 2), k=2)
    margin = ((distances[:, 1] - distances[:, 0]) / 2).reshape(side, side)
    owner = nearest[:, 0].reshape(side, side)
    grout = rng.uniform(0.0, 2.5)
    missing = rng.random(count) < rng.choice([0.0, 0.2])
    inside = (margin >= grout) & ~missing[owner]

    contrast = rng.uniform(0.02, 0.3)
    colours = rng.uniform(0.2, 0.8) + rng.normal(0, contrast, (count, 1)) + rng.normal(0, contrast / 2, (count, 3))
    body = colours[owner].astype(np.float32)
    body += (any_texture(rng, side, side) * rng.uniform(0.0, 0.06))[..., None]
    edge = np.clip(1 - (margin - grout) / rng.uniform(1.5, 0.25 * pitch), 0, 1)
    body += (edge * rng.uniform(0.08, 0.4) * rng.choice([-1, -1, 1]))[..., None].astype(np.float32)
    picture[inside] = body[inside]
    return np.where(inside, owner + 1, 0).astype(np.uint8), count


def _relaxed(rng: np.random.Generator, side: int, count: int) -> np.ndarray:
    """Random points [count, 2] (x, y), moved to the mean of the samples nearest to each: grains of a size."""
    points = rng.uniform(0, side, (count, 2))
    for _ in range(int(rng.integers(1, 4))):
        samples = rng.uniform(0, side, (40 * count, 2))
        nearest = cKDTree(points).query(samples)[1]
        hits = np.maximum(np.bincount(nearest, minlength=count), 1)[:, None]
        sums = np.stack([np.bincount(nearest, samples[:, axis], count) for axis in (0, 1)], -1)
        points = np.where(hits > 1, sums / hits, points)
    return points
