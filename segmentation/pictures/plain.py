"""Pictures that are nothing but numbers behind a header: PNM of more than 8 bits, PAM, PFM and FITS.

Pillow shortens PNM to 8 bits, knows neither PAM nor PFM in colour, and reads FITS without its zero point.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.errors import InvalidImage, InvalidRequest
from segmentation.pictures.limits import accept, require_size
from segmentation.pictures.pixels import Samples, samples_of

MAX_HEADER_BYTES = 4_096
MAX_PLANES = 100_000
CARD, BLOCK, MAX_CARDS = 80, 2_880, 36_000

_GAP = rb"(?:\s+|\s*#[^\n]*\n)+"
_PNM = re.compile(rb"P([2356])" + _GAP + rb"(\d+)" + _GAP + rb"(\d+)" + _GAP + rb"(\d+)\s")
_PAM = re.compile(rb"P7\s*\n((?:.*\n)*?)ENDHDR\n")
_PFM = re.compile(rb"P([fF])\s+(\d+)\s+(\d+)\s+([-+.\deE]+)\s")


def pnm_reader(data: bytes) -> Callable[[bytes, int], Samples] | None:
    """What reads this file of the PNM family; None where Pillow does."""
    head = data[:MAX_HEADER_BYTES]
    if head.startswith(b"P7"):
        return _read_pam
    if head.startswith((b"PF", b"Pf")):
        return _read_pfm
    header = _PNM.match(head)
    return _read_pnm if header is not None and int(header[4]) > 255 else None


def _read_pnm(data: bytes, limit: int) -> Samples:
    header = _PNM.match(data[:MAX_HEADER_BYTES])
    if header is None or int(header[4]) > 65_535:
        raise _damaged("PNM")
    channels, width, height = 3 if header[1] in b"36" else 1, int(header[2]), int(header[3])
    require_size(width, height, limit)
    count = channels * width * height
    if header[1] in b"56":
        values = _numbers(data, ">u2", count, header.end(), "PNM")
    else:
        values = _in_text(data[header.end() :], count)
    return samples_of(values.astype(np.uint16).reshape(height, width, channels), alpha=False)


def _in_text(text: bytes, count: int) -> NDArray[Any]:
    words = re.sub(rb"#[^\n]*", b"", text).split(None, count)[:count]
    try:
        values = np.array(words, np.int64)
    except (ValueError, OverflowError):
        raise _damaged("PNM") from None
    if len(values) < count or (count and not 0 <= values.min() <= values.max() <= 65_535):
        raise _damaged("PNM")
    return values


def _read_pam(data: bytes, limit: int) -> Samples:
    header = _PAM.match(data[:MAX_HEADER_BYTES])
    if header is None:
        raise _damaged("PAM")
    fields: dict[bytes, bytes] = {}
    for line in header[1].splitlines():
        name, _, value = line.strip().partition(b" ")
        fields.setdefault(name, value.strip())
    try:
        width, height, depth, highest = (int(fields[name]) for name in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"))
    except (KeyError, ValueError):
        raise _damaged("PAM") from None
    kind = fields.get(b"TUPLTYPE", b"")
    if not (1 <= depth <= 64 and 1 <= highest <= 65_535) or kind.startswith(b"CMYK"):
        raise InvalidImage("PAM pictures of this kind are not read; save it as PNG or TIFF")
    require_size(width, height, limit)
    dtype = np.dtype(">u2" if highest > 255 else "u1")
    count = depth * width * height
    accept(0, count * dtype.itemsize)
    values = _numbers(data, dtype, count, header.end(), "PAM").reshape(height, width, depth)
    if highest < 255:
        values = ((np.minimum(values, highest).astype(np.uint16) * 255 + highest // 2) // highest).astype(np.uint8)
    return samples_of(values.astype(dtype.newbyteorder("=")), alpha=kind.endswith(b"_ALPHA"))


def _read_pfm(data: bytes, limit: int) -> Samples:
    header = _PFM.match(data[:MAX_HEADER_BYTES])
    if header is None:
        raise _damaged("PFM")
    try:
        order = "<" if float(header[4]) < 0 else ">"
    except ValueError:
        raise _damaged("PFM") from None
    channels, width, height = 3 if header[1] == b"F" else 1, int(header[2]), int(header[3])
    require_size(width, height, limit)
    accept(0, 4 * channels * width * height)
    values = _numbers(data, f"{order}f4", channels * width * height, header.end(), "PFM")
    return samples_of(values.astype(np.float32).reshape(height, width, channels)[::-1], alpha=False)


def read_fits(data: bytes, page: int, limit: int) -> tuple[Samples, int]:
    """(a plane of the first image of a FITS file, its rows from the top; how many planes there are).

    Planes are those along the third and all further axes. Values are physical: `BZERO` + `BSCALE` x stored.

    Raises:
        InvalidImage: no image, or one that is damaged or compressed.
        ImageTooLarge: by its header.
        InvalidRequest: no such plane.
    """
    cards, start = _first_image(data)
    bits, axes = _integer(cards, "BITPIX"), _axes(cards)
    width, height, planes = axes[0], axes[1], math.prod(axes[2:])
    dtypes = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
    if bits not in dtypes or planes > MAX_PLANES:
        raise _damaged("FITS")
    if page >= planes > 0:
        raise InvalidRequest(f"the picture has {planes} pages, counted from 0", "/decode/page")
    require_size(width, height, limit)
    dtype = np.dtype(dtypes[bits])
    accept(0, 2 * width * height * dtype.itemsize)
    offset = start + page * width * height * dtype.itemsize
    stored = _numbers(data, dtype, width * height, offset, "FITS").astype(dtype.newbyteorder("="))
    stored = stored.reshape(height, width, 1)[::-1]
    samples = samples_of(_physical(stored, _number(cards, "BZERO", 0.0), _number(cards, "BSCALE", 1.0)), alpha=False)
    blank = cards.get("BLANK")
    if blank is None or bits < 0:
        return samples, planes
    valid = stored != _integer(cards, "BLANK")
    return samples_of(samples.values, alpha=False, valid=None if valid.all() else valid), planes


def _physical(stored: NDArray[Any], zero: float, scale: float) -> NDArray[Any]:
    """Integers stay integers where only their range is moved, as FITS writes unsigned ones; else float64."""
    if zero == 0 and scale == 1:
        return stored
    if scale == 1 and stored.dtype.kind in "iu" and zero.is_integer():
        limits = np.iinfo(stored.dtype)
        low, high = int(limits.min) + int(zero), int(limits.max) + int(zero)
        for name in ("u1", "i1", "u2", "i2", "u4", "i4"):
            if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
                return (stored.astype(np.int64) + int(zero)).astype(name)
    return np.asarray(stored.astype(np.float64) * scale + zero)


def _first_image(data: bytes) -> tuple[Mapping[str, str], int]:
    """(the header of the first unit with a picture, where its numbers begin)."""
    start = 0
    while start < len(data):
        cards, begin = _header(data, start)
        axes = _axes(cards)
        extension = cards.get("XTENSION", "'IMAGE").strip("' ").upper()
        if extension == "BINTABLE" and cards.get("ZIMAGE", "").startswith("T"):
            raise InvalidImage("this FITS file is compressed; unpack it with funpack")
        if len(axes) >= 2 and min(axes) > 0 and extension == "IMAGE":
            return cards, begin
        groups = _integer(cards, "PCOUNT", 0), _integer(cards, "GCOUNT", 1)
        size = abs(_integer(cards, "BITPIX")) // 8 * max(groups[1], 0) * (groups[0] + (math.prod(axes) if axes else 0))
        start = begin + -(-max(size, 0) // BLOCK) * BLOCK
    raise InvalidImage("this FITS file holds no picture")


def _header(data: bytes, start: int) -> tuple[Mapping[str, str], int]:
    cards: dict[str, str] = {}
    for number in range(MAX_CARDS):
        card = data[start + number * CARD : start + (number + 1) * CARD]
        if len(card) < CARD:
            break
        name = card[:8].decode("latin-1").strip()
        if name == "END":
            return cards, start + -(-(number + 1) * CARD // BLOCK) * BLOCK
        if card[8:10] == b"= ":
            cards.setdefault(name, card[10:].decode("latin-1").partition("/")[0].strip())
    raise _damaged("FITS")


def _axes(cards: Mapping[str, str]) -> list[int]:
    count = _integer(cards, "NAXIS")
    if not 0 <= count <= 999:
        raise _damaged("FITS")
    return [max(_integer(cards, f"NAXIS{axis + 1}"), 0) for axis in range(count)]


def _integer(cards: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = cards.get(name, "")
    if not text and default is not None:
        return default
    if not re.fullmatch(r"[-+]?\d{1,18}", text):
        raise _damaged("FITS")
    return int(text)


def _number(cards: Mapping[str, str], name: str, default: float) -> float:
    try:
        value = float(cards.get(name, str(default)).upper().replace("D", "E"))
    except ValueError:
        raise _damaged("FITS") from None
    if not math.isfinite(value):
        raise _damaged("FITS")
    return value


def _numbers(data: bytes, dtype: Any, count: int, offset: int, kind: str) -> NDArray[Any]:
    if offset + count * np.dtype(dtype).itemsize > len(data):
        raise _damaged(kind)
    return np.frombuffer(data, dtype, count, offset)


def _damaged(kind: str) -> InvalidImage:
    return InvalidImage(f"the {kind} picture is truncated or damaged")
