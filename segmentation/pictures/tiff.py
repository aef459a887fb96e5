"""Pages of TIFF files that Pillow does not know or would shorten to 8 bits: many channels, 16-bit colour, doubles.

Reads uncompressed and Deflate data of any layout; Pillow reads the other compressions for the kinds it knows.
"""

import io
import math
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, TiffPage

from segmentation.errors import ImageTooLarge, InvalidImage, InvalidRequest, SegmentationError
from segmentation.pictures.pixels import Samples

UNCOMPRESSED = 1
DEFLATE = (8, 32946)
RGB = 2
ORIENTATION = 274
PLANAR_SEPARATE = 2
ALPHA = (1, 2)
"""Extra samples that are opacity."""
BYTES_PER_PIXEL = 8
"""Of memory, for each pixel that a picture may have: four 16-bit channels at the largest size, more in smaller ones.

What fills up the last tiles is counted.
"""


def read_page(data: bytes, page: int, max_pixels: int) -> tuple[Samples, int]:
    """One page as stored, and its EXIF orientation, 1 to 8.

    Raises:
        InvalidImage: the file is damaged, or of a kind that is not read.
        ImageTooLarge: by its header, more pixels or memory than allowed.
        InvalidRequest: no such page.
    """
    try:
        with TiffFile(io.BytesIO(data)) as file:
            if page and page >= len(file.pages):
                raise InvalidRequest(f"the picture has {len(file.pages)} pages, counted from 0", "/decode/page")
            content = file.pages[page]
            if not isinstance(content, TiffPage):
                raise InvalidImage("this page of the TIFF can't be read")
            item_bytes = _require_kind(content)
            _require_size(content, item_bytes, max_pixels)
            _require_honest_segments(content, item_bytes, data)
            return _samples(content), _orientation(content)
    except (SegmentationError, MemoryError):
        raise
    except Exception as error:  # a damaged file surfaces from tifffile as almost any type
        raise InvalidImage("the TIFF picture is damaged or of a kind that is not read") from error


def _require_kind(page: TiffPage) -> int:
    """Bytes of one decoded sample."""
    if page.dtype is None or page.dtype.kind not in "uif" or page.imagedepth != 1:
        raise InvalidImage("this TIFF holds no plain numbers in a plane; save it as integers or floats")
    if page.compression not in {UNCOMPRESSED, *DEFLATE} or page.predictor not in {1, 2}:
        raise InvalidImage(
            f"TIFF pictures of {page.samplesperpixel} channels of {page.bitspersample} bits are read uncompressed or "
            "with Deflate; save it so"
        )
    return page.dtype.itemsize


def _require_size(page: TiffPage, item_bytes: int, max_pixels: int) -> None:
    height, width = page.imagelength, page.imagewidth
    if min(height, width) < 1:
        raise InvalidImage("the TIFF picture has no pixels")
    if height * width > max_pixels:
        raise ImageTooLarge(
            f"the picture has {width} x {height} pixels; at most {max_pixels / 1e6:g} megapixels are read"
        )
    stored = item_bytes * math.prod(page.chunked) * math.prod(page.chunks)
    if stored > BYTES_PER_PIXEL * max_pixels:
        raise ImageTooLarge(f"the picture's {page.samplesperpixel} channels are too large; send fewer of them")


def _require_honest_segments(page: TiffPage, item_bytes: int, data: bytes) -> None:
    """Refuses strips and tiles that would inflate to more than the header says, before they do."""
    expected = item_bytes * math.prod(page.chunks)
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if sum(count for _, count in segments) > len(data):
        raise InvalidImage("the TIFF picture's strips overlap")
    for offset, count in segments:
        segment = data[offset : offset + count]
        if len(segment) < count:
            raise InvalidImage("the TIFF picture is truncated")
        if page.compression in DEFLATE and len(zlib.decompressobj().decompress(segment, expected + 1)) > expected:
            raise InvalidImage("the TIFF picture's strips hold more than its header says")


def _samples(page: TiffPage) -> Samples:
    size = (page.imagelength, page.imagewidth)
    stored: NDArray[Any] = page.asarray()
    planar = page.planarconfig == PLANAR_SEPARATE and page.samplesperpixel > 1
    values = np.moveaxis(stored.reshape(-1, *size), 0, -1) if planar else stored.reshape(*size, -1)
    visible = values.shape[2] - sum(kind in ALPHA for kind in page.extrasamples)
    return Samples(values, shown=tuple(range(min(3, max(1, visible)))), colour=page.photometric == RGB and visible >= 3)


def _orientation(page: TiffPage) -> int:
    tag = page.tags.get(ORIENTATION)
    return int(tag.value) if tag is not None and tag.value in range(1, 9) else 1
