"""Files that claim to be pictures and mean harm, or are damaged, or are something else as well. All are small."""

import io
import struct
import zlib

import numpy as np
from pictures import KINDS, encoded, picture, tiff_of
from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"


def chunk(name: bytes, body: bytes, crc: int | None = None) -> bytes:
    """One chunk of a PNG."""
    crc = zlib.crc32(name + body) if crc is None else crc
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc)


def png(width: int, height: int, *extra: bytes, depth: int = 8, colour: int = 2, inflated: int = 1_000_000) -> bytes:
    """A PNG of black pixels, or of fewer or more than it says."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * inflated, 9))
    return PNG + header + b"".join(extra) + pixels + chunk(b"IEND", b"")


def gif(screen: int, frame: int) -> bytes:
    screen_bytes = struct.pack("<HHBBB", screen, screen, 0, 0, 0)
    return b"GIF89a" + screen_bytes + struct.pack("<cHHHHBB", b",", 0, 0, frame, frame, 0, 8)


def bmp(width: int, height: int, *, bits: int = 24, compression: int = 0, colours: int = 0) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, colours, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header


def webp(width: int, height: int) -> bytes:
    """A lossless WebP's header: 14 bits a side."""
    body = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + b"\0" * 20
    inner = b"WEBPVP8L" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(inner)) + inner


def webp_canvas(width: int, height: int) -> bytes:
    """An extended WebP's header: 24 bits a side."""
    body = b"\x02\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    inner = b"WEBPVP8X" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(inner)) + inner


def jpeg_sized(width: int, height: int) -> bytes:
    """A true JPEG whose frame header tells another size."""
    data = bytearray(encoded(picture("RGB"), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def tiff(entries: list[tuple[int, int, int, int]], next_table: int = 0) -> bytes:
    """A TIFF of these (tag, type, count, value) and nothing else."""
    table = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + struct.pack("<I", next_table) + b"\0" * 64


def tiff_page(width: int, height: int, **tags: int) -> list[tuple[int, int, int, int]]:
    """The tags of one 8-bit grey strip; `tXXX=value` sets others."""
    known = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 64}
    known |= {int(name[1:]): value for name, value in tags.items()}
    return [(tag, 4, 1, value) for tag, value in known.items()]


def circular_tiff() -> bytes:
    """A true TIFF whose last page is followed by its first."""
    data = bytearray(encoded(picture("L"), "TIFF"))
    (table,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, table)
    struct.pack_into("<I", data, table + 2 + 12 * count, table)
    return bytes(data)


def with_exif(exif: bytes) -> bytes:
    return encoded(picture("RGB"), "JPEG", exif=b"Exif\0\0" + exif)


def animated(kind: str, frames: int) -> bytes:
    pages = [Image.new("RGB", (8, 8), (40 * index, 200, 0)) for index in range(frames)]
    buffer = io.BytesIO()
    pages[0].save(buffer, kind, save_all=True, append_images=pages[1:])
    return buffer.getvalue()


def many_scans() -> bytes:
    honest = encoded(picture("RGB"), "JPEG", progressive=True)
    scan = honest[honest.rindex(b"\xff\xda") : -2]
    return honest[:-2] + 5000 * scan + honest[-2:]


LOOP = struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 0x8769, 4, 1, 8, 8)
"""EXIF whose inner table is the outer one."""

TRUNCATED = {
    f"{kind} cut at {kept:.0%}": (data[: int(kept * len(data))], "invalid_image")
    for kind in KINDS
    for data in [encoded(picture("P" if kind == "GIF" else "RGB"), kind)]
    for kept in (0.1, 0.5, 0.9)
}

