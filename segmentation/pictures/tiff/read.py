"""One picture of a TIFF: the samples of its channels, which of them are valid, and its scale. imagecodecs decodes."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tifffile import COMPRESSION, PHOTOMETRIC, TIFF, TiffFile, TiffPage

from segmentation.cpus import usable_cpus
from segmentation.errors import ImageTooLarge, InvalidImage, SegmentationError, UnsupportedMediaType
from segmentation.pictures.decoded import PictureInfo
from segmentation.pictures.limits import accept, require_size
from segmentation.pictures.options import DecodeOptions
from segmentation.pictures.pixels import Samples, require_channels, valid_samples
from segmentation.pictures.tiff.colour import Colour, apply_palette, cmyk_to_rgb, colour_of
from segmentation.pictures.tiff.metadata import channel_names, nodata_value, pixel_size
from segmentation.pictures.tiff.planes import Page, Plane, find_picture, keyframe
from segmentation.pictures.tiff.tables import count_tables

ORIENTATION, DNG_VERSION, ICC_PROFILE = 274, 50706, 34675
MAKE, MAX_INNER_PAGES = 271, 8
MOSAICS = {PHOTOMETRIC.CFA, PHOTOMETRIC.LINEAR_RAW}
_PLAIN = {(PHOTOMETRIC.RGB, 3), (PHOTOMETRIC.MINISBLACK, 1)}
PLANAR_SEPARATE, ASSOCIATED_ALPHA = 2, 1
MAX_THREADS = min(4, usable_cpus())
MIN_TILE_LIMIT = 1 << 20
BYTES_PER_PIXEL = 16
"""Of stored samples, for each pixel that a picture may have: four 32-bit channels at the largest size, more in smaller
ones. What fills up the last tiles is counted.
"""


@dataclass(frozen=True, slots=True)
class TiffPicture:
    """What was read, not yet upright.

    samples: None where Pillow has to convert the colours.
    orientation: EXIF's, 1 to 8.
    profile: the ICC profile of its colours.
    view: the picture as Pillow knows it, where that is more than its samples.
    table: where Pillow finds the picture in the file.
    """

    samples: Samples | None
    info: PictureInfo
    orientation: int = 1
    profile: bytes | None = None
    view: Image.Image | None = None
    table: int = 0


def read_tiff(data: bytes, options: DecodeOptions, max_pixels: int, *, every_channel: bool = False) -> TiffPicture:
    """The picture at `options.page`.

    Args:
        every_channel: also channels stored as pages that `options` does not show.

    Raises:
        InvalidImage: the file is damaged, or of a kind that is not read, which the message names.
        UnsupportedMediaType: a camera's raw picture.
        ImageTooLarge: by its header, more pixels or memory than allowed.
        InvalidRequest: no such page or channel.
    """
    tables = count_tables(data)
    try:
        with TiffFile(io.BytesIO(data)) as file:
            return _read(file, tables, data, options, max_pixels, every_channel)
    except (SegmentationError, MemoryError):
        raise
    except Exception as error:  # a damaged file surfaces from tifffile as almost any type
        raise InvalidImage("the TIFF picture is truncated or damaged") from error


def _read(
    file: TiffFile, tables: int, data: bytes, options: DecodeOptions, max_pixels: int, every_channel: bool
) -> TiffPicture:
    if DNG_VERSION in file.pages.first.tags or data[8:10] == b"CR" or _has_mosaic(file.pages.first):
        raise UnsupportedMediaType("this is a camera's raw picture; convert it to JPEG or PNG")
    picture = find_picture(file, options.page, tables)
    page = keyframe(picture.first.page)
    require_size(page.imagewidth, page.imagelength, max_pixels)
    colour = colour_of(page, is_imagej=file.is_imagej)
    each = 3 if colour.kind in {"palette", "cmyk", "pillow"} else page.samplesperpixel
    info = PictureInfo(
        pages=picture.pages,
        channels=each * len(picture.planes),
        dtype="uint8" if page.dtype is None or page.dtype.kind == "b" else page.dtype.name,
        channel_names=channel_names(file),
        pixel_size=pixel_size(file, page),
    )
    if colour.kind == "pillow" or not _is_decoded(page):
        return TiffPicture(None, info, table=picture.first.page.index)
    _require_kind(page)
    require_channels(info.channels, options)
    shown = _shown(colour, each, len(picture.planes))
    numbers = range(info.channels) if every_channel else options.channels or shown
    needed = sorted({number // each for number in numbers})
    _require_memory(page, len(needed), max_pixels)
    stored = [_stored(picture.plane(index), page, data) for index in needed]
    values = [_as_shown(plane, colour, page) for plane in stored]
    samples = Samples(
        values[0] if len(values) == 1 else np.concatenate(values, axis=2),
        shown=shown,
        colour=colour.kind in {"rgb", "palette", "cmyk"} and len(picture.planes) == 1,
        valid=_valid(file, page, stored, colour),
        bits=page.bitspersample if isinstance(page.bitspersample, int) and colour.kind == "channels" else 8,
        inverted=colour.inverted,
        numbers=tuple(index * each + sample for index in needed for sample in range(each)),
    )
    return TiffPicture(
        samples, info, _orientation(page), page.tags.valueof(ICC_PROFILE), _view(stored[0], colour, page)
    )


def _has_mosaic(page: TiffPage) -> bool:
    """Whether the page is the preview in a camera's raw file, whose mosaic is a page inside of it."""
    offsets = page.subifds or ()
    if MAKE not in page.tags or not offsets or page.pages is None:
        return False
    inner = [keyframe(page.pages[index]) for index in range(min(len(offsets), MAX_INNER_PAGES))]
    return any(one.photometric in MOSAICS for one in inner)


