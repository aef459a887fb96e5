"""Small bodies with large effects: files that make a decoder work, and JSON that makes a reader work."""

import io
import json
import struct
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
import tifffile
from hostile_pictures import PNG, chunk
from PIL import Image


def form(picture: bytes, request: bytes = b"{}") -> tuple[bytes, dict[str, str]]:
    """(body, headers) of a form with these two parts."""
    image = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + picture
    fields = b'\r\n--x\r\nContent-Disposition: form-data; name="request"\r\n\r\n' + request
    return image + fields + b"\r\n--x--\r\n", {"content-type": "multipart/form-data; boundary=x"}


def saved(size: tuple[int, int], kind: str, mode: str = "RGB", **options: object) -> bytes:
    """A picture of one colour, (width, height)."""
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg_with(segments: bytes) -> bytes:
    plain = saved((64, 64), "JPEG")
    return plain[:2] + segments + plain[2:]


def segment(marker: int, body: bytes) -> bytes:
    """One segment of a JPEG."""
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def overlapping_tables(tables: int = 10_050, entries: int = 65_000) -> bytes:
    """A TIFF whose tables, one for each page, share their bytes."""
    tags = [(256, 64), (257, 64), (258, 8), (259, 1), (262, 1), (273, 122), (277, 1), (278, 64), (279, 4096)]
    start = 122 + 4096
    data = bytearray(start + 12 * tables + 2 + 12 * entries + 68)
    data[:8] = b"II*\0" + struct.pack("<I", 8)
    first = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    data[8:122] = struct.pack("<H", 9) + first + struct.pack("<I", start)
    for index in range(tables):
        struct.pack_into("<H", data, start + 12 * index, entries)
    for index in range(tables):
        following = start + 12 * (index + 1) if index + 1 < tables else 0
        struct.pack_into("<I", data, start + 12 * index + 2 + 12 * entries, following)
    return bytes(data)


def shared_strips(strips: int = 60_000) -> bytes:
    """A TIFF whose strips of one row are all the same compressed bytes, which inflate to far more."""
    packed = zlib.compress(b"\0" * 20_000_000, 9)
    tags = [(256, 4, 1000), (257, 4, strips), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1), (278, 4, 1)]
    at = 8 + 2 + 12 * 9 + 4
    offsets = struct.pack(f"<{strips}I", *[at + 8 * strips] * strips)
    counts = struct.pack(f"<{strips}I", *[len(packed)] * strips)
    entries = sorted(
        [struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags]
        + [struct.pack("<HHII", 273, 4, strips, at), struct.pack("<HHII", 279, 4, strips, at + 4 * strips)],
        key=lambda entry: struct.unpack("<H", entry[:2]),
    )
    return b"II*\0" + struct.pack("<IH", 8, 9) + b"".join(entries) + bytes(4) + offsets + counts + packed


def many_pages(pages: int = 150_000) -> bytes:
    """A TIFF of that many pages which share their pixels, 13 MB."""
    tags = [(256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (273, 8), (279, 64)]
    size = 2 + 12 * len(tags) + 4
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    tables = [
        struct.pack("<H", len(tags)) + body + struct.pack("<I", 72 + size * (page + 1) if page + 1 < pages else 0)
        for page in range(pages)
    ]
    return b"II*\0" + struct.pack("<I", 72) + bytes(64) + b"".join(tables)


def gif_comments(blocks: int = 15_000_000) -> bytes:
    """A GIF with a comment in blocks of one byte."""
    plain = saved((8, 8), "GIF", "P")
    start = 13 + 3 * 2 ** ((plain[10] & 7) + 1)
    return plain[:start] + b"!\xfe" + b"\x01a" * blocks + b"\0" + plain[start:]


def bmp_run_lengths(side: int = 8000) -> bytes:
    """A BMP whose run lengths move on without drawing."""
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, 0, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54 + 1024) + header + bytes(1024) + b"\0\x02\0\0" * 10_000_000


