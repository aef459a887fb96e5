"""Large arrays as JSON text, written without a Python object a number being kept."""

import numpy as np
from numpy.typing import NDArray


def float_lists(array: NDArray[np.float32]) -> str:
    """The array as nested JSON lists. Nine digits give back every float32 exactly."""
    if array.ndim == 1:
        return "[" + ("%.9g," * len(array) % tuple(array.tolist()))[:-1] + "]"
    return "[" + ",".join(float_lists(part) for part in array) + "]"


def bit_lists(mask: NDArray[np.bool_]) -> str:
    """The mask, bool [H, W], as a JSON list of rows of 0 and 1."""
    height, width = mask.shape
    text = np.full((height, 2 * width + 2), ord(","), np.uint8)
    text[:, 0] = ord("[")
    text[:, 1:-1:2] = mask.astype(np.uint8) + ord("0")
    text[:, -2] = ord("]")
    return "[" + text.tobytes().decode("ascii")[:-1] + "]"
