"""From the bytes of a picture to upright 8-bit RGB. Nothing of a picture is decoded before its size is known.

The default decode is Pillow's: the first frame, turned upright by its EXIF orientation, and `convert("RGB")`, which
drops alpha without blending, as nearly every user of SAM loads pictures. Beyond that: embedded colour profiles are
converted to sRGB, and samples of more than 8 bits are scaled as `segmentation.pictures.pixels` says.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

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

from segmentation.errors import ImageTooLarge, InvalidImage, InvalidRequest, SegmentationError
from segmentation.pictures.colour import to_srgb
from segmentation.pictures.decoded import DecodedPicture, PictureInfo, PixelSize
from segmentation.pictures.jpeg import has_too_many_scans
from segmentation.pictures.limits import require_size
from segmentation.pictures.options import AppliedDecode, DecodeOptions
from segmentation.pictures.pixels import Samples, to_rgb
from segmentation.pictures.signatures import PictureFormat, picture_format
from segmentation.pictures.tiff.read import read_tiff

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


@dataclass(frozen=True, slots=True)
class Rendering:
    """A picture as the model sees it.

    image: mode RGB, upright. Resize it as it is: an array of a large picture costs as much as its decoding.
    decode: how it was read.
    """

    image: Image.Image
    decode: AppliedDecode


@dataclass(frozen=True, slots=True)
class _Photograph:
    """A picture of 8 bits as Pillow decoded it, not yet upright.

    profile: the ICC profile of its colours.
    """

    image: Image.Image
    profile: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Content:
    """One page of a file, not yet upright: at least one of a photograph, which is shown, and samples."""

    info: PictureInfo
    orientation: int
    photograph: _Photograph | None = None
    samples: Samples | None = None


def decode_image(data: bytes, *, max_megapixels: float, options: DecodeOptions | None = None) -> NDArray[np.uint8]:
    """A picture as the model sees it: `open_image` as an array, uint8 [H, W, 3], RGB, upright, writable."""
    return np.array(open_image(data, max_megapixels=max_megapixels, options=options))


def open_image(data: bytes, *, max_megapixels: float, options: DecodeOptions | None = None) -> Image.Image:
    """A picture as the model sees it: the `image` of `render_image`."""
    return render_image(data, max_megapixels=max_megapixels, options=options).image


def render_image(data: bytes, *, max_megapixels: float, options: DecodeOptions | None = None) -> Rendering:
    """A picture as the model sees it, decoded. Safe from several threads.

    Args:
        data: an encoded picture.
        max_megapixels: the largest size, in millions of pixels; compared with the header.
        options: page, channels and scaling.

    Raises:
        InvalidImage: empty, truncated or damaged.
        UnsupportedMediaType: another kind of file.
        ImageTooLarge: too many pixels.
        InvalidRequest: a page or a channel that the picture does not have.
    """
    options = options or DecodeOptions()
    content = _read(data, options, int(max_megapixels * 1e6), every_channel=False)
    return _render(content, options)


def decode_picture(data: bytes, *, max_megapixels: float, options: DecodeOptions | None = None) -> DecodedPicture:
    """A picture as the model sees it and as it is stored, with what its file tells of it.

    Args, errors: as of `render_image`. Channels that are pages are all read.
    """
    options = options or DecodeOptions()
    content = _read(data, options, int(max_megapixels * 1e6), every_channel=True)
    rendering = _render(content, options)
    samples = content.samples or _samples(_shown(content))
    values = _turned(samples.values, content.orientation)
    valid = np.ones((1, 1, 1), np.bool_) if samples.valid is None else _turned(samples.valid, content.orientation)
    return DecodedPicture(
        np.asarray(rendering.image),
        values,
        np.broadcast_to(valid, values.shape),
        rendering.decode,
        _upright_info(content.info, content.orientation),
    )


def _read(data: bytes, options: DecodeOptions, limit: int, *, every_channel: bool) -> _Content:
    kind = picture_format(data)
    if kind == "JPEG" and has_too_many_scans(data):
        raise InvalidImage("the JPEG picture has too many scans to be an honest one; save it again")
    if kind == "TIFF":
        return _read_tiff(data, options, limit, every_channel=every_channel)
    return _read_with_pillow(data, kind, options, limit)


def _read_tiff(data: bytes, options: DecodeOptions, limit: int, *, every_channel: bool) -> _Content:
    picture = read_tiff(data, options, limit, every_channel=every_channel)
    samples = picture.samples
    if samples is None:
        content = _read_with_pillow(data, "TIFF", replace(options, page=picture.table), limit)
        return replace(content, info=replace(picture.info, channels=content.info.channels))
    photograph = None
    if not options.as_stored and picture.view is not None:
        photograph = _Photograph(picture.view, picture.profile)
    elif not options.as_stored and picture.profile and samples.values.dtype == np.uint8:
        photograph = _Photograph(Image.fromarray(to_rgb(samples, options)[0]), picture.profile)
    return _Content(picture.info, picture.orientation, photograph, samples)


def _read_with_pillow(data: bytes, kind: PictureFormat, options: DecodeOptions, limit: int) -> _Content:
    with _open(data, kind, options.page, limit) as image:
        _load(image, kind)
        orientation = _orientation(image)
        profile = image.info.get("icc_profile")
        samples = _samples(image) if options.as_stored or image.mode in WIDE_MODES else None
        info = PictureInfo(
            pages=1 if kind in {"JPEG", "BMP"} else None,
            channels=len(_stored_mode(image)) if samples is None else samples.values.shape[2],
            dtype="uint8" if samples is None else samples.values.dtype.name,
        )
        photograph = _Photograph(image, profile) if samples is None else None
        return _Content(info, orientation, photograph, samples)


def _shown(content: _Content) -> Image.Image:
    if content.photograph is None:
        raise ValueError("a picture without samples is a photograph")
    return content.photograph.image


def _render(content: _Content, options: DecodeOptions) -> Rendering:
    if content.photograph is None and content.samples is not None:
        rgb, decode = to_rgb(content.samples, options)
        return Rendering(_upright(Image.fromarray(rgb), content.orientation), decode)
    image = _convert(_shown(content), content.photograph.profile if content.photograph else None)
    channels = content.samples.shown if content.samples else (0, 1, 2) if content.info.channels >= 3 else (0,)
    return Rendering(_upright(image, content.orientation), AppliedDecode(options.page, channels))


def _open(data: bytes, kind: PictureFormat, page: int, limit: int) -> ImageFile:
    """The picture, at its page, not yet decoded."""
    try:
        image = READERS[kind](io.BytesIO(data))
        require_size(*image.size, limit)
        if page:
            _go_to(image, page, limit)
            require_size(*image.size, limit)
    except (SegmentationError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(f"the picture is too large; at most {limit / 1e6:g} megapixels are read") from error
    except Exception as error:  # a damaged file surfaces from Pillow as almost any type
        raise InvalidImage(f"the {kind} picture is truncated or damaged") from error
    return image


def _go_to(image: ImageFile, page: int, limit: int) -> None:
    # The frames of an animation build on each other: all the earlier ones are decoded on the way.
    if not isinstance(image, TiffImageFile) and (page + 1) * image.width * image.height > ANIMATION_BUDGET * limit:
        raise ImageTooLarge(f"frame {page} is too far into an animation of this size; send it as a picture")
    try:
        image.seek(page)
    except EOFError as error:
        raise InvalidRequest(f"the picture has no page {page}; pages count from 0", "/decode/page") from error


def _load(image: ImageFile, kind: PictureFormat) -> None:
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # as in `_open`
        raise InvalidImage(f"the {kind} picture is truncated or damaged") from error


def _convert(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Mode RGB, in sRGB."""
    image.info.pop("transparency", None)  # dropped with the palette; Pillow would warn
    if image.mode in {"La", "RGBa"}:
        image = image.convert(image.mode.upper())
    if not profile:
        return image if image.mode == "RGB" else image.convert("RGB")
    flat = {"1": "L", "L": "L", "LA": "L", "CMYK": "CMYK"}.get(image.mode, "RGB")
    return to_srgb(image.convert(flat), profile)


def _stored_mode(image: Image.Image) -> str:
    """The mode that holds the picture's own channels; palettes, CMYK and other colour models are RGB."""
    stored = {"1": "L", "L": "L", "LA": "LA", "La": "LA", "RGBA": "RGBA", "RGBa": "RGBA"}.get(image.mode, "RGB")
    return "RGBA" if stored == "RGB" and "transparency" in image.info else stored


def _samples(image: Image.Image) -> Samples:
    """The picture's own channels."""
    if image.mode in WIDE_MODES:
        return Samples(np.asarray(image)[:, :, None], shown=(0,), colour=False)
    stored = _stored_mode(image)
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


def _turned(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """`_upright` for an array [H, W, C]; a view."""
    if orientation >= 5:
        values = values.swapaxes(0, 1)
    if orientation in {3, 4, 7, 8}:
        values = values[::-1]
    return values[:, ::-1] if orientation in {2, 3, 6, 7} else values


def _upright_info(info: PictureInfo, orientation: int) -> PictureInfo:
    size = info.pixel_size
    if size is None or orientation < 5:
        return info
    return replace(info, pixel_size=PixelSize(size.y, size.x, size.source))
