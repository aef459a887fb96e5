"""Turning a picture upright, by its EXIF orientation: 1 to 8, as TIFF has it too."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from segmentation.pictures.decoded import PictureInfo, PixelSize

ORIENTATION = 274

TURNS: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture of an EXIF orientation upright."""


def exif_orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 where EXIF is damaged, and for TIFFs, which Pillow has already turned."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # metadata that can't be read do not make a picture unreadable
        return 1
    return value if value in range(1, 9) else 1


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turned so that row 0 is the top and column 0 the left; the picture itself if it is so already."""
    turn = TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def turned(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """`upright` for an array [H, W, C]; a view."""
    if orientation >= 5:
        values = values.swapaxes(0, 1)
    if orientation in {3, 4, 7, 8}:
        values = values[::-1]
    return values[:, ::-1] if orientation in {2, 3, 6, 7} else values


def upright_info(info: PictureInfo, orientation: int) -> PictureInfo:
    """What is known of the picture once it is upright."""
    size = info.pixel_size
    if size is None or orientation < 5:
        return info
    return replace(info, pixel_size=PixelSize(size.y, size.x, size.source))
