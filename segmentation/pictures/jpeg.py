"""Scans of a JPEG, counted before it is decoded: each may take a hundred bytes, and costs a pass over every pixel."""

import re

MAX_SCANS = 100
"""Encoders write about ten into a progressive picture."""

_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9


def has_too_many_scans(data: bytes) -> bool:
    """Whether there are more than `MAX_SCANS`; walks the markers as libjpeg does, and stops where it stops."""
    scans, position = 0, 2
    while scans <= MAX_SCANS and (match := _MARKER.search(data, position)):
        marker = data[match.start() + 1]
        if marker == _END_OF_IMAGE:
            return False
        scans += marker == _START_OF_SCAN
        length = int.from_bytes(data[match.end() : match.end() + 2], "big")
        position = match.end() + max(length, 2)
    return scans > MAX_SCANS
