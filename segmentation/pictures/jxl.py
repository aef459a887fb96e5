"""The size of a JPEG XL picture by its header (ISO/IEC 18181-1, SizeHeader), before anything is decoded."""

from segmentation.errors import InvalidImage

_RATIOS = ((0, 0), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_LENGTH_BITS = (9, 13, 18, 30)


def read_size(data: bytes) -> tuple[int, int]:
    """(width, height).

    Raises:
        InvalidImage: no header where one has to be.
    """
    start = 0 if data.startswith(b"\xff\x0a") else _codestream(data)
    if data[start : start + 2] != b"\xff\x0a":
        raise InvalidImage("the JPEG XL picture is truncated or damaged")
    bits = _Bits(data[start + 2 : start + 16])
    small = bits.read(1)
    height = _length(bits, small)
    ratio = bits.read(3)
    if ratio:
        across, down = _RATIOS[ratio]
        return height * across // down, height
    return _length(bits, small), height


def _length(bits: "_Bits", small: int) -> int:
    if small:
        return 8 * (bits.read(5) + 1)
    return 1 + bits.read(_LENGTH_BITS[bits.read(2)])


def _codestream(data: bytes) -> int:
    """Where the codestream begins in the boxes of a container."""
    position = 0
    for _ in range(64):
        length, name = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        header = 8
        if length == 1:
            length, header = int.from_bytes(data[position + 8 : position + 16], "big"), 16
        if name == b"jxlc":
            return position + header
        if name == b"jxlp":
            return position + header + 4
        if length < header:
            break
        position += length
    raise InvalidImage("the JPEG XL picture is truncated or damaged")


class _Bits:
    """Bits from the lowest of each byte on."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")

    def read(self, count: int) -> int:
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        return value
