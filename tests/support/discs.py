"""Pictures of discs, and a cheap job of the demo model on them."""

from pathlib import Path

import numpy as np
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