def _view(stored: NDArray[Any], colour: Colour, page: TiffPage) -> Image.Image | None:
    """The picture where Pillow knows more of its colours than their samples: inks, or colours multiplied by opacity."""
    if stored.dtype != np.uint8:
        return None
    if colour.kind == "cmyk":
        return Image.fromarray(np.ascontiguousarray(stored[:, :, :4]), "CMYK")
    mode = {2: "La", 4: "RGBa"}.get(stored.shape[2])
    if mode and page.extrasamples == (ASSOCIATED_ALPHA,) and not colour.inverted:
        return Image.frombytes(mode, (page.imagewidth, page.imagelength), np.ascontiguousarray(stored).tobytes())
    return None


def _is_decoded(page: TiffPage) -> bool:
    """Whether imagecodecs decodes the page's compression. Pillow's libtiff knows a few others."""
    is_simple = page.bitspersample == 8 and not page.is_tiled and nodata_value(page) is None
    if page.compression == COMPRESSION.LZW and is_simple:
        # libtiff is twice as fast here, for the kinds that Pillow reads whole.
        return (page.photometric, page.samplesperpixel) not in _PLAIN or page.planarconfig == PLANAR_SEPARATE
    return page.compression == COMPRESSION.NONE or page.compression in TIFF.DECOMPRESSORS


def _require_kind(page: TiffPage) -> None:
    if page.dtype is None or page.dtype.kind not in "uifb":
        kind = "complex" if page.sampleformat in {5, 6} else f"{page.bitspersample}-bit"
        raise InvalidImage(f"this TIFF holds {kind} samples; save it as integers of 8, 16 or 32 bits, or as floats")
    if page.imagedepth != 1:
        raise InvalidImage("this TIFF holds a volume in one page; save each plane as a page of its own")


def _require_memory(page: TiffPage, planes: int, max_pixels: int) -> None:
    itemsize = page.dtype.itemsize if page.dtype is not None else 1
    tile = page.tilewidth * page.tilelength if page.is_tiled else 0
    stored = itemsize * math.prod(page.chunked) * math.prod(page.chunks) * planes
    if stored > BYTES_PER_PIXEL * max_pixels or tile > max(max_pixels, MIN_TILE_LIMIT):
        count = page.samplesperpixel * planes
        raise ImageTooLarge(f"the picture's {count} channels of {8 * itemsize} bits are too large; send fewer of them")
    accept(0, stored)


