"""Files that Pillow reads, opened without decoding: none of them can run code or read another file."""

import importlib
import io
from collections.abc import Iterator, Mapping
from typing import Any

from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from segmentation.errors import ImageTooLarge, InvalidImage, InvalidRequest, SegmentationError
from segmentation.pictures.limits import require_size
from segmentation.pictures.signatures import FORMATS_READ, PictureFormat

# Opened by class: `Image.open` has a limit of its own, which is global, and guesses among more formats.
_READERS: Mapping[PictureFormat, type[ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "TIFF": TiffImageFile,
    "WebP": WebPImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
}

_NAMED: Mapping[PictureFormat, tuple[str, str]] = {
    "AVIF": ("Avif", "AVIF"),
    "JPEG 2000": ("Jpeg2K", "JPEG2000"),
    "PNM": ("Ppm", "PPM"),
}
"""Format -> (Pillow's module, Pillow's name), imported when one comes."""

_RARE = (
    ("Psd", "PSD"),
    ("Ico", "ICO"),
    ("Cur", "CUR"),
    ("Icns", "ICNS"),
    ("Dds", "DDS"),
    ("Qoi", "QOI"),
    ("Bmp", "DIB"),
    ("Sgi", "SGI"),
    ("Sun", "SUN"),
    ("Pcx", "PCX"),
    ("Dcx", "DCX"),
    ("Fits", "FITS"),
    ("Fli", "FLI"),
    ("Msp", "MSP"),
    ("Xbm", "XBM"),
    ("Xpm", "XPM"),
    ("Blp", "BLP"),
    ("Ftex", "FTEX"),
    ("Gbr", "GBR"),
    ("McIdas", "MCIDAS"),
    ("Pixar", "PIXAR"),
    ("XVThumb", "XVTHUMB"),
    # Without a signature: whatever passes their own checks.
    ("Tga", "TGA"),
    ("Spider", "SPIDER"),
    ("Pcd", "PCD"),
)

ANIMATION_BUDGET = 16
"""How many pictures of the largest size may be decoded to reach one frame of an animation."""


def open_file(data: bytes, kind: PictureFormat, page: int, limit: int) -> ImageFile:
    """The picture at its page, not yet decoded.

    Raises:
        InvalidImage: damaged, or no picture that Pillow knows.
        ImageTooLarge: by its header.
        InvalidRequest: no such page.
    """
    try:
        image = _open(data, kind)
        require_size(*image.size, limit)
        if page:
            _go_to(image, page, limit)
            require_size(*image.size, limit)
    except (SegmentationError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(f"the picture is too large; at most {limit / 1e6:g} megapixels are read") from error
    except Exception as error:  # a damaged file surfaces from Pillow as almost any type
        raise damaged(kind) from error
    return image


def load(image: ImageFile, kind: PictureFormat) -> None:
    """Decodes the picture.

    Raises:
        InvalidImage: it is truncated or damaged.
    """
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # as above
        raise damaged(kind) from error


def damaged(kind: PictureFormat) -> InvalidImage:
    """The error of a picture of this kind that can't be read."""
    return InvalidImage(f"the {kind} picture is truncated or damaged" if kind != "other" else _UNKNOWN)


_UNKNOWN = f"these bytes are no picture; {FORMATS_READ}"


def _open(data: bytes, kind: PictureFormat) -> ImageFile:
    if kind in _READERS:
        return _READERS[kind](io.BytesIO(data))
    if kind in _NAMED:
        factory, _ = _plugin(*_NAMED[kind])
        return _image_file(factory(io.BytesIO(data), ""))
    for factory in _accepting(data):
        try:
            image = factory(io.BytesIO(data), "")
        except (SyntaxError, IndexError, TypeError, KeyError, ValueError, EOFError, OSError):
            continue  # as `Image.open` does: not of this format
        return _image_file(image)
    raise InvalidImage(_UNKNOWN)


def _accepting(data: bytes) -> Iterator[Any]:
    for module, name in _RARE:
        factory, accept = _plugin(module, name)
        if accept is None or accept(data[:16]) is True:
            yield factory


def _plugin(module: str, name: str) -> tuple[Any, Any]:
    importlib.import_module(f"PIL.{module}ImagePlugin")
    return Image.OPEN[name]


def _image_file(image: Any) -> ImageFile:
    if not isinstance(image, ImageFile):
        raise InvalidImage(_UNKNOWN)
    return image


def _go_to(image: ImageFile, page: int, limit: int) -> None:
    # The frames of an animation build on each other: all the earlier ones are decoded on the way.
    if not isinstance(image, TiffImageFile) and (page + 1) * image.width * image.height > ANIMATION_BUDGET * limit:
        raise ImageTooLarge(f"frame {page} is too far into an animation of this size; send it as a picture")
    try:
        image.seek(page)
    except EOFError as error:
        raise InvalidRequest(f"the picture has no page {page}; pages count from 0", "/decode/page") from error
