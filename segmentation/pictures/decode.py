"""From the bytes of a picture to upright 8-bit RGB. Nothing of a picture is decoded before its size is known.

The default decode is Pillow's: the first frame, turned upright by its EXIF orientation, and `convert("RGB")`, which
drops alpha without blending, as nearly every user of SAM loads pictures. Beyond that: embedded colour profiles are
converted to sRGB, and grey samples of more than 8 bits are scaled as `segmentation.pictures.pixels` says.
"""

import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from segmentation.errors import ImageTooLarge, InvalidImage, InvalidRequest, SegmentationError, UnsupportedMediaType
from segmentation.pictures import tiff
from segmentation.pictures.colour import to_srgb
from segmentation.pictures.jpeg import has_too_many_scans
from segmentation.pictures.pixels import DecodeOptions, Samples, to_rgb
from segmentation.pictures.signatures import PictureFormat, picture_format

# Opened by class: `Image.open` has a limit of its own, which is global, and guesses among more formats.
READERS: Mapping[PictureFormat, type[ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "TIFF": TiffImageFile,
    "WebP": WebPImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
}

WIDE_MODES = frozenset({"I;16", "I;16B", "I;16L", "I", "F"})
"""Pillow's modes of one channel of more than 8 bits."""

ANIMATION_BUDGET = 16
"""How many pictures of the largest size may be decoded to reach one frame of an animation."""

ORIENTATION, BITS, SAMPLES_PER_PIXEL = 274, 258, 277
TILE_WIDTH, TILE_HEIGHT, SAMPLE_FORMAT, DNG_VERSION = 322, 323, 339, 50706

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


def decode_image(data: bytes, *, max_megapixels: float, options: DecodeOptions | None = None) -> NDArray[np.uint8]:
    """A picture as the model sees it: `open_image` as an array, uint8 [H, W, 3], RGB, upright, writable."""
    return np.array(open_image(data, max_megapixels=max_megapixels, options=options))


def open_image(data: bytes, *, max_megapixels: float, options: DecodeOptions | None = None) -> Image.Image:
    """A picture as the model sees it, decoded. Safe from several threads.

    Args:
        data: an encoded picture: JPEG, PNG, TIFF, WebP, BMP or GIF.
        max_megapixels: the largest size, in millions of pixels; compared with the header.
        options: page, channels and scaling.

    Returns:
        Mode RGB, upright. Resize it as it is: an array of a large picture costs as much as its decoding.

    Raises:
        InvalidImage: empty, truncated or damaged.
        UnsupportedMediaType: another kind of file.
        ImageTooLarge: too many pixels.
        InvalidRequest: a page or a channel that the picture does not have.
    """
    options = options or DecodeOptions()
    limit = int(max_megapixels * 1e6)
    kind = picture_format(data)
    if kind == "JPEG" and has_too_many_scans(data):
        raise InvalidImage("the JPEG picture has too many scans to be an honest one; save it again")
    image = _open(data, kind, options.page, limit)
    if image is None or _loses_samples(image, options):
        samples, orientation = tiff.read_page(data, options.page, limit)
        return _upright(Image.fromarray(to_rgb(samples, options)), orientation)
    with image:
        _load(image, kind)
        orientation = _orientation(image)
        if options.as_stored or image.mode in WIDE_MODES:
            return _upright(Image.fromarray(to_rgb(_samples(image), options)), orientation)
        return _upright(_convert(image), orientation)


def _open(data: bytes, kind: PictureFormat, page: int, limit: int) -> ImageFile | None:
    """The picture, at its page, not yet decoded; None for a TIFF of a kind that Pillow does not know."""
    try:
        image = READERS[kind](io.BytesIO(data))
        _require_size(image, limit)
        if page:
            _go_to(image, page, limit)
            _require_size(image, limit)
    except (SegmentationError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(f"the picture is too large; at most {limit / 1e6:g} megapixels are read") from error
    except Exception as error:  # a damaged file surfaces from Pillow as almost any type
        if kind == "TIFF" and isinstance(error, SyntaxError):
            return None
        raise InvalidImage(f"the {kind} picture is truncated or damaged") from error
    return image


def _require_size(image: ImageFile, limit: int) -> None:
    width, height = image.size
    if isinstance(image, TiffImageFile):
        if DNG_VERSION in image.tag_v2:
            raise UnsupportedMediaType("this is a camera's raw picture; convert it to JPEG or PNG")
        tile = image.tag_v2.get(TILE_WIDTH, 0) * image.tag_v2.get(TILE_HEIGHT, 0)
    else:
        tile = 0
    if min(width, height) < 1:
        raise InvalidImage("the picture has no pixels")
    if width * height > limit or tile > max(limit, 1 << 20):
        raise ImageTooLarge(f"the picture has {width} x {height} pixels; at most {limit / 1e6:g} megapixels are read")


def _go_to(image: ImageFile, page: int, limit: int) -> None:
    # The frames of an animation build on each other: all the earlier ones are decoded on the way.
    if not isinstance(image, TiffImageFile) and (page + 1) * image.width * image.height > ANIMATION_BUDGET * limit:
        raise ImageTooLarge(f"frame {page} is too far into an animation of this size; send it as a picture")
    try:
        image.seek(page)
    except EOFError as error:
        raise InvalidRequest(f"the picture has no page {page}; pages count from 0", "/decode/page") from error


def _loses_samples(image: ImageFile, options: DecodeOptions) -> bool:
    """Whether Pillow would drop something of a TIFF that is wanted: channels, or the lower bits of 16-bit colour."""
    if not isinstance(image, TiffImageFile):
        return False
    drops_bits = max(image.tag_v2.get(BITS, (1,))) > 8 and image.mode not in WIDE_MODES
    drops_channels = image.tag_v2.get(SAMPLES_PER_PIXEL, 1) > len(image.getbands())
    return (options.as_stored and drops_bits) or (drops_channels and (options.as_stored or image.mode != "RGB"))


def _load(image: ImageFile, kind: PictureFormat) -> None:
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # as in `_open`
        raise InvalidImage(f"the {kind} picture is truncated or damaged") from error


def _convert(image: Image.Image) -> Image.Image:
    """Mode RGB, in sRGB."""
    profile = image.info.get("icc_profile")
    image.info.pop("transparency", None)  # dropped with the palette; Pillow would warn
    if image.mode == "La":
        image = image.convert("LA")
    if not profile:
        return image if image.mode == "RGB" else image.convert("RGB")
    flat = {"1": "L", "L": "L", "LA": "L", "CMYK": "CMYK"}.get(image.mode, "RGB")
    return to_srgb(image.convert(flat), profile)


def _samples(image: Image.Image) -> Samples:
    """The picture's own channels; palettes, CMYK and other colour models as RGB."""
    if image.mode in WIDE_MODES:
        values = np.asarray(image)
        if isinstance(image, TiffImageFile) and image.mode == "I" and image.tag_v2.get(SAMPLE_FORMAT, (1,)) == (1,):
            values = values.view(np.uint32) if image.tag_v2.get(BITS) == (32,) else values
        return Samples(values[:, :, None], shown=(0,), colour=False)
    stored = {"1": "L", "L": "L", "LA": "LA", "La": "LA", "RGBA": "RGBA", "RGBa": "RGBA"}.get(image.mode, "RGB")
    if stored == "RGB" and "transparency" in image.info:
        stored = "RGBA"
    values = np.asarray(image.convert(stored)).reshape(image.height, image.width, -1)
    colour = stored.startswith("RGB")
    return Samples(values, shown=(0, 1, 2) if colour else (0,), colour=colour)


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 where EXIF is damaged, and for TIFFs, which Pillow has already turned."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # metadata that can't be read do not make a picture unreadable
        return 1
    return value if value in range(1, 9) else 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turned so that row 0 is the top and column 0 the left; the picture itself if it is so already."""
    turn = TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)