BOMBS = {
    "png of 3600 megapixels": (png(60_000, 60_000), "image_too_large"),
    "png as wide as can be": (png(2**31 - 1, 1), "image_too_large"),
    "png beyond what can be": (png(2**32 - 1, 2**32 - 1), "image_too_large"),
    "png of no pixels": (png(0, 0), "invalid_image"),
    "png that inflates to more than it says": (png(8, 8, inflated=100_000_000), "ok"),
    "png of a text that inflates": (
        png(8, 8, chunk(b"zTXt", b"a\0\0" + zlib.compress(b"a" * 50_000_000))),
        "ok",
    ),
    "png of many texts that inflate": (
        png(8, 8, *[chunk(b"zTXt", b"a\0\0" + zlib.compress(b"a" * 900_000))] * 100),
        "ok",
    ),
    "png of a profile that inflates": (
        png(8, 8, chunk(b"iCCP", b"a\0\0" + zlib.compress(b"a" * 50_000_000))),
        "ok",
    ),
    "png of 2**31 frames": (png(8, 8, chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))), "ok"),
    "gif of a large screen": (gif(65_535, 65_535), "image_too_large"),
    "gif of a large frame": (gif(1, 65_535), "image_too_large"),
    "bmp of 3600 megapixels": (bmp(60_000, 60_000), "image_too_large"),
    "bmp from the top": (bmp(60_000, -60_000), "image_too_large"),
    "bmp of the most negative height": (bmp(1, -(2**31)), "image_too_large"),
    "bmp of negative width": (bmp(-8, 8), "image_too_large"),
    "bmp of run lengths that end at once": (
        bmp(2000, 2000, bits=8, compression=1) + b"\0" * 1024 + b"\0\1",
        "invalid_image",
    ),
    "bmp of 2**32 colours": (bmp(8, 8, bits=8, colours=2**32 - 1), "invalid_image"),
    "webp of 268 megapixels": (webp(16_383, 16_383), "image_too_large"),
    "webp of a canvas of 2**24": (webp_canvas(2**24, 2**24), "image_too_large"),
    "jpeg of 65500 a side": (jpeg_sized(65_500, 65_500), "image_too_large"),
    "jpeg of no height": (jpeg_sized(37, 0), "invalid_image"),
    "jpeg of 5000 scans": (many_scans(), "invalid_image"),
    "tiff of 2**32 a side": (tiff(tiff_page(2**32 - 1, 2**32 - 1)), "image_too_large"),
    "tiff of a strip that is not there": (tiff(tiff_page(100, 100, t273=2**31, t279=2**31)), "invalid_image"),
    "tiff of 65535 samples": (tiff(tiff_page(1000, 1000, t277=65_535)), "image_too_large"),
    "tiff of 2**31 bits": (tiff(tiff_page(8, 8, t258=2**31)), "invalid_image"),
    "tiff of 2**30 strips": (
        tiff([*[e for e in tiff_page(8, 8) if e[0] != 273], (273, 4, 2**30, 8)]),
        "invalid_image",
    ),
    "tiff whose pages go round": (circular_tiff(), "ok"),
    "tiff of a table of 65535 entries": (b"II*\0\x08\0\0\0\xff\xff" + b"\0" * 1000, "invalid_image"),
    "tiff that inflates": (
        tiff_of(np.zeros((8, 8)), compression="zlib")[:-20] + zlib.compress(b"\0" * 50_000_000),
        "invalid_image",
    ),
    "bigtiff of an offset of 2**63": (b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**63), "invalid_image"),
}

POLYGLOTS = {
    "png that is also a zip archive": (encoded(picture("RGB"), "PNG") + b"PK\x05\x06" + b"\0" * 18, "ok"),
    "jpeg that is also a page": (encoded(picture("RGB"), "JPEG", comment=b"<script>alert(1)</script>"), "ok"),
    "gif that is also a script": (b"GIF89a/*" + b"*/=1;alert(1);//", "invalid_image"),
    "pdf that is also a png": (b"%PDF-1.7\n" + encoded(picture("RGB"), "PNG"), "unsupported_media_type"),
    "svg that reads a file": (
        b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
        "invalid_image",
    ),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) run", "unsupported_media_type"),
    "tiff of a jpeg": (tiff(tiff_page(8, 8, t259=7)), "invalid_image"),
    "webp in a wave file": (b"RIFF\x10\0\0\0WAVE" + webp(8, 8), "unsupported_media_type"),
    "python pickle": (b"\x80\x04cos\nsystem\n(S'id'\ntR.", "invalid_image"),
    "numpy array": (b"\x93NUMPY\x01\0", "unsupported_media_type"),
}

DAMAGED = {
    "png with a wrong checksum": (PNG + chunk(b"IHDR", b"\0" * 13, crc=1), "invalid_image"),
    "png without pixels": (PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)), "invalid_image"),
    "png of no such depth": (png(8, 8, depth=3), "invalid_image"),
    "png of no such colour": (png(8, 8, colour=9), "invalid_image"),
    "png of a palette that is not there": (png(8, 8, colour=3), "ok"),
    "png with a chunk of 2 GB": (PNG + struct.pack(">I", 2**31 - 1) + b"IHDR" + b"\0" * 30, "invalid_image"),
    "png with a megabyte of rubbish": (png(8, 8, chunk(b"ruSh", bytes(1_000_000))), "ok"),
    "exif that goes round": (with_exif(LOOP), "ok"),
    "exif of no such orientation": (
        with_exif(struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 274, 3, 1, 99, 0)),
        "ok",
    ),
    "exif cut short": (with_exif(LOOP[:12]), "ok"),
    "one byte": (b"\xff", "invalid_image"),
    "null bytes": (b"\0" * 1000, "invalid_image"),
    "nothing": (b"", "invalid_image"),
}

CORPUS = TRUNCATED | BOMBS | POLYGLOTS | DAMAGED
"""Name -> (file, what the server says: `ok` or a problem's code)."""