def _shown(colour: Colour, each: int, planes: int) -> tuple[int, ...]:
    """The channels that are shown unless others are chosen: without opacity, three at most."""
    visible = [n for n in range(each * planes) if not (colour.alpha and each > 1 and n % each == each - 1)]
    return tuple(visible[:3])


def _stored(plane: Plane, page: TiffPage, data: bytes) -> NDArray[Any]:
    """The samples of one plane, [H, W, C]."""
    if plane.offset is not None:
        dtype = np.dtype(page.parent.byteorder + page.dtype.char) if page.dtype is not None else np.dtype(np.uint8)
        if plane.offset + page.nbytes > len(data):
            raise InvalidImage("the TIFF picture is truncated")
        values = np.frombuffer(data, dtype, math.prod(page.shaped), plane.offset).astype(dtype.newbyteorder("="))
    else:
        _require_honest_segments(plane.page, data)
        values = plane.page.asarray(maxworkers=MAX_THREADS)
    size = (page.imagelength, page.imagewidth)
    planar = page.planarconfig == PLANAR_SEPARATE and page.samplesperpixel > 1
    values = np.moveaxis(values.reshape(-1, *size), 0, -1) if planar else values.reshape(*size, -1)
    return values.view(np.uint8) if values.dtype == np.bool_ else values


def _require_honest_segments(page: Page, data: bytes) -> None:
    """Refuses strips and tiles that are not there, or are there many times, before they are decoded."""
    if sum(page.databytecounts) > len(data):
        raise InvalidImage("the TIFF picture's strips overlap")
    if any(offset + count > len(data) for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)):
        raise InvalidImage("the TIFF picture is truncated")
    if not any(page.databytecounts):
        raise InvalidImage("the TIFF picture holds no samples")


def _as_shown(stored: NDArray[Any], colour: Colour, page: TiffPage) -> NDArray[Any]:
    if colour.kind == "palette" and page.colormap is not None:
        return apply_palette(stored[:, :, 0], page.colormap)
    if colour.kind == "cmyk":
        return cmyk_to_rgb(stored[:, :, :4])
    return stored


def _valid(file: TiffFile, page: TiffPage, stored: Sequence[NDArray[Any]], colour: Colour) -> NDArray[np.bool_] | None:
    """bool [H, W, C] or [H, W, 1]; None where every sample is valid."""
    nodata = nodata_value(page)
    masks = [valid_samples(plane, nodata) for plane in stored]
    valid: NDArray[np.bool_] | None = None
    if any(mask is not None for mask in masks):
        valid = np.concatenate([_or_true(mask, plane) for mask, plane in zip(masks, stored, strict=True)], axis=2)
        if colour.kind in {"palette", "cmyk"}:
            valid = np.asarray(valid.any(axis=2, keepdims=True))
    for mask in (_opaque(stored, colour), _mask_page(file, page)):
        if mask is not None and not mask.all():
            valid = mask if valid is None else valid & mask
    return valid


def _or_true(mask: NDArray[np.bool_] | None, plane: NDArray[Any]) -> NDArray[np.bool_]:
    return np.ones(plane.shape, np.bool_) if mask is None else mask


def _opaque(stored: Sequence[NDArray[Any]], colour: Colour) -> NDArray[np.bool_] | None:
    """Where a picture with opacity is not fully transparent, bool [H, W, 1]."""
    return stored[0][:, :, -1:] != 0 if colour.alpha and len(stored) == 1 and stored[0].shape[2] > 1 else None


def _mask_page(file: TiffFile, page: TiffPage) -> NDArray[np.bool_] | None:
    """The mask that follows the page, as GDAL writes it, bool [H, W, 1]."""
    if page.index + 1 >= len(file.pages):
        return None
    mask = keyframe(file.pages[page.index + 1])
    size = (page.imagelength, page.imagewidth)
    if not mask.is_mask or (mask.imagelength, mask.imagewidth) != size:
        return None
    return np.asarray(mask.asarray(maxworkers=MAX_THREADS).reshape(*size, -1)[:, :, :1] != 0)


def _orientation(page: TiffPage) -> int:
    value = page.tags.valueof(ORIENTATION)
    return int(value) if value in range(1, 9) else 1
