"""A decoded picture, whole: what the model sees, what is stored, and how large a pixel is. Plain data."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segmentation.pictures.options import AppliedDecode


@dataclass(frozen=True, slots=True)
class PixelSize:
    """The size of a stored pixel by the file's metadata, before the picture is turned upright.

    x, y: micrometres from one pixel's centre to the next.
    source: "ome" (PhysicalSizeX and Y), "imagej" (the unit of ImageJ's metadata with TIFF's resolution), or "tiff" (the
        resolution in inches or centimetres, which many programs fill with the resolution of a screen or printer).
    """

    x: float
    y: float
    source: Literal["ome", "imagej", "tiff"]


@dataclass(frozen=True, slots=True)
class PictureInfo:
    """What a file holds beside the pixels that were read.

    pages: how many `page` counts; None where only decoding all of an animation would tell.
    channels: how many `channels` counts.
    channel_names: by the file's metadata; empty where there are none.
    dtype: numpy's name of the stored samples' type.
    pixel_size: of the upright picture; None where the file does not tell.
    """

    pages: int | None
    channels: int
    dtype: str
    channel_names: tuple[str, ...] = ()
    pixel_size: PixelSize | None = None


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """One page of a picture, upright.

    rgb: uint8 [H, W, 3], as the model sees it.
    samples: [H, W, C], all channels as stored, alpha last if there is one; palettes, CMYK and other colour models as
        RGB.
    valid: bool [H, W, C]: False for NaN, infinities, nodata, and masked pixels. May be a read-only broadcast view.
    decode: how `rgb` was made of `samples`.
    info: pages, channels and pixel size of the file.
    """

    rgb: NDArray[np.uint8]
    samples: NDArray[Any]
    valid: NDArray[np.bool_]
    decode: AppliedDecode
    info: PictureInfo
