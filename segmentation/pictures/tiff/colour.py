"""What the samples of a TIFF mean, by its photometric interpretation. Knows tags, not pixels' layout."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tifffile import COMPRESSION, PHOTOMETRIC, TiffPage

from segmentation.errors import InvalidImage, UnsupportedMediaType

INK_SET = 332
ALPHA = (1, 2)
"""Extra samples that are opacity: associated and unassociated."""

JPEG = {COMPRESSION.OJPEG, COMPRESSION.JPEG, COMPRESSION.JPEG_LOSSY, COMPRESSION.ALT_JPEG}
RGB_DECODED = JPEG | {
    COMPRESSION.JPEG2000,
    COMPRESSION.APERIO_JP2000_RGB,
    COMPRESSION.JPEG_2000_LOSSY,
    COMPRESSION.WEBP,
    COMPRESSION.WEBP_DEPRECATED,
    COMPRESSION.JPEGXL,
    COMPRESSION.JPEGXL_DNG,
    COMPRESSION.JPEGXR,
    COMPRESSION.JPEGXR_NDPI,
}
"""Compressions whose decoders turn YCbCr into RGB themselves."""

Kind = Literal["channels", "rgb", "palette", "cmyk", "pillow"]


@dataclass(frozen=True, slots=True)
class Colour:
    """How the samples of a pixel are shown.

    kind: "pillow" for colour models that Pillow's libtiff converts: YCbCr that is not JPEG, and L*a*b*.
    alpha: whether the last sample is opacity.
    inverted: the lowest level is white.
    """

    kind: Kind
    alpha: bool = False
    inverted: bool = False


def colour_of(page: TiffPage, *, is_imagej: bool) -> Colour:
    """How the page's samples are shown.

    Raises:
        InvalidImage: by a colour model that is not read.
        UnsupportedMediaType: a camera's raw mosaic.
    """
    samples, photometric = page.samplesperpixel, page.photometric
    alpha = bool(page.extrasamples) and page.extrasamples[-1] in ALPHA
    colours = samples - len(page.extrasamples)
    match photometric:
        case PHOTOMETRIC.MINISWHITE:
            return Colour("channels", alpha, inverted=True)
        case PHOTOMETRIC.RGB if colours >= 3:
            return Colour("rgb", alpha)
        case PHOTOMETRIC.YCBCR if page.compression in RGB_DECODED:
            return Colour("rgb", alpha)
        case PHOTOMETRIC.YCBCR | PHOTOMETRIC.CIELAB | PHOTOMETRIC.ICCLAB:
            if page.bitspersample != 8:
                raise InvalidImage(
                    f"{PHOTOMETRIC(photometric).name} pictures of more than 8 bits are not read; save it as RGB"
                )
            return Colour("pillow")
        case PHOTOMETRIC.PALETTE if page.colormap is not None and samples == 1 and not is_imagej:
            return Colour("palette")
        case PHOTOMETRIC.SEPARATED if colours == 4 and page.tags.valueof(INK_SET, default=1) == 1:
            return Colour("cmyk", alpha)
        case PHOTOMETRIC.CFA:
            raise UnsupportedMediaType("this is a camera's raw picture; convert it to JPEG or PNG")
        case PHOTOMETRIC.ITULAB | PHOTOMETRIC.LOGL | PHOTOMETRIC.LOGLUV:
            raise InvalidImage(
                f"TIFF pictures of the colour model {PHOTOMETRIC(photometric).name} are not read; save it as RGB"
            )
    return Colour("channels", alpha)


def apply_palette(indices: NDArray[Any], colormap: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] of indices [H, W] into TIFF's colour map, uint16 [3, N]. Old writers fill its low bytes only."""
    colours = (colormap if colormap.max() < 256 else colormap >> 8).astype(np.uint8).T
    return np.asarray(colours[np.minimum(indices, len(colours) - 1)])


def cmyk_to_rgb(cmyk: NDArray[Any]) -> NDArray[Any]:
    """[H, W, 3] in the type of [H, W, 4] unsigned or float samples: (1 - ink) (1 - black), without a profile."""
    highest = float(np.iinfo(cmyk.dtype).max) if cmyk.dtype.kind in "ui" else 1.0
    light = 1 - cmyk.astype(np.float64) / highest
    rgb = light[:, :, :3] * light[:, :, 3:] * highest
    return np.asarray((rgb + 0.5 if cmyk.dtype.kind in "ui" else rgb).astype(cmyk.dtype))
