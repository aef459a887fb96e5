"""Label Studio's run-length encoding of brush labels: bytes of an RGBA picture, row by row. It is not COCO's.

The format is rle-pack of thi.ng/umbrella: 32 bits for the number of words, 5 for a word's bits less 1, four times 4 for
the bits of a run's length less 1; then blocks. A block is 1 bit that tells a run from single words, 2 bits that choose
one of the four lengths, the length less 1, and one word (of a run) or all of them. Everything is most significant bit
first, and the end is filled up to a byte.
"""

import numpy as np
from numpy.typing import NDArray

from segmentation.compiled import compiled
from segmentation.types import Size

CHANNELS = 4
WORD_BITS = 8
LENGTH_BITS = (3, 4, 8, 16)
OPAQUE = 255
HEADER_BITS = 32 + 5 + 4 * len(LENGTH_BITS)


def encode_brush(mask: NDArray[np.bool_]) -> list[int]:
    """A mask, bool [H, W], as Label Studio's `rle`: its pixels are white and opaque, all others clear.

    Raises:
        ValueError: the picture has more pixels than the format counts.
    """
    flat = np.ascontiguousarray(mask).ravel()
    words = CHANNELS * flat.size
    if words >= 2**32:
        raise ValueError("Label Studio's format holds less than 2**30 pixels")
    starts = np.flatnonzero(np.diff(flat, prepend=~flat[:1]))
    lengths = CHANNELS * np.diff(starts, append=flat.size)
    values = np.where(flat[starts], OPAQUE, 0)
    longest = 1 << LENGTH_BITS[-1]
    pieces = -(-lengths // longest)
    rest = lengths - (pieces - 1) * longest
    lengths = np.repeat(np.full(len(rest), longest, np.int64), pieces)
    lengths[pieces.cumsum() - 1] = rest
    fields, widths = _fields(words, lengths, np.repeat(values, pieces))
    bits = np.unpackbits(fields.astype(">u4").view(np.uint8).reshape(-1, 4), axis=1)
    used = np.arange(32) >= 32 - widths[:, None]
    packed: list[int] = np.packbits(bits[used]).tolist()
    return packed


def decode_brush(rle: list[int], size: Size) -> NDArray[np.bool_]:
    """The mask of Label Studio's `rle`, bool [H, W]: where the picture is not clear.

    Raises:
        ValueError: it is no such encoding, or of a picture of another size.
    """
    try:
        data = np.array(rle, np.uint8)
    except (OverflowError, TypeError, ValueError):
        raise ValueError("rle is a list of bytes") from None
    if data.ndim != 1 or 8 * len(data) < HEADER_BITS:
        raise ValueError("rle is too short")
    if _read(data, 0, 32) != CHANNELS * size[0] * size[1] or _read(data, 32, 5) != WORD_BITS - 1:
        raise ValueError("rle is of a picture of another size")
    alpha = np.zeros(size[0] * size[1], np.uint8)
    if not _unpack(data, alpha):
        raise ValueError("rle is damaged")
    return alpha.reshape(size) > 0


def _fields(
    words: int, lengths: NDArray[np.int64], values: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(values, widths in bits) of all fields of the encoding in order."""
    choice = np.searchsorted(1 << np.array(LENGTH_BITS), lengths)
    width = np.array(LENGTH_BITS)[choice]
    head = [(words, 32), (WORD_BITS - 1, 5), *((bits - 1, 4) for bits in LENGTH_BITS)]
    # A run: 1, the choice in 2 bits, the length in `width` bits, the word in 8; at most 27 bits together.
    run = ((((4 | choice) << width) | (lengths - 1)) << WORD_BITS) | values
    fields = np.concatenate((np.array([value for value, _ in head], np.int64), run))
    return fields, np.concatenate((np.array([bits for _, bits in head], np.int64), 3 + width + WORD_BITS))


@compiled
def _read(data: NDArray[np.uint8], place: int, count: int) -> int:
    """`count` bits from the bit at `place` on, as a number."""
    value = 0
    for index in range(place, place + count):
        value = 2 * value + ((data[index // 8] >> (7 - index % 8)) & 1)
    return value


@compiled
def _unpack(data: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> bool:
    """Fills the last of each four words into `alpha`; false if the bits end before, or say more than there are."""
    bits, words = 8 * len(data), CHANNELS * len(alpha)
    done, place = 0, HEADER_BITS
    while done < words:
        if place + 3 > bits:
            return False
        is_run = _read(data, place, 1) == 1
        width = _read(data, 37 + 4 * _read(data, place + 1, 2), 4) + 1
        place += 3
        if place + width > bits:
            return False
        length = _read(data, place, width) + 1
        place += width
        needed = WORD_BITS if is_run else WORD_BITS * length
        if done + length > words or place + needed > bits:
            return False
        word = _read(data, place, WORD_BITS)
        for index in range(length):
            if (done + index) % CHANNELS == CHANNELS - 1:
                alpha[(done + index) // CHANNELS] = word if is_run else _read(data, place + WORD_BITS * index, 8)
        place += needed
        done += length
    return True
