"""One page of a picture's file as it is stored, by whichever library keeps all of it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segmentation.errors import InvalidImage, InvalidRequest
from segmentation.pictures.decoded import PictureInfo
from segmentation.pictures.jpeg import END, JpegMarkers, read_markers
from segmentation.pictures.limits import require_size
from segmentation.pictures.options import DecodeOptions
from segmentation.pictures.pillow import load, open_file
from segmentation.pictures.pixels import Samples, to_rgb
from segmentation.pictures.plain import pnm_reader, read_fits
from segmentation.pictures.png import read_chunks
from segmentation.pictures.signatures import PictureFormat, picture_format
from segmentation.pictures.tiff.read import read_tiff
from segmentation.pictures.upright import exif_orientation
from segmentation.pictures.wide import is_wide, read_png16, read_rare_jpeg, read_wide

WIDE_MODES = frozenset({"I;16", "I;16B", "I;16L", "I", "F"})
"""Pillow's modes of one channel of more than 8 bits."""

FILLER = bytes(range(1, 250)) * 4
"""Bytes that no decoder takes for a marker."""


@dataclass(frozen=True, slots=True)
class Photograph:
    """A picture of 8 bits as Pillow decoded it, not yet upright.

    profile: the ICC profile of its colours.
    """

    image: Image.Image
    profile: bytes | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """One page of a file, not yet upright: at least one of a photograph, which is shown, and samples."""

    info: PictureInfo
    orientation: int
    photograph: Photograph | None = None
    samples: Samples | None = None


def read_content(data: bytes, options: DecodeOptions, limit: int, *, every_channel: bool) -> Content:
    """The page that the options choose.

    Args:
        limit: the most pixels that a picture may have, by its header.
        every_channel: also channels stored as pages that the options do not show.

    Raises:
        InvalidImage, UnsupportedMediaType, ImageTooLarge, InvalidRequest: as of `render_image`.
    """
    kind = picture_format(data)
    if kind == "TIFF":
        return _read_tiff(data, options, limit, every_channel=every_channel)
    if kind == "JPEG":
        return _read_jpeg(data, options, limit)
    if kind == "PNG":
        return _read_png(data, options, limit)
    if kind == "FITS":
        samples, pages = read_fits(data, options.page, limit)
        return _of_samples(samples, pages=pages)
    if kind == "PNM" and (read_pnm := pnm_reader(data)) is not None:
        _require_first(options)
        return _of_samples(read_pnm(data, limit))
    if is_wide(data, kind):
        _require_first(options)
        orientation = _checked_orientation(data, kind, limit)
        return _of_samples(read_wide(data, kind, limit), orientation)
    return _read_with_pillow(data, kind, options, limit)


def _require_first(options: DecodeOptions) -> None:
    if options.page:
        raise InvalidRequest("of pictures of this kind with more than 8 bits, page 0 alone is read", "/decode/page")


def _checked_orientation(data: bytes, kind: PictureFormat, limit: int) -> int:
    """The orientation of AVIF. Checks its size, and that of JPEG 2000. The decoder of JPEG XL turns by itself."""
    if kind == "JPEG XL":
        return 1
    with open_file(data, kind, 0, limit) as image:
        return exif_orientation(image)


def _read_jpeg(data: bytes, options: DecodeOptions, limit: int) -> Content:
    markers = read_markers(data)
    if not markers.pillow:
        return _of_samples(read_rare_jpeg(markers.data, markers, limit))
    if markers.ended or not markers.scans:
        return _read_with_pillow(markers.data, "JPEG", options, limit)
    content = _read_with_pillow(markers.data + END, "JPEG", options, limit)
    _require_whole(content, markers, options, limit)
    return content


def _pixels(content: Content) -> NDArray[Any]:
    return np.asarray(shown_image(content)) if content.samples is None else content.samples.values


def _require_whole(content: Content, markers: JpegMarkers, options: DecodeOptions, limit: int) -> None:
    """Refuses a JPEG without an end marker that ends within its samples.

    Behind samples that are whole, more bytes change nothing; bytes in the place of missing samples do.
    """
    other = _read_with_pillow(markers.data + FILLER + END, "JPEG", options, limit)
    if not np.array_equal(_pixels(content), _pixels(other)):
        raise InvalidImage("the JPEG picture is truncated or damaged")


