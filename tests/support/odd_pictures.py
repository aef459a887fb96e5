"""Rarer files of the kinds that people send, beside those of `picture_corpus`: name -> (file, right pixels, options).

The right pixels are those that were written, or another library's reading of the file.
"""

import io
import itertools
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from hostile_pictures import PNG, chunk
from numpy.typing import NDArray
from pictures import HEIGHT, LEVELS, TWELVE_BITS, WIDTH, encoded, picture, pillow, scene, stretched, tiff_of
from PIL import Image

Odd = tuple[str, tuple[bytes, NDArray[np.uint8], dict[str, Any]]]
RGB8 = scene()
GREY8 = RGB8[:, :, 0]
RGB16 = scene(3, np.uint16) >> 4
FULL = TWELVE_BITS.astype(np.int64) * 16


def _masked(values: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """`stretched` by the valid ones alone; the others are 0."""
    low, high = np.percentile(values[valid], (0.1, 99.9))
    with np.errstate(all="ignore"):
        levels = np.floor(((values.astype(np.float64) - low) / (high - low) * 255).clip(0, 255) + 0.5)
        return np.where(valid, levels, 0).astype(np.uint8)


def odd_tiffs() -> Iterator[Odd]:
    inks = scene(4, np.uint16)
    light = 1 - inks.astype(np.float64) / 65_535
    colours = stretched(np.floor(light[:, :, :3] * light[:, :, 3:] * 65_535 + 0.5))
    yield "tiff cmyk16", (tiff_of(inks, photometric="separated"), colours, {})
    planar = tiff_of(
        np.moveaxis(inks, -1, 0), photometric="separated", planarconfig="separate", compression="lzw", predictor=True
    )
    yield "tiff cmyk16 planar", (planar, colours, {})
    jpeg12 = tiff_of(TWELVE_BITS.clip(0, 4095), photometric="minisblack", compression="jpeg", bitspersample=12)
    yield "tiff jpeg of 12 bits", (jpeg12, stretched(tifffile.imread(io.BytesIO(jpeg12))), {})
    palette = np.random.default_rng(0).integers(0, 65_536, (3, 65_536)).astype(np.uint16)
    yield (
        "tiff palette of 16 bits",
        (
            tiff_of(TWELVE_BITS, photometric="palette", colormap=palette),
            (palette >> 8).T[TWELVE_BITS].astype(np.uint8),
            {},
        ),
    )
    low = np.arange(256, dtype=np.uint16)[None].repeat(3, 0)
    yield (
        "tiff palette in low bytes",
        (tiff_of(GREY8, photometric="palette", colormap=low), np.dstack([GREY8] * 3), {}),
    )
    five = scene(5)
    separate = np.moveaxis(five, -1, 0)
    yield (
        "tiff rgb and two more, planar",
        (
            tiff_of(separate, photometric="rgb", planarconfig="separate", extrasamples=["unspecified"] * 2),
            five[:, :, :3],
            {},
        ),
    )
    for subsampling in ((1, 1), (2, 1), (2, 2)):
        data = tiff_of(RGB8, photometric="rgb", compression="jpeg", subsampling=subsampling)
        yield f"tiff jpeg {subsampling}", (data, tifffile.imread(io.BytesIO(data)), {})
    for compression, photometric in itertools.product((None, "group3", "group4", "tiff_ccitt", "packbits"), (0, 1)):
        options = {"compression": compression} if compression else {}
        data = encoded(picture("1"), "TIFF", tiffinfo={262: photometric}, **options)
        yield f"tiff of 1 bit {compression} {photometric}", (data, pillow(data), {})


def nodata() -> Iterator[Odd]:
    hole = np.ones(TWELVE_BITS.shape, np.bool_)
    hole[0, :5] = False
    for name, offset, value, text in (
        ("int16", -3000, -32768, "-32768"),
        ("uint16", 0, 65535, "65535"),
        ("float32", 0, np.float32(-9999.9), "-9999.9 "),
    ):
        values = (TWELVE_BITS.astype(np.int64) + offset).astype(name)
        values[~hole] = value
        data = tiff_of(values, extratags=[(42113, 2, len(text) + 1, text, True)])
        yield f"tiff {name} of nodata {value}", (data, _masked(values, hole), {})
    values = TWELVE_BITS.astype(np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    rgb = _masked(values, np.isfinite(values))
    rgb[0, 1] = 255
    for order in "<>":
        data = tiff_of(values, byteorder=order, compression="zlib", predictor=True)
        yield f"tiff of NaN and infinities {order}", (data, rgb, {})


def stacks() -> Iterator[Odd]:
    stack = np.stack([TWELVE_BITS + 50 * index for index in range(12)]).reshape(2, 3, 2, HEIGHT, WIDTH)
    data = tiff_of(stack.astype(np.uint16), imagej=True, metadata={"axes": "TZCYX"})
    none = np.zeros_like(GREY8)
    for page in range(6):
        shown = stack[divmod(page, 3)]
        yield f"imagej page {page}", (data, np.dstack([stretched(shown[0]), stretched(shown[1]), none]), {"page": page})
    colours = tiff_of(np.stack([RGB8, 255 - RGB8]), imagej=True, metadata={"axes": "ZYXS"})
    yield "imagej in colour", (colours, 255 - RGB8, {"page": 1})
    buffer = io.BytesIO()
    large = np.kron(TWELVE_BITS, np.ones((2, 2), np.uint16))
    planes = np.stack([large, large[::-1]])
    with tifffile.TiffWriter(buffer, ome=True, bigtiff=True) as writer:
        writer.write(planes, subifds=1, metadata={"axes": "CYX"}, tile=(16, 16), photometric="minisblack")
        writer.write(planes[:, ::2, ::2], subfiletype=1, tile=(16, 16), photometric="minisblack")
    shown = np.dstack([stretched(planes[0]), stretched(planes[1]), np.zeros(large.shape, np.uint8)])
    yield "ome with a smaller resolution", (buffer.getvalue(), shown, {})
    buffer = io.BytesIO()
    slide = np.kron(RGB8, np.ones((8, 8, 1), np.uint8))
    options: dict[str, Any] = {"photometric": "rgb", "compression": "jpeg", "metadata": None}
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(slide, tile=(64, 64), description="Aperio Image Library\n x |AppMag = 20|MPP = 0.5", **options)
        writer.write(slide[::4, ::4], description="thumbnail", **options)
        writer.write(slide[::2, ::2], tile=(64, 64), description="level", **options)
    with tifffile.TiffFile(io.BytesIO(buffer.getvalue())) as file:
        for page, level in enumerate(file.pages):
            yield f"svs page {page}", (buffer.getvalue(), level.asarray(), {"page": page})
    yield "ome of several files, the channel that is here", (ome_of_two_files(), LEVELS, {"channels": (0,)})


def ome_of_two_files() -> bytes:
    """The first file of a set, whose second channel another file has."""
    data = tiff_of(np.stack([TWELVE_BITS] * 2), ome=True, metadata={"axes": "CYX"})
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        text = str(file.ome_metadata)
    text = re.sub(r"<TiffData[^>]*?(/>|>.*?</TiffData>)", "", text, flags=re.DOTALL)
    names = [f"urn:uuid:{digit}1111111-1111-1111-1111-111111111111" for digit in "12"]
    entries = "".join(
        f'<TiffData FirstC="{number}" FirstZ="0" FirstT="0" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{"ab"[number]}.ome.tif">{name}</UUID></TiffData>'
        for number, name in enumerate(names)
    )
    text = re.sub(r'UUID="urn:uuid:[^"]*"', f'UUID="{names[0]}"', text, count=1)
    return tiff_of(TWELVE_BITS, description=text.replace("</Pixels>", f"{entries}</Pixels>"), metadata=None)


def png_of(values: NDArray[Any], colour: int, *extra: bytes, bits: int = 16, interlaced: bool = False) -> bytes:
    """A PNG by hand: 8 or 16 bits, Adam7 if interlaced."""
    values = values.reshape(*values.shape[:2], -1).astype(">u2" if bits == 16 else "u1")
    whole = ((0, 0, 1, 1),)
    passes = (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)
    rows = [
        b"\0" + row.tobytes()
        for x, y, across, down in (passes if interlaced else whole)
        for row in values[y::down, x::across]
        if row.size
    ]
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, colour, 0, 0, int(interlaced))
    pixels = chunk(b"IDAT", zlib.compress(b"".join(rows)))
    return PNG + chunk(b"IHDR", header) + b"".join(extra) + pixels + chunk(b"IEND", b"")


def odd_pngs() -> Iterator[Odd]:
    transparent = chunk(b"tRNS", struct.pack(">H", int(TWELVE_BITS[0, 0])))
    yield "png grey16 with a transparent level", (png_of(TWELVE_BITS, 0, transparent), LEVELS, {})
    transparent = chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3))
    yield "png rgb16 with a transparent colour", (png_of(RGB16, 2, transparent), stretched(RGB16), {})
    gamma = chunk(b"gAMA", struct.pack(">I", 100_000))
    yield "png grey16 of linear gamma", (png_of(TWELVE_BITS, 0, gamma), LEVELS, {})
    yield "png rgb8 of linear gamma", (png_of(RGB8, 2, gamma, bits=8), RGB8, {})
    yield "png of 12 significant bits", (png_of(TWELVE_BITS, 0, chunk(b"sBIT", b"\x0c")), LEVELS, {})
    opacity = np.full_like(TWELVE_BITS, 65_535)
    opacity[:3] = 0
    yield (
        "png la16 partly transparent",
        (png_of(np.dstack([TWELVE_BITS, opacity]), 4), _masked(TWELVE_BITS, opacity != 0), {}),
    )
    yield "png rgb8 interlaced", (png_of(RGB8, 2, bits=8, interlaced=True), RGB8, {})
    yield "png grey16 interlaced", (png_of(TWELVE_BITS, 0, interlaced=True), LEVELS, {})
    yield "png rgb16 interlaced", (png_of(RGB16, 2, interlaced=True), stretched(RGB16), {})


