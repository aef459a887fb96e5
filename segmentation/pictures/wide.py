"""Pictures other than TIFFs whose samples Pillow would shorten to 8 bits, or does not read: by imagecodecs.

PNG of 16 bits, JPEG of 12 bits and without loss, JPEG-LS, JPEG 2000 and AVIF of more than 8 bits, and JPEG XL.
"""

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
from segmentation.pictures.pixels import Samples, samples_of
from segmentation.pictures.signatures import PictureFormat


def is_wide(data: bytes, kind: PictureFormat) -> bool:
    """Whether a picture of one of the newer formats has samples of more than 8 bits; by its header."""
    if kind == "JPEG XL":
        return True
    if kind == "AVIF":
        at = data.find(b"av1C")
        return at >= 0 and bool(int.from_bytes(data[at + 6 : at + 7]) & 0x40)
    if kind == "JPEG 2000":
        at = data.find(b"\xff\x4f\xff\x51")
        return at >= 0 and (int.from_bytes(data[at + 42 : at + 43]) & 0x7F) >= 8
    return False


def read_png16(data: bytes, colour_type: int) -> Samples:
    """A PNG of 16 bits. Its size was checked.

    Raises:
        InvalidImage: it is truncated or damaged.
    """
    values = _decoded(lambda: imagecodecs.png_decode(data), "PNG")
    return samples_of(_with_channels(values), alpha=colour_type in {4, 6})


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

    return samples_of(_with_channels(_decoded(decode, "JPEG")), alpha=False)


def read_wide(data: bytes, kind: PictureFormat, limit: int) -> Samples:
    """A picture for which `is_wide`. The sizes of AVIF and JPEG 2000 were checked.

    Raises:
        InvalidImage: it is truncated or damaged.
        ImageTooLarge: by its header.
    """
    if kind == "JPEG XL":
        require_size(*read_size(data), limit)
    if kind == "AVIF" and b"moov" in _boxes(data):
        raise InvalidImage("animated AVIF of more than 8 bits is not read; save the frame that is meant as a picture")
    codecs: dict[str, Callable[[], Any]] = {
        "AVIF": lambda: imagecodecs.avif_decode(data),
        "JPEG 2000": lambda: imagecodecs.jpeg2k_decode(data),
        "JPEG XL": lambda: imagecodecs.jpegxl_decode(data, index=0),
    }
    values = _decoded(codecs[kind], kind)
    count = values.shape[2] if values.ndim == 3 else 1
    return samples_of(_with_channels(values), alpha=count in {2, 4})


def _boxes(data: bytes) -> set[bytes]:
    """The types of an ISO base media file's outer boxes."""
    found: set[bytes] = set()
    at = 0
    while at + 8 <= len(data):
        size, header = int.from_bytes(data[at : at + 4]), 8
        if size == 1:
            size, header = int.from_bytes(data[at + 8 : at + 16]), 16
        found.add(data[at + 4 : at + 8])
        if size < header:  # 0: to the end
            break
        at += size
    return found


def _with_channels(values: NDArray[Any]) -> NDArray[Any]:
    return values.reshape(values.shape[0], values.shape[1], -1)


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
