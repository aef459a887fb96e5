"""Pictures of different kinds and shapes, each about one megapixel: scikit-image's own and the training generator's."""

from collections.abc import Callable

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image

from training.scenes import make_scene

PIXELS = 1_000_000
SEED = 987_654_321
"""Far from the seeds of training pools and held-out pictures."""

SOURCES: dict[str, Callable[[], NDArray[np.uint8]]] = {
    "coins": skimage.data.coins,
    "cells": skimage.data.immunohistochemistry,
    "cat": skimage.data.chelsea,
    "touching": lambda: make_scene(SEED, "touching").image,
    "textured": lambda: make_scene(SEED + 1, "textured").image,
    "nested": lambda: make_scene(SEED + 2, "nested").image,
    "coffee": skimage.data.coffee,
    "galaxies": skimage.data.hubble_deep_field,
}

MANY_MASKS = ("coins", "cells", "cat", "touching", "textured", "nested")
"""Those of which the demo model keeps twenty masks and more in the benchmark of automatic masks."""


def picture(name: str) -> NDArray[np.uint8]:
    """uint8 [H, W, 3], resized to about `PIXELS` pixels; its shape is the source's."""
    source = np.asarray(SOURCES[name]())
    if source.ndim == 2:
        source = np.repeat(source[..., None], 3, axis=2)
    height, width = source.shape[:2]
    scale = (PIXELS / (height * width)) ** 0.5
    size = (round(width * scale), round(height * scale))
    return np.asarray(Image.fromarray(np.ascontiguousarray(source[..., :3])).resize(size, Image.Resampling.BICUBIC))