def animations() -> Iterator[Odd]:
    frames = [Image.fromarray(np.ascontiguousarray(np.roll(RGB8, shift, 1))) for shift in range(3)]
    for kind, options in {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}, "GIF": {}}.items():
        buffer = io.BytesIO()
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], **options)
        with Image.open(buffer) as image:
            for page in range(3):
                image.seek(page)
                yield f"{kind} frame {page}", (buffer.getvalue(), np.asarray(image.convert("RGB")), {"page": page})
    buffer = io.BytesIO()
    frames[0].save(buffer, "MPO", save_all=True, append_images=frames[1:])
    yield "mpo", (buffer.getvalue(), pillow(buffer.getvalue()), {})
    grey = np.random.default_rng(0).integers(0, 4000, (3, HEIGHT, WIDTH)).astype(np.uint16)
    data = imagecodecs.jpegxl_encode(grey, lossless=True, photometric="gray")
    yield "jxl of three frames", (data, stretched(grey[0]), {})


def orientations() -> Iterator[Odd]:
    turns = {
        2: np.fliplr,
        3: lambda array: np.rot90(array, 2),
        4: np.flipud,
        5: lambda array: array.swapaxes(0, 1),
        6: lambda array: np.rot90(array, -1),
        7: lambda array: np.rot90(array, 2).swapaxes(0, 1),
        8: np.rot90,
    }
    for number, turn in turns.items():
        for kind, options in {"JPEG": {}, "PNG": {}, "WEBP": {"lossless": True}, "AVIF": {}, "TIFF": {}}.items():
            exif = Image.Exif()
            exif[274] = number
            if kind == "TIFF":
                data = encoded(picture("RGB"), kind, tiffinfo={274: number})
            else:
                data = encoded(picture("RGB"), kind, exif=exif, **options)
            yield f"{kind} of orientation {number}", (data, pillow(data), {})
        data = tiff_of(TWELVE_BITS, extratags=[(274, 3, 1, number, True)])
        yield f"tiff16 of orientation {number}", (data, turn(LEVELS), {})
        exif = Image.Exif()
        exif[274] = number
        data = png_of(TWELVE_BITS, 0, chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
        yield f"png16 of orientation {number}", (data, turn(LEVELS), {})
    data, rgb = _turned_avif()
    yield "avif of 10 bits, turned", (data, rgb, {})


def _turned_avif() -> tuple[bytes, NDArray[np.uint8]]:
    """An AVIF of 10 bits with the property `irot`: a quarter to the left."""
    written = imagecodecs.avif_encode(scene(3, np.uint16) >> 6, level=100, bitspersample=10, pixelformat="yuv444")
    data = bytearray(written)

    def grow(box: bytes, by: int) -> int:
        at = data.index(box) - 4
        (size,) = struct.unpack_from(">I", data, at)
        struct.pack_into(">I", data, at, size + by)
        return at + size

    location = data.index(b"iloc") + 18
    struct.pack_into(">I", data, location, struct.unpack_from(">I", data, location)[0] + 10)
    grow(b"meta", 10)
    grow(b"iprp", 10)
    properties, associations = grow(b"ipco", 9), grow(b"ipma", 1)
    data[associations - 5] += 1
    data[associations:associations] = b"\x85"
    data[properties:properties] = struct.pack(">I4sB", 9, b"irot", 1)
    return bytes(data), stretched(np.rot90(imagecodecs.avif_decode(written)))


def numbers_behind_a_header() -> Iterator[Odd]:
    def pam(values: NDArray[Any], highest: int, kind: str) -> bytes:
        depth = 1 if values.ndim == 2 else values.shape[2]
        head = (
            f"P7\n# by hand\nWIDTH {WIDTH}\nHEIGHT {HEIGHT}\nDEPTH {depth}\nMAXVAL {highest}\nTUPLTYPE {kind}\nENDHDR\n"
        )
        return head.encode() + values.astype(">u2" if highest > 255 else "u1").tobytes()

    def text(values: NDArray[Any], kind: int, highest: int) -> bytes:
        return f"P{kind}\n{WIDTH} {HEIGHT}\n{highest}\n{' '.join(map(str, values.ravel()))}\n".encode()

    yield "pam rgb", (pam(RGB8, 255, "RGB"), RGB8, {})
    yield "pam rgb and alpha", (pam(np.dstack([RGB8, GREY8]), 255, "RGB_ALPHA"), RGB8, {})
    yield "pam grey16", (pam(TWELVE_BITS, 65_535, "GRAYSCALE"), LEVELS, {})
    yield "pgm16 in text", (text(TWELVE_BITS, 2, 65_535), LEVELS, {})
    yield "ppm16 in text", (text(RGB16, 3, 65_535), stretched(RGB16), {})
    yield "ppm in text", (text(RGB8, 3, 255), RGB8, {})
    comments = b"P5 # kind\n37 # width\n23\n# highest\n1000\n" + (TWELVE_BITS >> 3).astype(">u2").tobytes()
    yield "pgm of 10 bits with comments", (comments, stretched(TWELVE_BITS >> 3), {})
    few = np.round((GREY8 >> 4) / 15 * 255).astype(np.uint8)
    yield "pgm of 4 bits", (b"P5\n37 23\n15\n" + (GREY8 >> 4).tobytes(), few, {})
    for order, scale in (("<", "-1.0"), (">", "1.0")):
        grey = TWELVE_BITS[::-1].astype(f"{order}f4").tobytes()
        yield f"pfm grey {order}", (f"Pf\n37 23\n{scale}\n".encode() + grey, LEVELS, {})
        colour = RGB16[::-1].astype(f"{order}f4").tobytes()
        yield f"pfm colour {order}", (f"PF\n37 23\n{scale}\n".encode() + colour, stretched(RGB16), {})


def fits_of(values: NDArray[Any], bits: int, **cards: object) -> bytes:
    """A FITS file by hand, rows as they are given: the first is the lowest."""
    sides = {f"NAXIS{axis + 1}": side for axis, side in enumerate(values.shape[::-1])}
    known = {"SIMPLE": "T", "BITPIX": bits, "NAXIS": values.ndim, **sides, **cards}
    head = "".join(f"{name:<8}= {value!s:>20} / a comment".ljust(80) for name, value in known.items()) + "END".ljust(80)
    kind = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}[bits]
    body = values.astype(kind).tobytes()
    return head.encode().ljust(-(-len(head) // 2880) * 2880) + body.ljust(-(-len(body) // 2880) * 2880, b"\0")


def fits() -> Iterator[Odd]:
    up = TWELVE_BITS[::-1].astype(np.int64)
    for bits in (16, 32, 64, -32, -64):
        yield f"fits of {bits} bits", (fits_of(up, bits), LEVELS, {})
    yield "fits of 8 bits", (fits_of(GREY8[::-1], 8), np.dstack([GREY8] * 3), {})
    yield (
        "fits of unsigned 16 bits",
        (
            fits_of(FULL[::-1] - 32_768, 16, BZERO=32_768, BSCALE=1),
            stretched(FULL),
            {},
        ),
    )
    yield "fits below zero", (fits_of(up - 2000, 16), LEVELS, {})
    yield "fits scaled", (fits_of(up, 32, BZERO="1.5D0", BSCALE=0.25), LEVELS, {})
    planes = np.stack([up, TWELVE_BITS])
    yield "fits of two planes", (fits_of(planes, -32), LEVELS[::-1], {"page": 1})
    hole = up.copy()
    hole[0, 0] = -999
    yield "fits with a blank", (fits_of(hole, 16, BLANK=-999), _masked(hole[::-1], hole[::-1] != -999), {})


def odd_pictures() -> Iterator[Odd]:
    """All of them."""
    return itertools.chain(
        odd_tiffs(), nodata(), stacks(), odd_pngs(), animations(), orientations(), numbers_behind_a_header(), fits()
    )


def preview_of_a_raw_picture() -> bytes:
    """A TIFF as Nikon's cameras write: a small picture, and the mosaic in a page inside of it."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(RGB8, subifds=1, photometric="rgb", extratags=[(271, 2, 6, "NIKON", True)], metadata=None)
        writer.write(TWELVE_BITS, photometric="cfa", extratags=[(33421, 3, 2, (2, 2), True)], metadata=None)
    return buffer.getvalue()


KINDS: dict[str, bytes] = {
    "Radiance HDR": b"#?RADIANCE\n",
    "JPEG XR": b"II\xbc\x01" + bytes(40),
    "OpenEXR": b"\x76\x2f\x31\x01" + bytes(40),
    "NumPy": b"\x93NUMPY\x01\0" + bytes(100),
    "DICOM": bytes(128) + b"DICM" + bytes(50),
    "PDF": b"%PDF-1.4\n",
    "SVG": b'<?xml version="1.0"?><!-- x --><svg/>',
    "HEIC": b"\0\0\0\x1cftypmif1\0\0\0\0mif1miafheic",
    "camera": b"FUJIFILMCCD-RAW 0201" + bytes(50),
    "raw picture": b"IIU\0\x18\0\0\0" + bytes(50),
    "CZI": b"ZISRAWFILE" + bytes(60),
    "ND2": b"\xda\xce\xbe\x0a" + bytes(40),
    "NIfTI": struct.pack("<i", 348) + bytes(340) + b"n+1\0",
    "MRC": bytes(208) + b"MAP DA\0\0" + bytes(900),
    "DM3": struct.pack(">III", 3, 100, 1) + bytes(50),
    "NRRD": b"NRRD0004\n",
    "NetCDF": b"CDF\x01" + bytes(40),
    "HDF5": b"\x89HDF\r\n\x1a\n",
    "MATLAB": b"MATLAB 5.0 MAT-file",
    "GIMP": b"gimp xcf v011\0",
    "DjVu": b"AT&TFORM\0\0\0\0DJVU",
    "JBIG2": b"\x97JB2\r\n\x1a\n",
    "SGI picture of 16 bits": b"\x01\xda\0\x02" + bytes(600),
    "Photoshop document of more": b"8BPS" + struct.pack(">H6sHIIHH", 1, b"", 3, 9, 9, 16, 3),
    "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1\n",
    "base64": b"iVBORw0KGgoAAAANSUhEUgAA",
    "camera's raw": preview_of_a_raw_picture(),
    "another file": ome_of_two_files(),
    "complex": tiff_of(TWELVE_BITS.astype(np.complex128)),
}
"""What the refusal names -> a file of this kind."""
