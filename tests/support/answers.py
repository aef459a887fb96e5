"""Reading the answers of the HTTP API."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.rle import decode
from segmentation.types import Rle


def pixels(mask: dict[str, Any]) -> NDArray[np.bool_]:
    """A mask in the `rle` format as an array, bool [H, W]."""
    height, width = mask["segmentation"]["size"]
    return np.asarray(decode(Rle((height, width), mask["segmentation"]["counts"])), bool)