def png_chunks(count: int = 2_000_000) -> bytes:
    plain = saved((8, 8), "PNG")
    return PNG + plain[8:33] + chunk(b"ruSt", b"") * count + plain[33:]


def apng_frames(frames: int = 100_000) -> bytes:
    """An animated PNG of small frames."""
    plain = saved((8, 8), "PNG")
    control = chunk(b"acTL", struct.pack(">II", frames, 0))
    pixels = zlib.compress(bytes(8 * 25))
    parts = []
    for frame in range(frames):
        parts.append(chunk(b"fcTL", struct.pack(">IIIIIHHBB", 2 * frame, 8, 8, 0, 0, 1, 1, 0, 0)))
        parts.append(chunk(b"fdAT", struct.pack(">I", 2 * frame + 1) + pixels))
    return plain[:33] + control + plain[33:-12] + b"".join(parts) + plain[-12:]


def webp_chunks(count: int = 4_000_000) -> bytes:
    plain = saved((8, 8), "WEBP", lossless=True)[12:]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0\x07\0\0\x07\0\0" + b"abcd\0\0\0\0" * count + plain
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jp2_boxes(count: int = 4_000_000) -> bytes:
    plain = saved((64, 64), "JPEG2000")
    return plain[:12] + struct.pack(">I4s", 8, b"free") * count + plain[12:]


def avif_boxes(count: int = 4_000_000) -> bytes:
    plain = saved((64, 64), "AVIF")
    (first,) = struct.unpack(">I", plain[:4])
    return plain[:first] + struct.pack(">I4s", 8, b"free") * count + plain[first:]


