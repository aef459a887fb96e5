"""Small files of every kind that people send, written by the libraries that they use, each with its right pixels.

The right pixels are the array that was written, brought to 8 bits by `stretched`, or another library's reading of the
file where the format loses something.
"""

import io
import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import cv2
import imagecodecs
import numpy as np
import tifffile
from hostile_pictures import chunk
from numpy.typing import NDArray
from odd_pictures import KINDS, odd_pictures
from pictures import HEIGHT, TWELVE_BITS, WIDTH, encoded, picture, pillow, scene, stretched, tiff_of
from PIL import Image


@dataclass(frozen=True, slots=True)
class Sample:
    """One file.

    rgb: uint8 [H, W] or [H, W, 3] that it has to be decoded to; None where it is refused.
    refusal: what the refusal names.
    options: of the decode.
    """

    data: bytes
    rgb: NDArray[np.uint8] | None
    refusal: str = ""
    options: dict[str, Any] = field(default_factory=dict)


RGB8 = scene()
GREY8 = RGB8[:, :, 0]
RGB16 = scene(3, np.uint16) >> 4
LOSSLESS: dict[str, dict[str, Any]] = {"jpegxl": {"lossless": True}, "jpegxr": {"level": 100}}
COMPRESSIONS = (None, "lzw", "zlib", "packbits", "zstd", "lzma", "lerc", "png", "jpeg2000", "jpegxl", "jpegxr")


def corpus() -> dict[str, Sample]:
    """Name -> file."""
    return dict(
        itertools.chain(
            _compressions(),
            _types(),
            _channels(),
            _layouts(),
            _colours(),
            _pillow(),
            _wide(),
            _harmless(),
            _odd(),
            _refused(),
        )
    )


def _compressions() -> Iterator[tuple[str, Sample]]:
    kinds = {
        "grey16": (TWELVE_BITS, "minisblack", stretched(TWELVE_BITS)),
        "rgb8": (RGB8, "rgb", RGB8),
        "rgb16": (RGB16, "rgb", stretched(RGB16)),
    }
    for compression, (kind, (values, photometric, rgb)), tile in itertools.product(
        COMPRESSIONS, kinds.items(), (None, (16, 16))
    ):
        options: dict[str, Any] = {"photometric": photometric, "compression": compression, "tile": tile}
        if compression in LOSSLESS:
            options["compressionargs"] = LOSSLESS[compression]
        yield f"tiff {compression} {kind} {'tiles' if tile else 'strips'}", Sample(tiff_of(values, **options), rgb)


def _types() -> Iterator[tuple[str, Sample]]:
    for name, byteorder in itertools.product(("i1", "i2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"), "<>"):
        low = name == "i1"
        values = (TWELVE_BITS * (0.03 if low else 1.0) - (60 if low else 0)).astype(name)
        predictor = name not in {"i8", "u8"}
        data = tiff_of(values, compression="zlib", predictor=predictor, byteorder=byteorder)
        yield f"tiff {name} {byteorder}", Sample(data, stretched(values.astype(np.float64)))
    for bits in (1, 2, 4, 10, 12):
        values = (TWELVE_BITS >> (12 - bits)).astype(np.uint8 if bits <= 8 else np.uint16)
        rgb = np.round(values / ((1 << bits) - 1) * 255).astype(np.uint8) if bits <= 8 else stretched(values)
        yield f"tiff {bits} bits", Sample(tiff_of(values, bitspersample=bits, photometric="minisblack"), rgb)


def _channels() -> Iterator[tuple[str, Sample]]:
    for count, planar, compression in itertools.product((2, 4, 5, 7), ("contig", "separate"), (None, "lzw")):
        values = scene(count, np.uint16) >> 4
        planes = [stretched(values[:, :, index]) for index in range(min(3, count))]
        planes += [np.zeros_like(planes[0])] * (3 - len(planes))
        stored = values if planar == "contig" else np.moveaxis(values, -1, 0)
        data = tiff_of(stored, photometric="minisblack", planarconfig=planar, compression=compression)
        yield f"tiff of {count} channels {planar} {compression}", Sample(data, np.dstack(planes))
    stack = np.stack([TWELVE_BITS + 100 * index for index in range(24)]).reshape(2, 3, 4, HEIGHT, WIDTH)
    for form, page in itertools.product(("ome", "imagej"), (0, 4)):
        options: dict[str, Any] = {form: True, "metadata": {"axes": "TZCYX"}}
        chosen = np.dstack([stretched(TWELVE_BITS), stretched(TWELVE_BITS), np.zeros_like(GREY8)])
        read = {"page": page, "channels": (3, 1)}
        yield f"{form} page {page}", Sample(tiff_of(stack.astype(np.uint16), **options), chosen, options=read)


