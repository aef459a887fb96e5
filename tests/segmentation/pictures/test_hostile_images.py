"""Bytes that are no picture, only part of one, or a picture that would fill the memory."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tifffile
from pictures import KINDS, decode, encoded, picture, tiff_of
from PIL import TiffImagePlugin

from segmentation.errors import ImageTooLarge, InvalidImage, UnsupportedMediaType
from segmentation.weights.manifest import PROJECT_ROOT


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0.02, 0.1, 0.3, 0.6, 0.9])
def test_truncated(kind: str, kept: float) -> None:
    data = encoded(picture("P" if kind == "GIF" else "RGB"), kind)
    with pytest.raises(InvalidImage) as caught:
        decode(data[: int(kept * len(data))])
    assert "object at" not in caught.value.message


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bytes_give_a_picture_or_an_error_of_ours(kind: str) -> None:
    data = encoded(picture("P" if kind == "GIF" else "RGB"), kind)
    random = np.random.default_rng(0)
    outcomes: set[str] = set()
    for _ in range(200):
        broken = bytearray(data)
        for place in random.integers(0, min(len(data), 300), 3):
            broken[place] = random.integers(0, 256)
        try:
            decode(bytes(broken))
        except (InvalidImage, UnsupportedMediaType, ImageTooLarge) as error:
            outcomes.add(error.code)
    assert "invalid_image" in outcomes


def test_empty() -> None:
    with pytest.raises(InvalidImage, match=r"empty; JPEG, PNG, .* are read"):
        decode(b"")


@pytest.mark.parametrize(
    "data", [b"x", b"\0" * 100, b"hello world", b"II*", bytes(range(256)), b"BM", b"\xff\xd8\xff\xe0"]
)
def test_no_picture(data: bytes) -> None:
    with pytest.raises(InvalidImage):
        decode(data)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"%PDF-1.7\n", "PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\x76\x2f\x31\x01" + b"\0" * 20, "OpenEXR"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "MP4"),
        (b"\x1a\x45\xdf\xa3" + b"\0" * 20, "WebM"),
        (b"RIFF\0\0\0\0AVI LIST", "AVI"),
        (b"PK\x03\x04" + b"\0" * 20, "zip"),
        (b'  {"image": 1}', "JSON"),
        (b"\xef\xbb\xbf[1, 2]", "JSON"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"<?xml version='1.0'?>\n<svg/>", "SVG"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"data:image/png;base64,iVBOR", "data URI"),
        (b"\0" * 128 + b"DICM", "DICOM"),
    ],
)
def test_recognisably_another_kind(data: bytes, name: str) -> None:
    with pytest.raises(UnsupportedMediaType, match=f"{name}.*are read|{name}.*convert"):
        decode(data)


def test_camera_raw_is_not_mistaken_for_its_thumbnail() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[50706] = b"\x01\x04\0\0"
    with pytest.raises(UnsupportedMediaType, match="raw"):
        decode(encoded(picture("RGB"), "TIFF", tiffinfo=tags))


def test_jpeg_of_endless_scans_is_refused_unread() -> None:
    """Each repeated scan is legal, costs a pass over all pixels, and has a few bytes."""
    honest = encoded(picture("RGB"), "JPEG", progressive=True)
    scan = honest[honest.rindex(b"\xff\xda") : -2]
    assert honest.count(b"\xff\xda") + 80 <= 100
    assert decode(honest[:-2] + 80 * scan + honest[-2:]).any()
    with pytest.raises(InvalidImage, match="too many scans"):
        decode(honest[:-2] + 100 * scan + honest[-2:])


def test_scan_markers_in_metadata_and_behind_the_picture_are_not_counted() -> None:
    data = encoded(picture("RGB"), "JPEG", comment=b"\xff\xda" * 1000) + b"\0\0" + b"\xff\xda\0\2" * 1000
    assert np.array_equal(decode(data), decode(encoded(picture("RGB"), "JPEG")))


def png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1_000_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def gif_header(screen: int, frame: int) -> bytes:
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", screen, screen, 0, 0, 0)
        + struct.pack("<cHHHHBB", b",", 0, 0, frame, frame, 0, 8)
    )


def bmp_header(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def with_tags(data: bytes, **tags: int) -> bytes:
    """A little-endian TIFF with other values of some tags of its first page, `_CODE=value`."""
    changed = bytearray(data)
    table = struct.unpack("<I", data[4:8])[0]
    for entry in range(table + 2, table + 2 + 12 * struct.unpack("<H", data[table : table + 2])[0], 12):
        name = f"_{struct.unpack('<H', data[entry : entry + 2])[0]}"
        if name in tags:
            changed[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, tags.pop(name))
    assert not tags
    return bytes(changed)


def deflate_bomb() -> bytes:
    """8 x 8 doubles whose one strip inflates to 400 MB."""
    honest = tiff_of(np.zeros((8, 8)), compression="zlib")
    bomb = zlib.compress(b"\0" * 400_000_000, 1)
    return with_tags(honest, _273=len(honest), _279=len(bomb)) + bomb


def test_strips_that_overlap() -> None:
    """A small file could otherwise be inflated a million times."""
    honest = tiff_of(np.zeros((64, 8)), compression="zlib", rowsperstrip=1)
    decode(honest)
    with tifffile.TiffFile(io.BytesIO(honest)) as file:
        counts = file.pages.first.tags[279]
    overlapping = bytearray(honest)
    overlapping[counts.valueoffset : counts.valueoffset + 2 * 64] = struct.pack("<H", 100) * 64
    assert counts.dtype == tifffile.DATATYPE.SHORT
    with pytest.raises(InvalidImage, match="strips overlap"):
        decode(bytes(overlapping))


BOMBS = {
    "png": png_header(60_000, 60_000),
    "png-long": png_header(2**31 - 1, 1),
    "gif": gif_header(65_535, 65_535),
    "gif-frame": gif_header(1, 65_535),
    "bmp": bmp_header(60_000, 60_000),
    "bmp-flipped": bmp_header(60_000, -60_000),
    "tiff-deflate": deflate_bomb(),
    "tiff-tile": with_tags(tiff_of(np.zeros((8, 8), np.uint8), tile=(16, 16)), _322=9008, _323=9008),
    "tiff-tile-doubles": with_tags(tiff_of(np.zeros((8, 8)), tile=(16, 16)), _322=9008, _323=9008),
}

MEASURE = """
import resource, sys
from segmentation.errors import ImageTooLarge, InvalidImage
from segmentation.pictures.decode import decode_image
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
bomb = sys.stdin.buffer.read()
before = peak()
try:
    decode_image(bomb, max_megapixels=64)
except (ImageTooLarge, InvalidImage) as error:
    print(error.code, peak() - before)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_cost_no_memory(name: str) -> None:
    """In a process of its own: the peak of resident memory can't be reset."""
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", MEASURE],
        input=BOMBS[name],
        cwd=PROJECT_ROOT,
        capture_output=True,
        check=True,
    )
    code, kilobytes = child.stdout.decode().split()
    assert code == ("invalid_image" if name == "tiff-deflate" else "image_too_large")
    assert int(kilobytes) < 20_000