def _read_png(data: bytes, options: DecodeOptions, limit: int) -> Content:
    chunks = read_chunks(data)
    if chunks.bits == 16:
        _require_first(options)
        require_size(chunks.width, chunks.height, limit)
        with open_file(chunks.data, "PNG", 0, limit) as image:
            orientation = exif_orientation(image)
        return _of_samples(read_png16(chunks.data, chunks.colour_type), orientation)
    content = _read_with_pillow(chunks.data, "PNG", options, limit)
    content = replace(content, info=replace(content.info, pages=None if chunks.animated else 1))
    if content.photograph is None or chunks.profile is None:
        return content
    return replace(content, photograph=replace(content.photograph, profile=chunks.profile))


def _of_samples(samples: Samples, orientation: int = 1, pages: int = 1) -> Content:
    info = PictureInfo(pages, samples.values.shape[2], samples.values.dtype.name)
    return Content(info, orientation, None, samples)


def _read_tiff(data: bytes, options: DecodeOptions, limit: int, *, every_channel: bool) -> Content:
    picture = read_tiff(data, options, limit, every_channel=every_channel)
    samples = picture.samples
    if samples is None:
        content = _read_with_pillow(data, "TIFF", replace(options, page=picture.table), limit)
        return replace(content, info=replace(picture.info, channels=content.info.channels))
    photograph = None
    if not options.as_stored and picture.view is not None:
        photograph = Photograph(picture.view, picture.profile)
    elif not options.as_stored and _is_plain_grey(samples):
        photograph = Photograph(Image.fromarray(samples.values[:, :, 0]), picture.profile)
    elif not options.as_stored and picture.profile and samples.values.dtype == np.uint8:
        photograph = Photograph(Image.fromarray(to_rgb(samples, options)[0]), picture.profile)
    return Content(picture.info, picture.orientation, photograph, samples)


def _is_plain_grey(samples: Samples) -> bool:
    """Whether Pillow may make RGB of it, which is twice as fast as NumPy."""
    values = samples.values
    return values.dtype == np.uint8 and values.shape[2] == 1 and samples.bits == 8 and not samples.inverted


def _read_with_pillow(data: bytes, kind: PictureFormat, options: DecodeOptions, limit: int) -> Content:
    with open_file(data, kind, options.page, limit) as image:
        load(image, kind)
        orientation = exif_orientation(image)
        profile = image.info.get("icc_profile")
        samples = photograph_samples(image) if options.as_stored or image.mode in WIDE_MODES else None
        info = PictureInfo(
            pages=1 if kind in {"JPEG", "BMP"} else None,
            channels=len(_stored_mode(image)) if samples is None else samples.values.shape[2],
            dtype="uint8" if samples is None else samples.values.dtype.name,
        )
        photograph = Photograph(image, profile) if samples is None else None
        return Content(info, orientation, photograph, samples)


def shown_image(content: Content) -> Image.Image:
    if content.photograph is None:
        raise ValueError("a picture without samples is a photograph")
    return content.photograph.image


def _stored_mode(image: Image.Image) -> str:
    """The mode that holds the picture's own channels; palettes, CMYK and other colour models are RGB."""
    stored = {"1": "L", "L": "L", "LA": "LA", "La": "LA", "RGBA": "RGBA", "RGBa": "RGBA"}.get(image.mode, "RGB")
    return "RGBA" if stored == "RGB" and "transparency" in image.info else stored


def photograph_samples(image: Image.Image) -> Samples:
    """The picture's own channels."""
    if image.mode in WIDE_MODES:
        return Samples(np.asarray(image)[:, :, None], shown=(0,), colour=False)
    stored = _stored_mode(image)
    values = np.asarray(image.convert(stored)).reshape(image.height, image.width, -1)
    colour = stored.startswith("RGB")
    return Samples(values, shown=(0, 1, 2) if colour else (0,), colour=colour)
