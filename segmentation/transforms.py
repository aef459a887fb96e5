"""Between the original frame and the model's square input. Knows pictures and coordinates, no runtime.

The same arithmetic as `segment_anything.utils.transforms.ResizeLongestSide`, which SAM's weights were trained with; or
both sides resized to the model's, as MedSAM's were.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segmentation.types import Size


@dataclass(frozen=True, slots=True)
class InputFrame:
    """The model's square input.

    side: in pixels.
    squash: False where a picture's long side is resized to `side` and the rest is padded; True where both sides are.
    """

    side: int
    squash: bool = False


def input_size(size: Size, frame: InputFrame) -> Size:
    """Size in the input frame of a picture of `size`.

    SAM rounds the short side to the nearest pixel, which gives 0 for very long pictures; here it is at least 1.
    """
    if frame.squash:
        return frame.side, frame.side
    scale = frame.side * 1.0 / max(size)
    height, width = (max(1, int(length * scale + 0.5)) for length in size)
    return height, width


def resize_image(image: NDArray[np.uint8] | Image.Image, frame: InputFrame) -> NDArray[np.uint8]:
    """The picture in the input frame, without padding.

    Pillow's antialiased bilinear filter, as SAM's; its bicubic one where the picture is squashed, as MedSAM's.

    Args:
        image: uint8 [H, W, 3], RGB; or Pillow's, of mode RGB, which for a large picture saves two copies.

    Returns:
        uint8 [h, w, 3] with (h, w) = `input_size((H, W), frame)`.
    """
    size = (image.height, image.width) if isinstance(image, Image.Image) else (image.shape[0], image.shape[1])
    height, width = input_size(size, frame)
    if (height, width) == size:
        return np.asarray(image)
    whole = image if isinstance(image, Image.Image) else Image.fromarray(np.ascontiguousarray(image))
    kernel = Image.Resampling.BICUBIC if frame.squash else Image.Resampling.BILINEAR
    return np.asarray(whole.resize((width, height), kernel))


def pad_to_square(resized: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The picture at the top left of a zero square, uint8 [side, side, 3]; what lies beyond it is never read."""
    square = np.zeros((side, side, 3), np.uint8)
    square[: resized.shape[0], : resized.shape[1]] = resized
    return square


def to_input_frame(coords: NDArray[np.floating], size: Size, frame: InputFrame) -> NDArray[np.float64]:
    """Coordinates (x, y) in the last axis, from pixels of a picture of `size` to pixels of its input frame."""
    height, width = input_size(size, frame)
    return np.asarray(coords, np.float64) * (width / size[1], height / size[0])
