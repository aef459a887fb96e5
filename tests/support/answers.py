"""Reading the answers of the HTTP API."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segmentation.masks.rle import decode
from segmentation.types import Rle


def pixels(mask: dict[str, Any]) -> NDArray[np.bool_]:
    """A mask in the `rle` format as an array, bool [H, W]."""
    height, width = mask["segmentation"]["size"]
    return np.asarray(decode(Rle((height, width), mask["segmentation"]["counts"])), bool)


def assert_same_masks(found: Sequence[dict[str, Any]], expected: Sequence[dict[str, Any]]) -> None:
    """The same masks to the pixel, with the same scores but for the last digits of a float32.

    On some processors MKL rounds a row of a product by its place in the batch.
    """
    for mask, other in zip(found, expected, strict=True):
        scores = {name: pytest.approx(other[name], abs=1e-6) for name in ("predicted_iou", "stability_score")}
        assert mask == {**other, **scores}
