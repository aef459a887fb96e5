"""Decoded pictures of any size for tests of masks."""

import numpy as np
import skimage.data
from numpy.typing import NDArray


def photograph(height: int, width: int) -> NDArray[np.uint8]:
    """The top left of a portrait, uint8 [height, width, 3], up to 512 x 512."""
    return np.ascontiguousarray(skimage.data.astronaut()[:height, :width])


def gradient(height: int, width: int) -> NDArray[np.uint8]:
    """Smooth colours under noise, uint8 [height, width, 3], of any size."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(height * 10007 + width).integers(0, 60, (height, width))
    channels = (x * 190 // max(1, width - 1), y * 190 // max(1, height - 1), (x + y) % 190)
    return (np.stack(channels, axis=-1) + noise[..., None]).astype(np.uint8)