def _layouts() -> Iterator[tuple[str, Sample]]:
    for name, options in {
        "bigtiff": {"bigtiff": True},
        "one row a strip": {"rowsperstrip": 1},
        "big endian": {"byteorder": ">"},
        "tiles and planes": {"tile": (16, 16), "planarconfig": "separate"},
    }.items():
        values = np.moveaxis(RGB8, -1, 0) if "planarconfig" in options else RGB8
        yield f"tiff {name}", Sample(tiff_of(values, photometric="rgb", **options), RGB8)
    holes = TWELVE_BITS.astype(np.float32)
    holes[:2] = np.finfo(np.float32).min
    rest = np.vstack([np.zeros((2, WIDTH), np.uint8), stretched(TWELVE_BITS[2:])])
    yield "tiff with the lowest float for nodata", Sample(tiff_of(holes), rest)
    marked = TWELVE_BITS.astype(np.int16)
    marked[:2] = -9999
    yield "tiff with nodata", Sample(tiff_of(marked, extratags=[(42113, 2, 6, "-9999", True)]), rest)


def _colours() -> Iterator[tuple[str, Sample]]:
    yield "tiff MinIsWhite", Sample(tiff_of(GREY8, photometric="miniswhite"), 255 - GREY8)
    yield (
        "tiff MinIsWhite of 16 bits",
        Sample(tiff_of(TWELVE_BITS, photometric="miniswhite"), 255 - stretched(TWELVE_BITS)),
    )
    colours = np.random.default_rng(0).integers(0, 65_536, (3, 256)).astype(np.uint16)
    yield (
        "tiff palette",
        Sample(tiff_of(GREY8, photometric="palette", colormap=colours), (colours >> 8).T[GREY8].astype(np.uint8)),
    )
    for mode in ("CMYK", "YCbCr", "LAB", "1", "P", "LA", "RGBA"):
        data = encoded(picture(mode), "TIFF")
        yield f"tiff {mode} by Pillow", Sample(data, pillow(data))
    for compression in ("jpeg", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        data = encoded(picture("RGB"), "TIFF", compression=compression)
        yield f"tiff {compression} by Pillow", Sample(data, pillow(data))
    for compression in ("group3", "group4", "tiff_ccitt"):
        data = encoded(picture("1"), "TIFF", compression=compression)
        yield f"tiff {compression} by Pillow", Sample(data, pillow(data))
    _, written = cv2.imencode(".tiff", np.ascontiguousarray(RGB16[:, :, ::-1]))
    yield "tiff rgb16 by OpenCV", Sample(written.tobytes(), stretched(RGB16))


def _pillow() -> Iterator[tuple[str, Sample]]:
    kinds = [
        *(("AVIF", "RGB"), ("JPEG2000", "RGB"), ("JPEG2000", "L"), ("PPM", "RGB"), ("PPM", "L"), ("PPM", "1")),
        *(("TGA", "RGB"), ("TGA", "RGBA"), ("SGI", "RGB"), ("PCX", "RGB"), ("PCX", "L"), ("DDS", "RGBA")),
        *(("QOI", "RGB"), ("MSP", "1"), ("XBM", "1"), ("BLP", "P"), ("DIB", "RGB"), ("ICO", "RGBA"), ("WebP", "RGBA")),
        *(("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("BMP", "RGB"), ("BMP", "P"), ("GIF", "P")),
        *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")),
    ]
    for kind, mode in kinds:
        data = encoded(picture(mode), kind)
        yield f"{kind} {mode} by Pillow", Sample(data, pillow(data))


def _wide() -> Iterator[tuple[str, Sample]]:
    grey, colour = stretched(TWELVE_BITS), stretched(RGB16)
    alpha = np.full_like(TWELVE_BITS, 65_535)
    yield "png grey16", Sample(imagecodecs.png_encode(TWELVE_BITS), grey)
    yield "png rgb16", Sample(imagecodecs.png_encode(RGB16), colour)
    yield (
        "png rgb16 minmax",
        Sample(imagecodecs.png_encode(RGB16), stretched(RGB16, (0, 100)), "", {"scaling": "minmax"}),
    )
    yield "png la16", Sample(imagecodecs.png_encode(np.dstack([TWELVE_BITS, alpha])), grey)
    yield "png rgba16", Sample(imagecodecs.png_encode(np.dstack([RGB16, alpha])), colour)
    for form in ("jp2", "j2k"):
        yield f"{form} grey16", Sample(imagecodecs.jpeg2k_encode(TWELVE_BITS, level=0, codecformat=form), grey)
        yield f"{form} rgb16", Sample(imagecodecs.jpeg2k_encode(RGB16, level=0, codecformat=form), colour)
    yield "jxl rgb8", Sample(imagecodecs.jpegxl_encode(RGB8, lossless=True), RGB8)
    yield "jxl grey16", Sample(imagecodecs.jpegxl_encode(TWELVE_BITS, lossless=True), grey)
    yield "jxl rgb16", Sample(imagecodecs.jpegxl_encode(RGB16, lossless=True), colour)
    yield "jpeg-ls", Sample(imagecodecs.jpegls_encode(TWELVE_BITS), grey)
    yield "jpeg without loss", Sample(imagecodecs.ljpeg_encode(TWELVE_BITS, bitspersample=16), grey)
    yield "pgm16", Sample(b"P5\n# by hand\n37 23\n65535\n" + TWELVE_BITS.astype(">u2").tobytes(), grey)
    yield "ppm of 12 bits", Sample(b"P6 37 23 4095\n" + RGB16.astype(">u2").tobytes(), colour)


def _harmless() -> Iterator[tuple[str, Sample]]:
    png, jpeg = encoded(picture("RGB"), "PNG"), encoded(picture("RGB"), "JPEG", quality=90)
    progressive = encoded(picture("RGB").resize((200, 100)), "JPEG", progressive=True)

    def with_chunk(name: bytes, body: bytes, crc: int | None = None) -> bytes:
        return png[:33] + chunk(name, body, crc) + png[33:]

    noise = np.random.default_rng(0).integers(0, 256, 1_500_000).astype(np.uint8).tobytes()
    yield "png of a text of 1.5 MB", Sample(with_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_500_000))), RGB8)
    yield "png of a profile of 1.5 MB", Sample(with_chunk(b"iCCP", b"a\0\0" + zlib.compress(noise)), RGB8)
    yield "png of a wrong checksum", Sample(with_chunk(b"tEXt", b"a\0b", 1), RGB8)
    yield "png without an end", Sample(png[:-12], RGB8)
    yield "png and more", Sample(png + b"more" * 100, RGB8)
    yield "jpeg without an end", Sample(jpeg[:-2], pillow(jpeg))
    yield "jpeg and more", Sample(jpeg + b"more" * 100, pillow(jpeg))
    yield "progressive jpeg without an end", Sample(progressive[:-2], pillow(progressive))


def _odd() -> Iterator[tuple[str, Sample]]:
    for name, (data, rgb, options) in odd_pictures():
        yield name, Sample(data, rgb, options=options)
    for name, data in KINDS.items():
        yield f"refused: {name}", Sample(data, None, name)


def _refused() -> Iterator[tuple[str, Sample]]:
    large = encoded(picture("RGB").resize((640, 480)), "JPEG")
    for kept in (0.5, 0.9, 0.98):
        yield f"jpeg cut at {kept}", Sample(large[: int(kept * len(large))], None, "truncated")
    yield "heic", Sample(b"\0\0\0\x18ftypheic" + bytes(20), None, "HEIC")
    yield "complex numbers", Sample(tiff_of(TWELVE_BITS.astype(np.complex64)), None, "complex")
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(np.zeros((16, 16, 16), np.uint8), tile=(16, 16, 16), photometric="minisblack", volumetric=True)
    yield "a volume in one page", Sample(buffer.getvalue(), None, "volume")
    yield "a line of 70000", Sample(encoded(Image.new("1", (70_000, 1)), "PNG"), None, "65535 a side")