def wide_tiff(samples: int = 4) -> bytes:
    """64 megapixels of 32-bit floats in that many samples, deflated: a few MB."""
    buffer = io.BytesIO()
    zeros = np.zeros((256, 256, samples), np.float32)
    tiles = (zeros for _ in range((8000 // 256 + 1) ** 2))
    tifffile.imwrite(
        buffer, tiles, shape=(8000, 8000, samples), dtype=np.float32, tile=(256, 256), compression="zlib",
        photometric="minisblack", planarconfig="contig", extrasamples=["unspecified"] * (samples - 1),
    )  # fmt: skip
    return buffer.getvalue()


def zero_jp2(side: int = 8000) -> bytes:
    return saved((side, side), "JPEG2000", "L")


PICTURES: dict[str, tuple[Callable[[], bytes], str]] = {
    "TIFF: overlapping tables": (overlapping_tables, '{"decode": {"page": 9999}}'),
    "TIFF: strips that inflate, shared": (shared_strips, "{}"),
    "TIFF: 150,000 pages": (many_pages, '{"decode": {"page": 149999}}'),
    "TIFF: 64 megapixels of four floats": (wide_tiff, '{"decode": {"scaling": "percentile"}}'),
    "JPEG: EXIF of 200 bytes, often": (
        lambda: jpeg_with(segment(0xE1, b"Exif\0\0" + bytes(200)) * 218_000),
        "{}",
    ),
    "JPEG: empty segments": (lambda: jpeg_with(segment(0xEB, b"") * 12_000_000), "{}"),
    "JPEG: fill bytes": (lambda: jpeg_with(b"\xff" * 48_000_000), "{}"),
    "JPEG: comments": (lambda: jpeg_with(segment(0xFE, b"a") * 9_000_000), "{}"),
    "GIF: comment in blocks of a byte": (gif_comments, "{}"),
    "BMP: run lengths": (bmp_run_lengths, "{}"),
    "PNG: empty chunks": (png_chunks, "{}"),
    "PNG: 100,000 frames, the last": (apng_frames, '{"decode": {"page": 99999}}'),
    "WebP: empty chunks": (webp_chunks, "{}"),
    "JPEG 2000: empty boxes": (jp2_boxes, "{}"),
    "AVIF: empty boxes": (avif_boxes, "{}"),
    "JPEG 2000: 64 megapixels": (zero_jp2, "{}"),
    "PNG: 65,535 x 900": (lambda: saved((65_535, 900), "PNG", "1"), '{"prompts": [{"points": [[1, 0]]}]}'),
    "PNG: 900 x 65,535": (lambda: saved((900, 65_535), "PNG", "1"), '{"prompts": [{"points": [[1, 0]]}]}'),
}
"""Name -> (makes the file, the request beside it)."""


@cache
def picture(name: str) -> bytes:
    return PICTURES[name][0]()


BOX = [0, 0, 1, 1]
JSONS: dict[str, tuple[str, Callable[[], str]]] = {
    "prompts of numbers": ("/segment", lambda: '{"image_id":"x","prompts":[' + "1," * 23_000_000 + "1]}"),
    "prompts of numbers, 10 MB": ("/segment", lambda: '{"image_id":"x","prompts":[' + "1," * 5_000_000 + "1]}"),
    "prompts of empty objects": ("/segment", lambda: '{"image_id":"x","prompts":[' + "{}," * 600_000 + "{}]}"),
    "wrong labels": (
        "/segment",
        lambda: json.dumps({"image_id": "x", "prompts": [{"points": [[1, 2]] * 1024, "labels": ["a"] * 1024}] * 64}),
    ),
    "points of objects": (
        "/segment",
        lambda: json.dumps({"image_id": "x", "prompts": [{"points": [{"a": 1}] * 500_000}]}),
    ),
    "points of lists": ("/segment", lambda: '{"image_id":"x","prompts":[{"points":[' + "[]," * 900_000 + "[]]}]}"),
    "depth": ("/segment", lambda: '{"image_id":"x","prompts":' + "[" * 10_000_000 + "]" * 10_000_000 + "}"),
    "long integers": ("/segment", lambda: '{"image_id":"x","prompts":[' + ("9" * 4000 + ",") * 4000 + "1]}"),
    "long floats": ("/segment", lambda: '{"image_id":"x","prompts":[' + ("0." + "9" * 100_000 + ",") * 150 + "1]}"),
    "fields": (
        "/segment",
        lambda: "{" + ",".join(f'"f{n}":1' for n in range(900_000)) + ',"image_id":"x","prompts":[]}',
    ),
    "escapes": ("/segment", lambda: '{"image_id":"' + "\\u0041" * 3_000_000 + '","prompts":[]}'),
    "a key of 15 MB": ("/segment", lambda: '{"' + "a" * 15_000_000 + '":1}'),
    "grids": (
        "/segment/auto",
        lambda: json.dumps({"image_id": "x", "point_grids": [[[0.1, 0.2]] * 60_000] * 14}),
    ),
    "grids of numbers": ("/segment/auto", lambda: '{"image_id":"x","point_grids":[' + "1," * 900_000 + "1]}"),
    "channels": ("/segment", lambda: json.dumps({"image_id": "x", "decode": {"channels": [1] * 1_900_000}})),
    "rules": (
        "/analyze",
        lambda: json.dumps({"image_id": "x", "filters": [{"property": "area", "min": n} for n in range(400_000)]}),
    ),
    "base64 of spaces": ("/segment", lambda: '{"image":"' + " " * 45_000_000 + '","prompts":[{"points":[[1,1]]}]}'),
    "base64 of line breaks": ("/segment", lambda: '{"image":"' + "A\\n" * 15_000_000 + '","prompts":[]}'),
    "mask_input of 40 MB": (
        "/segment",
        lambda: '{"image_id":"x","prompts":[{"mask_input":"' + "A" * 40_000_000 + '"}]}',
    ),
}
"""Name -> (route, makes the body)."""


@cache
def json_body(name: str) -> bytes:
    return JSONS[name][1]().encode()
