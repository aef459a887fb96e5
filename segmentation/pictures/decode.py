"""From the bytes of a picture to upright 8-bit RGB. Nothing of a picture is decoded before its size is known.

The default decode is Pillow's: the first frame, turned upright by its EXIF orientation, and `convert("RGB")`, which
drops alpha without blending, as nearly every user of SAM loads pictures. Beyond that: embedded colour profiles are
converted to sRGB, and samples of more than 8 bits are scaled as `segmentation.pictures.pixels` says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segmentation.errors import InvalidImage
from segmentation.pictures.colour import to_srgb
from segmentation.pictures.decoded import DecodedPicture, PictureInfo, PixelSize
from segmentation.pictures.jpeg import END, JpegMarkers, read_markers
from segmentation.pictures.limits import require_size
from segmentation.pictures.options import AppliedDecode, DecodeOptions
from segmentation.pictures.pillow import load, open_file
from segmentation.pictures.pixels import Samples, to_rgb
from segmentation.pictures.png import read_chunks
from segmentation.pictures.signatures import PictureFormat, picture_format
from segmentation.pictures.tiff.read import read_tiff
from segmentation.pictures.wide import is_wide, read_png16, read_rare_jpeg, read_wide

WIDE_MODES = frozenset({"I;16", "I;16B", "I;16L", "I", "F"})
"""Pillow's modes of one channel of more than 8 bits."""

ORIENTATION = 274

FILLER = bytes(range(1, 250)) * 4
"""Bytes that no decoder takes for a marker."""

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
    info: what its file holds beside it.
    """

    image: Image.Image
    decode: AppliedDecode
    info: PictureInfo


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
        rendering.info,
    )


def _read(data: bytes, options: DecodeOptions, limit: int, *, every_channel: bool) -> _Content:
    kind = picture_format(data)
    if kind == "TIFF":
        return _read_tiff(data, options, limit, every_channel=every_channel)
    if kind == "JPEG":
        return _read_jpeg(data, options, limit)
    if kind == "PNG":
        return _read_png(data, options, limit)
    if not options.page and is_wide(data, kind):
        if kind in {"AVIF", "JPEG 2000"}:
            with open_file(data, kind, 0, limit):
                pass
        return _of_samples(read_wide(data, kind, limit))
    return _read_with_pillow(data, kind, options, limit)


def _read_jpeg(data: bytes, options: DecodeOptions, limit: int) -> _Content:
    markers = read_markers(data)
    if not markers.pillow:
        return _of_samples(read_rare_jpeg(markers.data, markers, limit))
    if markers.ended or not markers.scans:
        return _read_with_pillow(markers.data, "JPEG", options, limit)
    content = _read_with_pillow(markers.data + END, "JPEG", options, limit)
    _require_whole(content, markers, options, limit)
    return content


def _pixels(content: _Content) -> NDArray[Any]:
    return np.asarray(_shown(content)) if content.samples is None else content.samples.values


def _require_whole(content: _Content, markers: JpegMarkers, options: DecodeOptions, limit: int) -> None:
    """Refuses a JPEG without an end marker that ends within its samples.

    Behind samples that are whole, more bytes change nothing; bytes in the place of missing samples do.
    """
    other = _read_with_pillow(markers.data + FILLER + END, "JPEG", options, limit)
    if not np.array_equal(_pixels(content), _pixels(other)):
        raise InvalidImage("the JPEG picture is truncated or damaged")


def _read_png(data: bytes, options: DecodeOptions, limit: int) -> _Content:
    chunks = read_chunks(data)
    if chunks.bits == 16 and not options.page:
        require_size(chunks.width, chunks.height, limit)
        with open_file(chunks.data, "PNG", 0, limit) as image:
            orientation = _orientation(image)
        return _of_samples(read_png16(chunks.data, chunks.colour_type), orientation)
    content = _read_with_pillow(chunks.data, "PNG", options, limit)
    content = replace(content, info=replace(content.info, pages=None if chunks.animated else 1))
    if content.photograph is None or chunks.profile is None:
        return content
    return replace(content, photograph=replace(content.photograph, profile=chunks.profile))


def _of_samples(samples: Samples, orientation: int = 1) -> _Content:
    info = PictureInfo(1, samples.values.shape[2], samples.values.dtype.name)
    return _Content(info, orientation, None, samples)


def _read_tiff(data: bytes, options: DecodeOptions, limit: int, *, every_channel: bool) -> _Content:
    picture = read_tiff(data, options, limit, every_channel=every_channel)
    samples = picture.samples
    if samples is None:
        content = _read_with_pillow(data, "TIFF", replace(options, page=picture.table), limit)
        return replace(content, info=replace(picture.info, channels=content.info.channels))
    photograph = None
    if not options.as_stored and picture.view is not None:
        photograph = _Photograph(picture.view, picture.profile)
    elif not options.as_stored and _is_plain_grey(samples):
        photograph = _Photograph(Image.fromarray(samples.values[:, :, 0]), picture.profile)
    elif not options.as_stored and picture.profile and samples.values.dtype == np.uint8:
        photograph = _Photograph(Image.fromarray(to_rgb(samples, options)[0]), picture.profile)
    return _Content(picture.info, picture.orientation, photograph, samples)


def _is_plain_grey(samples: Samples) -> bool:
    """Whether Pillow may make RGB of it, which is twice as fast as NumPy."""
    values = samples.values
    return values.dtype == np.uint8 and values.shape[2] == 1 and samples.bits == 8 and not samples.inverted


def _read_with_pillow(data: bytes, kind: PictureFormat, options: DecodeOptions, limit: int) -> _Content:
    with open_file(data, kind, options.page, limit) as image:
        load(image, kind)
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
    info = _upright_info(content.info, content.orientation)
    if content.photograph is None and content.samples is not None:
        rgb, decode = to_rgb(content.samples, options)
        return Rendering(_upright(Image.fromarray(rgb), content.orientation), decode, info)
    image = _convert(_shown(content), content.photograph.profile if content.photograph else None)
    channels = content.samples.shown if content.samples else (0, 1, 2) if content.info.channels >= 3 else (0,)
    return Rendering(_upright(image, content.orientation), AppliedDecode(options.page, channels), info)


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
