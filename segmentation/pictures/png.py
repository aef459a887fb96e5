"""The chunks of a PNG, read before it is decoded: metadata that nobody uses, harmless damage, the colour profile.

Ancillary chunks that are not needed are left out of what a decoder gets, whatever their size and checksum.
"""

import struct
import zlib
from dataclasses import dataclass

from segmentation.errors import InvalidImage

MAX_CHUNKS = 200_000
MAX_PROFILE_BYTES = 16_000_000
"""Of a colour profile, inflated; larger ones are ignored."""
MANY_PARTS = 10_000
"""Pixels in more parts than these are put together: readers take time for each."""

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_USED = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"eXIf"})
_MAY_BE_DAMAGED = frozenset({b"tRNS", b"eXIf"})


@dataclass(frozen=True, slots=True)
class PngChunks:
    """What the chunks say.

    data: the file without unused metadata and without what follows its end, with an end.
    profile: the ICC profile, inflated.
    bits: of a sample.
    colour_type: PNG's: 0 grey, 2 colour, 3 palette, 4 grey with alpha, 6 colour with alpha.
    chunks: their number.
    animated: whether there are frames after the first.
    """

    data: bytes
    profile: bytes | None
    width: int
    height: int
    bits: int
    colour_type: int
    chunks: int
    animated: bool


def read_chunks(data: bytes) -> PngChunks:
    """Walks the chunks.

    Raises:
        InvalidImage: no header, or more chunks than an honest picture has.
    """
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise InvalidImage("the PNG picture is truncated or damaged")
    width, height, bits, colour_type = struct.unpack_from(">IIBB", data, 16)
    pieces: list[bytes] = []
    profile: bytes | None = None
    position, chunks, parts, dropped, ended, animated = 8, 0, 0, False, False, False
    while position + 8 <= len(data):
        length, name = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        end = position + 12 + length
        chunks += 1
        if chunks > MAX_CHUNKS:
            raise InvalidImage("the PNG picture has too many chunks to be an honest one; save it again")
        if name == b"iCCP" and profile is None and end <= len(data):
            profile = _inflated(data[position + 8 : position + 8 + length])
        animated |= name == b"acTL"
        parts += name == b"IDAT"
        if name in _USED and not (name in _MAY_BE_DAMAGED and _is_damaged(data, position, length)):
            pieces.append(data[position:end])
        else:
            dropped = True
        position = end
        if name == b"IEND":
            ended = True
            break
    if parts > MANY_PARTS:
        pieces = _joined(pieces)
    if dropped or not ended or position < len(data) or parts > MANY_PARTS:
        if not ended and position <= len(data):
            pieces.append(_chunk(b"IEND", b""))
        data = b"".join([SIGNATURE, *pieces])
    return PngChunks(data, profile, width, height, bits, colour_type, chunks, animated)


def _is_damaged(data: bytes, position: int, length: int) -> bool:
    end = position + 8 + length
    return zlib.crc32(data[position + 4 : end]) != int.from_bytes(data[end : end + 4], "big")


def _joined(pieces: list[bytes]) -> list[bytes]:
    """The chunks with each run of IDAT as one.

    Raises:
        InvalidImage: one of them is damaged.
    """
    joined: list[bytes] = []
    run: list[bytes] = []
    for piece in [*pieces, b""]:
        if piece[4:8] == b"IDAT":
            if _is_damaged(piece, 0, len(piece) - 12):
                raise InvalidImage("the PNG picture is truncated or damaged")
            run.append(piece[8:-4])
            continue
        if run:
            joined.append(_chunk(b"IDAT", b"".join(run)))
            run = []
        joined.append(piece)
    return joined


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _inflated(body: bytes) -> bytes | None:
    """The profile in an iCCP chunk; None where it can't be read."""
    compressed = body.partition(b"\0")[2][1:]
    try:
        profile = zlib.decompressobj().decompress(compressed, MAX_PROFILE_BYTES + 1)
    except zlib.error:
        return None
    return profile if len(profile) <= MAX_PROFILE_BYTES else None
