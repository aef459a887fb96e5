"""The markers of a JPEG, read before it is decoded: its scans, whether it is whole, and metadata that nobody uses.

Segments that are not needed are left out of what a decoder gets. Readers treat them one by one, some in time that grows
with the square of their number, and a file may hold a million.
"""

import re
from dataclasses import dataclass

from segmentation.errors import InvalidImage

MAX_SCANS = 100
"""Encoders write about ten into a progressive picture, and each costs a pass over every pixel."""
MAX_SEGMENTS = 20_000
"""Before the first scan. Two hundred times what cameras write."""

_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_START_OF_SCAN, _END_OF_IMAGE, _COMMENT, _APP0, _APP1, _APP2, _APP14 = 0xDA, 0xD9, 0xFE, 0xE0, 0xE1, 0xE2, 0xEE
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}) | {0xF7}
_LOSSLESS, _JPEG_LS = 0xC3, 0xF7
END = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class JpegMarkers:
    """What the markers say.

    data: the file without unused metadata and without what follows its end.
    ended: whether there is an end marker; without it, the last scan may be cut short.
    scans: their number.
    width, height, bits: of the frame; 0 where there is no frame header.
    pillow: whether it is a process that Pillow decodes: 8 bits with loss.
    """

    data: bytes
    ended: bool
    scans: int
    width: int = 0
    height: int = 0
    bits: int = 0
    pillow: bool = True


def read_markers(data: bytes) -> JpegMarkers:
    """Walks the markers as libjpeg does, and stops where it stops.

    Raises:
        InvalidImage: more scans or segments than an honest picture has.
    """
    scans = segments = width = height = bits = 0
    pillow, ended, has_exif, has_marker_like_samples = True, False, False, False
    kept: list[bytes] = [data[:2]]
    position = 2
    first_scan = None
    dropped = False
    while match := _MARKER.search(data, position):
        start, marker = match.start(), data[match.start() + 1]
        if marker == _END_OF_IMAGE:
            ended = True
            position = match.end()
            break
        length = max(2, int.from_bytes(data[match.end() : match.end() + 2], "big"))
        if marker == _START_OF_SCAN:
            scans += 1
            if scans > MAX_SCANS:
                raise InvalidImage("the JPEG picture has too many scans to be an honest one; save it again")
            first_scan = start if first_scan is None else first_scan
            if has_marker_like_samples:
                ended, position = True, len(data)
                break
        elif first_scan is None:
            segments += 1
            if segments > MAX_SEGMENTS:
                raise InvalidImage("the JPEG picture has too many segments to be an honest one; save it again")
            body = data[match.end() + 2 : match.end() + 16]
            if marker in _FRAMES:
                bits, height, width = (int.from_bytes(part, "big") for part in (body[:1], body[1:3], body[3:5]))
                pillow = bits == 8 and marker not in {_LOSSLESS, _JPEG_LS}
                has_marker_like_samples = marker == _JPEG_LS
            is_used = _is_used(marker, body, has_exif=has_exif)
            has_exif |= is_used and marker == _APP1
            kept += [data[start : match.end() + length]] * is_used
            dropped |= not is_used or start > position
        position = match.end() + length
    end = position if ended else len(data)
    if first_scan is not None and dropped:
        data = b"".join([*kept, data[first_scan:end]])
    elif end < len(data):
        data = data[:end]
    return JpegMarkers(data, ended, scans, width, height, bits, pillow)


def _is_used(marker: int, body: bytes, *, has_exif: bool) -> bool:
    """Whether the segment is needed: tables, frames, the first EXIF, the colour profile, how colours are stored."""
    if marker == _APP1:
        return body.startswith(b"Exif\0") and not has_exif
    if marker == _APP2:
        return body.startswith(b"ICC_PROFILE\0")
    if marker == _APP0:
        return body.startswith(b"JFIF\0")
    return marker == _APP14 or not (_APP0 <= marker <= 0xEF or marker == _COMMENT)
