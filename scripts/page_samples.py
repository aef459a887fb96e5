"""Makes the page's sample pictures: `coins` from scikit-image's data, `cells` drawn here.

    .venv/bin/python scripts/page_samples.py

`coins` is "Greek coins from Pompeii" of the Brooklyn Museum, without known copyright restrictions. `cells` are
fluorescent nuclei that never lived: bright ellipses of two sizes with a soft texture, on a dark and noisy ground.
"""

from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

FILES = Path(__file__).parents[1] / "deployments" / "http" / "page" / "files"
HEIGHT, WIDTH = 420, 560
SEED = 11


def cells() -> NDArray[np.uint8]:
    """Fluorescent nuclei, uint8 [420, 560]: some 40 small and 14 large ones, none touching."""
    random = np.random.default_rng(SEED)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    light = np.zeros((HEIGHT, WIDTH))
    placed: list[tuple[float, float, float]] = []
    for radius in [27.0] * 14 + [13.0] * 40:
        for _ in range(400):
            size = radius * random.uniform(0.88, 1.12)
            at = random.uniform(size + 4, HEIGHT - size - 4), random.uniform(size + 4, WIDTH - size - 4)
            if all(np.hypot(at[0] - v, at[1] - u) > 1.15 * (size + other) + 3 for v, u, other in placed):
                break
        else:
            continue
        placed.append((*at, size))
        angle, stretch = random.uniform(0, np.pi), random.uniform(1.0, 1.14)
        u = ((x - at[1]) * np.cos(angle) + (y - at[0]) * np.sin(angle)) * stretch
        v = ((y - at[0]) * np.cos(angle) - (x - at[1]) * np.sin(angle)) / stretch
        distance = np.hypot(u, v) / size
        light += (
            random.uniform(0.6, 0.95) / (1 + np.exp((distance - 1) * size * 0.9)) * (1 - 0.25 * distance**2).clip(0.5)
        )
    texture = gaussian_filter(random.normal(size=light.shape), 3)
    light *= 1 + 0.13 * texture / texture.std()
    light = gaussian_filter(light, 0.8) + 0.09 + random.normal(scale=0.006, size=light.shape)
    return (light * 235).clip(0, 255).astype(np.uint8)


if __name__ == "__main__":
    Image.fromarray(skimage.data.coins()).save(FILES / "coins.jpg", quality=78, optimize=True)
    Image.fromarray(cells()).save(FILES / "cells.jpg", quality=72, optimize=True)
