"""Pictures other than TIFFs whose samples Pillow would shorten to 8 bits, or does not read: by imagecodecs.

PNG of 16 bits, JPEG of 12 bits and without loss, JPEG-LS, JPEG 2000 and AVIF of more than 8 bits, JPEG XL, and PGM and
PPM of 16 bits, which are nothing but numbers behind a header.
"""

import re
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from segmentation.errors import InvalidImage
from segmentation.pictures.jpeg import JpegMarkers
from segmentation.pictures.jxl import read_size
from segmentation.pictures.limits import require_size
from segmentation.pictures.pillow import damaged
from segmentation.pictures.pixels import Samples, valid_samples
from segmentation.pictures.signatures import PictureFormat

_PNM = re.compile(rb"P([56])(?:\s+|#[^\n]*\n)+(\d+)(?:\s+|#[^\n]*\n)+(\d+)(?:\s+|#[^\n]*\n)+(\d+)\s")
MAX_HEADER_BYTES = 4_096


def is_wide(data: bytes, kind: PictureFormat) -> bool:
    """Whether a picture of one of the newer formats has samples of more than 8 bits; by its header."""
    if kind == "JPEG XL":
        return True
    if kind == "AVIF":
        at = data.find(b"av1C", 0, 65_536)
        return at >= 0 and bool(int.from_bytes(data[at + 6 : at + 7]) & 0x40)
    if kind == "JPEG 2000":
        at = data.find(b"\xff\x4f\xff\x51")
        return at >= 0 and (int.from_bytes(data[at + 42 : at + 43]) & 0x7F) >= 8
    header = _PNM.match(data[:MAX_HEADER_BYTES]) if kind == "PNM" else None
    return header is not None and int(header[4]) > 255


def read_png16(data: bytes, colour_type: int) -> Samples:
    """A PNG of 16 bits. Its size was checked.

    Raises:
        InvalidImage: it is truncated or damaged.
    """
    return _samples(_decoded(lambda: imagecodecs.png_decode(data), "PNG"), alpha=colour_type in {4, 6})


def read_rare_jpeg(data: bytes, markers: JpegMarkers, limit: int) -> Samples:
    """A JPEG of more than 8 bits, or one that is compressed without loss."""
    require_size(markers.width, markers.height, limit)

    def decode() -> NDArray[Any]:
        codecs: tuple[Callable[[bytes], Any], ...] = (
            imagecodecs.jpeg8_decode,
            imagecodecs.ljpeg_decode,
            imagecodecs.jpegls_decode,
        )
        for codec in codecs:
            try:
                values = np.asarray(codec(data))
            except (RuntimeError, ValueError):
                continue
            if values.shape[:2] == (markers.height, markers.width):  # some take others' files for empty ones
                return values
        raise InvalidImage(f"JPEG pictures of {markers.bits} bits of this kind are not read; save it as PNG or TIFF")

    return _samples(_decoded(decode, "JPEG"), alpha=False)


def read_wide(data: bytes, kind: PictureFormat, limit: int) -> Samples:
    """A picture for which `is_wide`. The sizes of AVIF and JPEG 2000 were checked.

    Raises:
        InvalidImage: it is truncated or damaged.
        ImageTooLarge: by its header.
    """
    if kind == "PNM":
        return _read_pnm(data, limit)
    if kind == "JPEG XL":
        require_size(*read_size(data), limit)
    codecs: dict[str, Any] = {
        "AVIF": imagecodecs.avif_decode,
        "JPEG 2000": imagecodecs.jpeg2k_decode,
        "JPEG XL": imagecodecs.jpegxl_decode,
    }
    values = _decoded(lambda: codecs[kind](data), kind)
    count = values.shape[2] if values.ndim == 3 else 1
    return _samples(values, alpha=count in {2, 4})


def _read_pnm(data: bytes, limit: int) -> Samples:
    header = _PNM.match(data[:MAX_HEADER_BYTES])
    if header is None:
        raise damaged("PNM")
    channels, width, height = 1 if header[1] == b"5" else 3, int(header[2]), int(header[3])
    require_size(width, height, limit)
    count = channels * width * height
    if len(data) < header.end() + 2 * count:
        raise damaged("PNM")
    values = np.frombuffer(data, ">u2", count, header.end()).astype(np.uint16)
    return _samples(values.reshape(height, width, channels), alpha=False)


def _decoded(decode: Callable[[], Any], kind: PictureFormat) -> NDArray[Any]:
    try:
        values = np.asarray(decode())
    except (InvalidImage, MemoryError):
        raise
    except Exception as error:  # each codec has errors of its own
        raise damaged(kind) from error
    if values.ndim not in {2, 3} or not values.size or values.dtype.kind not in "uif":
        raise damaged(kind)
    return values


def _samples(values: NDArray[Any], *, alpha: bool) -> Samples:
    values = values.reshape(values.shape[0], values.shape[1], -1)
    visible = values.shape[2] - alpha
    valid = valid_samples(values, None)
    if alpha:
        opaque = values[:, :, -1:] != 0
        valid = valid if opaque.all() else opaque if valid is None else valid & opaque
    return Samples(values, shown=tuple(range(3 if visible >= 3 else 1)), colour=visible >= 3, valid=valid)
