"""Pictures as the bytes of files: paths, bytes and file objects as they are, arrays as PNG or TIFF. Needs no Pillow."""

import io
import os
import struct
import zlib
from pathlib import Path
from typing import IO, Any, Union

import numpy as np
from numpy.typing import NDArray

from client.errors import InvalidArgument

PictureSource = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, IO[bytes], NDArray[Any]]

PNG_COLOUR = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG's colour type for a number of channels."""
TIFF_FORMAT = {"u": 1, "i": 2, "f": 3}
SHORT, LONG = 3, 4


def picture_bytes(source: PictureSource) -> bytes:
    """The file of a picture.

    Args:
        source: a path, the bytes of a file, an open binary file, or an array [H, W] or [H, W, C] of 1 to 4 channels:
            uint8 (and bool) is sent as PNG, other integers and floats as TIFF, which the server scales to 8 bits.

    Raises:
        InvalidArgument: nothing of these, or the file can't be read.
    """
    if isinstance(source, np.ndarray):
        return _array_bytes(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | os.PathLike):
        try:
            return Path(source).read_bytes()
        except (OSError, ValueError) as error:
            raise InvalidArgument(f"can't read the picture {os.fspath(source)!r}: {_reason(error)}") from error
    if hasattr(source, "read"):
        data = source.read()
        if isinstance(data, bytes):
            return data
    raise InvalidArgument(f"a picture is a path, bytes, an open binary file or an array, not {type(source).__name__}")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _array_bytes(array: NDArray[Any]) -> bytes:
    pixels = array[:, :, None] if array.ndim == 2 else array
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or 0 in pixels.shape:
        raise InvalidArgument(
            f"an array of a picture has the shape (height, width) or (height, width, channels) with 1 to 4 channels, "
            f"not {array.shape}"
        )
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    if pixels.dtype == np.uint8:
        return _png(pixels)
    if pixels.dtype == np.float16:
        pixels = pixels.astype(np.float32)
    if pixels.dtype.kind not in TIFF_FORMAT:
        raise InvalidArgument(f"an array of a picture holds integers or floats, not {array.dtype}")
    return _tiff(pixels)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    height, width, channels = pixels.shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # a filter byte of 0 before each row
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, PNG_COLOUR[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _tiff(pixels: NDArray[Any]) -> bytes:
    """One uncompressed strip, little-endian (TIFF 6.0)."""
    height, width, channels = pixels.shape
    data = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<")).tobytes()
    bits, kind = 8 * pixels.dtype.itemsize, TIFF_FORMAT[pixels.dtype.kind]
    extra = max(0, channels - 3) if channels >= 3 else channels - 1
    entries: list[tuple[int, int, list[int]]] = [
        (256, LONG, [width]),
        (257, LONG, [height]),
        (258, SHORT, [bits] * channels),
        (259, SHORT, [1]),
        (262, SHORT, [2 if channels >= 3 else 1]),
        (273, LONG, [8]),
        (277, SHORT, [channels]),
        (278, LONG, [height]),
        (279, LONG, [len(data)]),
        *([(338, SHORT, [0] * extra)] if extra else []),
        (339, SHORT, [kind] * channels),
    ]
    if len(data) >= 2**32 - 4096:
        raise InvalidArgument("an array of 4 GB or more can't be sent")
    directory = 8 + len(data) + len(data) % 2
    overflow = directory + 2 + 12 * len(entries) + 4
    table, values = io.BytesIO(), io.BytesIO()
    for tag, size, numbers in entries:
        packed = struct.pack(f"<{len(numbers)}{'H' if size == SHORT else 'I'}", *numbers)
        table.write(struct.pack("<HHI", tag, size, len(numbers)))
        if len(packed) <= 4:
            table.write(packed.ljust(4, b"\0"))
        else:
            table.write(struct.pack("<I", overflow + values.tell()))
            values.write(packed)
    head = b"II*\0" + struct.pack("<I", directory)
    count = struct.pack("<H", len(entries))
    return head + data + b"\0" * (len(data) % 2) + count + table.getvalue() + b"\0\0\0\0" + values.getvalue()
