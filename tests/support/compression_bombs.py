"""Files of every compression that decode to far more than they say, or say more than they hold. Each is small."""

import struct
from collections.abc import Callable
from functools import partial

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pictures import encoded
from PIL import Image

RAW_BYTES = 200_000_000
SIDE = 9_000
"""Of pictures in pictures: 81 MB a channel."""


def _zeros() -> NDArray[np.uint8]:
    return np.zeros((SIDE, SIDE), np.uint8)


def tiff_around(payload: bytes, compression: int, *, bits: int = 8, samples: int = 1) -> bytes:
    """A TIFF of 64 x 64 pixels whose one strip is the payload."""
    tags = {256: 64, 257: 64, 258: bits, 259: compression, 262: 2 if samples == 3 else 1, 273: 0, 277: samples, 278: 64}
    tags |= {279: len(payload)} | ({338: 0} if samples == 2 else {})
    start = 8 + 2 + 12 * len(tags) + 4
    tags[273] = start
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + payload


def _raw(encode: Callable[[bytes], bytes], compression: int) -> bytes:
    return tiff_around(encode(bytes(RAW_BYTES)), compression)


def _picture(encode: Callable[[NDArray[np.uint8]], bytes], compression: int) -> bytes:
    return tiff_around(encode(_zeros()), compression)


def _colour(encode: Callable[[NDArray[np.uint8]], bytes], compression: int) -> bytes:
    return tiff_around(encode(np.zeros((SIDE, SIDE, 3), np.uint8)), compression, samples=3)


def _lerc(blob: str | None) -> bytes:
    return tiff_around(imagecodecs.lerc_encode(_zeros(), compression=blob), 34887)


def patched(data: bytes, box: bytes, offset: int, value: bytes) -> bytes:
    """The bytes behind the first occurrence of a name, replaced."""
    at = data.index(box) + len(box) + offset
    return data[:at] + value + data[at + len(value) :]


def _avif(width: int, height: int, side: int) -> bytes:
    data = encoded(Image.new("L", (side, side)), "AVIF", speed=10)
    return patched(data, b"ispe", 4, struct.pack(">II", width, height))


def _jp2(width: int, height: int, side: int, *, codestream: bool) -> bytes:
    data = encoded(Image.new("L", (side, side)), "JPEG2000")
    if codestream:
        return patched(data, b"\xff\x51", 4, struct.pack(">II", width, height))
    return patched(data, b"ihdr", 0, struct.pack(">II", height, width))


BOMBS: dict[str, Callable[[], bytes]] = {
    "tiff of zlib": partial(_raw, partial(imagecodecs.zlib_encode, level=9), 8),
    "tiff of old zlib": partial(_raw, partial(imagecodecs.zlib_encode, level=9), 32946),
    "tiff of zstd": partial(_raw, imagecodecs.zstd_encode, 50000),
    "tiff of lzma": partial(_raw, imagecodecs.lzma_encode, 34925),
    "tiff of lzw": partial(_raw, imagecodecs.lzw_encode, 5),
    "tiff of packbits": lambda: tiff_around(b"\x81\0" * (RAW_BYTES // 128), 32773),
    "tiff of jpeg": partial(_picture, imagecodecs.jpeg8_encode, 7),
    "tiff of jpeg in colour": partial(_colour, imagecodecs.jpeg8_encode, 7),
    "tiff of jpeg 2000": partial(_picture, imagecodecs.jpeg2k_encode, 34712),
    "tiff of jpeg xl": partial(_picture, partial(imagecodecs.jpegxl_encode, effort=1), 50002),
    "tiff of jpeg xr": partial(_picture, imagecodecs.jpegxr_encode, 22610),
    "tiff of webp": partial(_colour, partial(imagecodecs.webp_encode, method=0), 50001),
    "tiff of png": partial(_picture, imagecodecs.png_encode, 34933),
    "tiff of lerc": partial(_lerc, None),
    "tiff of lerc and zstd": partial(_lerc, "zstd"),
    "tiff of lerc and deflate": partial(_lerc, "deflate"),
    "avif larger than it says": partial(_avif, 64, 64, 4_000),
    "avif smaller than it says": partial(_avif, 900, 900, 64),
    "avif of 3600 megapixels": partial(_avif, 60_000, 60_000, 64),
    "avif as wide as can be": partial(_avif, 2**31 - 1, 1, 64),
    "jp2 whose box says more": partial(_jp2, 900, 900, 64, codestream=False),
    "jp2 whose codestream says more": partial(_jp2, 60_000, 60_000, 64, codestream=True),
    "jp2 of 2**32 a side": partial(_jp2, 2**32 - 1, 2**32 - 1, 64, codestream=True),
    "jxl larger than allowed": lambda: imagecodecs.jpegxl_encode(_zeros(), effort=1),
    "fits of 2**60 pixels": lambda: b"".join(
        card.ljust(80)
        for card in (
            b"SIMPLE  =                    T",
            b"BITPIX  =                    8",
            b"NAXIS   =                    2",
            b"NAXIS1  =           1073741824",
            b"NAXIS2  =           1073741824",
            b"END",
        )
    ).ljust(2880),
    "pam of 2**40 bytes": lambda: (
        b"P7\nWIDTH 1000\nHEIGHT 1000\nDEPTH 64\nMAXVAL 65535\nTUPLTYPE RGB\nENDHDR\n" + bytes(100)
    ),
    "pgm in text without numbers": lambda: b"P2\n1000 1000\n65535\n" + b" " * 1_000_000,
}
"""Name -> makes the file. Each is read, or refused by an error of ours, within the memory that its size allows."""
