"""Pictures of discs, and the demo model's job on them."""

from pathlib import Path

import numpy as np
import pytest
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


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six pictures and one damaged one."""
    folder = tmp_path_factory.mktemp("discs")
    for number in range(6):
        draw_discs(folder / f"p{number}.png", number)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return folder
