"""The tables (IFDs) of a TIFF, bounded before a reader parses them. Knows offsets and counts, no tags.

Each table may be as long as the file and a file may chain many that overlap: 0.9 MB then stand for gigabytes of tags.
"""

import itertools
import struct

from segmentation.errors import InvalidImage

MAX_TABLES = 200_000
MAX_ENTRIES = 2_000
"""Of one table; cameras and slide scanners write about a hundred."""


def count_tables(data: bytes) -> int:
    """How many tables follow each other from the first on, up to one that is not whole or was there before.

    Raises:
        InvalidImage: tables overlap, have too many entries, or are too many; or there is none.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in {b"+\0", b"\0+"}
    counts, offsets, entry_bytes = (f"{order}Q", f"{order}Q", 20) if big else (f"{order}H", f"{order}I", 12)
    count_bytes, offset_bytes = struct.calcsize(counts), struct.calcsize(offsets)
    spans: list[tuple[int, int]] = []
    seen: set[int] = set()
    place = 8 if big else 4
    while place + offset_bytes <= len(data):
        (start,) = struct.unpack_from(offsets, data, place)
        if start == 0 or start in seen or start + count_bytes > len(data):
            break
        (count,) = struct.unpack_from(counts, data, start)
        place = start + count_bytes + entry_bytes * count
        if count == 0 or place > len(data):
            break
        if count > MAX_ENTRIES:
            raise InvalidImage(f"the TIFF picture has a table of {count} tags, which none needs; save it again")
        if len(spans) == MAX_TABLES:
            raise InvalidImage(f"the TIFF picture has more than {MAX_TABLES} pages; send the one that is meant")
        seen.add(start)
        spans.append((start, place))
    if not spans:
        raise InvalidImage("the TIFF picture is truncated or damaged")
    spans.sort()
    if any(end > after for (_, end), (after, _) in itertools.pairwise(spans)):
        raise InvalidImage("the TIFF picture's tables overlap; save it again")
    return len(spans)
