"""Pictures of every kind, made in memory, and Pillow's own decode of them to compare with."""

import io
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps

from segmentation.pictures.decode import decode_image
from segmentation.pictures.options import DecodeOptions

KINDS = ("JPEG", "PNG", "TIFF", "WebP", "BMP", "GIF")
HEIGHT, WIDTH = 23, 37


def scene(channels: int = 3, dtype: Any = np.uint8) -> NDArray[Any]:
    """A gradient with noise, [H, W, channels], over the type's whole range."""
    noise = np.random.default_rng(0).integers(0, 40, (HEIGHT, WIDTH, channels))
    ramp = np.linspace(0, 215, WIDTH)[None, :, None] * np.linspace(0.3, 1, HEIGHT)[:, None, None]
    return ((ramp + noise) / 255 * np.iinfo(dtype).max).astype(dtype)


def picture(mode: str) -> Image.Image:
    rgb = Image.fromarray(scene())
    if mode == "RGBA":
        rgb.putalpha(Image.fromarray(scene(1)[:, :, 0]))
        return rgb
    if mode == "LA":
        grey = rgb.convert("L")
        grey.putalpha(Image.fromarray(scene(1)[:, :, 0]))
        return grey
    return rgb.quantize(32) if mode == "P" else rgb.convert(mode)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff_of(values: NDArray[Any], **options: Any) -> bytes:
    """A TIFF by tifffile, whose writer knows kinds that Pillow's does not."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


TWELVE_BITS = (scene(1, np.uint16)[:, :, 0] >> 4) + 7
"""uint16 [H, W], as of a 12-bit camera."""


def stretched(values: NDArray[Any], percentiles: tuple[float, float] = (0.1, 99.9)) -> NDArray[np.uint8]:
    """uint8 of any shape: the values between two of their percentiles spread over 0 to 255, halves up."""
    low, high = np.percentile(values, percentiles)
    return np.floor(((values - low) / (high - low) * 255).clip(0, 255) + 0.5).astype(np.uint8)


LEVELS = stretched(TWELVE_BITS)
"""`TWELVE_BITS` as the server shows it by default."""


def pillow(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        image.info.pop("transparency", None)  # without effect on the colours; avoids Pillow's warning
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def decode(data: bytes, *, megapixels: float = 1.0, **options: Any) -> NDArray[np.uint8]:
    return decode_image(data, max_megapixels=megapixels, options=DecodeOptions(**options) if options else None)
