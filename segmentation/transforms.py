"""Between the original frame and the model's square input. Knows pictures and coordinates, no runtime.

The same arithmetic as `segment_anything.utils.transforms.ResizeLongestSide`, which the weights were trained with.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segmentation.types import Size


def input_size(size: Size, side: int) -> Size:
    """Size in the input frame of a picture whose long side becomes `side`.

    SAM rounds the short side to the nearest pixel, which gives 0 for very long pictures; here it is at least 1.
    """
    scale = side * 1.0 / max(size)
    height, width = (max(1, int(length * scale + 0.5)) for length in size)
    return height, width


def resize_image(image: NDArray[np.uint8] | Image.Image, side: int) -> NDArray[np.uint8]:
    """The picture with its long side resized to `side`: Pillow's antialiased bilinear filter, as SAM's.

    Args:
        image: uint8 [H, W, 3], RGB; or Pillow's, of mode RGB, which for a large picture saves two copies.

    Returns:
        uint8 [h, w, 3] with (h, w) = `input_size((H, W), side)`.
    """
    size = (image.height, image.width) if isinstance(image, Image.Image) else (image.shape[0], image.shape[1])
    height, width = input_size(size, side)
    if (height, width) == size:
        return np.asarray(image)
    whole = image if isinstance(image, Image.Image) else Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(whole.resize((width, height), Image.Resampling.BILINEAR))


def pad_to_square(resized: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The picture at the top left of a zero square, uint8 [side, side, 3]; what lies beyond it is never read."""
    square = np.zeros((side, side, 3), np.uint8)
    square[: resized.shape[0], : resized.shape[1]] = resized
    return square


def to_input_frame(coords: NDArray[np.floating], size: Size, side: int) -> NDArray[np.float64]:
    """Coordinates (x, y) in the last axis, from pixels of a picture of `size` to pixels of its input frame."""
    height, width = input_size(size, side)
    return np.asarray(coords, np.float64) * (width / size[1], height / size[0])
