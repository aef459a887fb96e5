"""Pictures of discs, and a cheap job of the demo model on them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

PARAMETERS = '{"points_per_side": 6, "crop_n_layers": 0}'
"""Of the demo model on the pictures of discs: cheap, and most discs are found."""


def draw_discs(path: Path, seed: int, *, side: int = 160) -> None:
    """A grey picture with four bright discs, one in each quarter."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    picture = np.full((side, side), 60, np.uint8)
    for quarter in range(4):
        x, y = (side * (0.25 + 0.5 * place) + rng.uniform(-6, 6) for place in divmod(quarter, 2))
        picture[(columns - x) ** 2 + (rows - y) ** 2 <= rng.uniform(16, 24) ** 2] = rng.integers(170, 250)
    Image.fromarray(picture).save(path)


@dataclass(frozen=True, slots=True)
class Disc:
    """A disc of a large picture, in pixels."""

    x: int
    y: int
    radius: int
    level: int


def spread_discs(side: int, count: int, radii: tuple[int, int], seed: int) -> list[Disc]:
    """Discs that do not touch, each in a cell of its own of a square picture, anywhere in that cell."""
    rng = np.random.default_rng(seed)
    cells = int(np.ceil(np.sqrt(count)))
    cell = side / cells
    discs = []
    for index in rng.permutation(cells * cells)[:count].tolist():
        radius = int(rng.integers(*radii))
        x, y = (int(cell * place + rng.uniform(radius + 3, cell - radius - 3)) for place in divmod(index, cells))
        discs.append(Disc(x, y, radius, int(rng.integers(140, 250))))
    return discs


def write_large_tiff(path: Path, side: int, discs: Sequence[Disc], *, tile: int = 512) -> None:
    """A tiled grey TIFF of discs, tile by tile: the picture is never in memory."""
    reach = [(one.x - one.radius, one.x + one.radius, one.y - one.radius, one.y + one.radius) for one in discs]
    left, right, top, bottom = np.array(reach).T

    def tiles() -> Iterator[NDArray[np.uint8]]:
        for y in range(0, side, tile):
            for x in range(0, side, tile):
                pixels = np.full((tile, tile), 60, np.uint8)
                rows, columns = np.mgrid[y : y + tile, x : x + tile]
                near = (left < x + tile) & (right >= x) & (top < y + tile) & (bottom >= y)
                for index in np.flatnonzero(near):
                    one = discs[index]
                    pixels[(columns - one.x) ** 2 + (rows - one.y) ** 2 <= one.radius**2] = one.level
                yield pixels

    shape = (side, side)
    tifffile.imwrite(path, tiles(), shape=shape, dtype=np.uint8, tile=(tile, tile), compression="zlib", bigtiff=True)
