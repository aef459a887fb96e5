"""Colour profiles: pictures of other colour spaces to sRGB, the space that SAM was trained in."""

import io
import itertools

import numpy as np
from PIL import Image, ImageCms

LATTICE = 6
"""Levels per channel of the colours by which a profile is compared with sRGB."""

SAME = 0.5
"""Levels. The largest difference would mislead: where a channel is near 0, sRGB's curve makes ten levels of nothing."""


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The picture in sRGB, mode RGB.

    A profile that moves the colours of a lattice by less than half a level in the mean is one of the many roundings of
    sRGB; it is ignored, and so is one that is damaged or of another colour space than the picture, as viewers do.

    Args:
        image: mode L, RGB or CMYK.
        profile: the ICC profile embedded in its file.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), image.mode, "RGB")
        colours = _lattice(image.mode)
        moved = np.asarray(transform.apply(colours), np.int16) - np.asarray(colours.convert("RGB"), np.int16)
        if np.abs(moved).mean() < SAME:
            return image.convert("RGB")
        return transform.apply(image)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image.convert("RGB")


def _lattice(mode: str) -> Image.Image:
    bands = len(Image.new(mode, (1, 1)).getbands())
    levels = np.linspace(0, 255, 256 if bands == 1 else LATTICE).round().astype(np.uint8)
    colours = np.array(list(itertools.product(levels, repeat=bands)), np.uint8)
    return Image.frombytes(mode, (len(colours), 1), colours.tobytes())
