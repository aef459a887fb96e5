"""JSON documents of requests: bounded before they are parsed, and parsed in pieces that leave the event loop alone.

Python's parser holds the interpreter for as long as it works, and the ingress has one interpreter for everybody. So a
large document is first looked over by a compiled loop without the interpreter's lock: how many values it has, how deep
it nests, where it can be cut, and where its very long strings are. Then each piece is parsed by itself and the pieces
are put together. A string of megabytes, a picture's base64, is taken out of the text and never becomes a Python string.

Knows neither HTTP nor what the documents mean.
"""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.calls.base64_text import LongText
from deployments.calls.errors import BodyTooLarge, InvalidJson
from segmentation.compiled import compiled
from segmentation.errors import LimitExceeded

MAX_VALUES = 2_000_000
"""64 prompts of 1,024 points with labels are 330,000, and 4,000 masks as polygons of 150 points 1,800,000."""
MAX_JSON_BYTES = 20_000_000
"""Of a document without its long strings."""
MAX_DEPTH = 64
MAX_MEMBERS = 100
"""Of one object: no object of a request has as many fields."""
PIECE_BYTES = 65_536
"""Parsed at once: some 5 ms."""
LONG_TEXT_BYTES = 4_000_000

OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT = 0x5B, 0x5D, 0x7B, 0x7D
QUOTE, BACKSLASH, COMMA, COLON = 0x22, 0x5C, 0x2C, 0x3A
BLOCK = 64
"""Bytes of a string that are looked over at once, after as many one by one."""
FINE, TOO_MANY_VALUES, TOO_DEEP, NOT_MATCHED = range(4)

_TOKEN = secrets.token_hex(16)
"""Stands, with a number, for a long string that was taken out; no id, no address and no base64."""


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document. `long_texts` has the strings that were taken out of it, by what stands for them."""

    value: Any
    long_texts: dict[str, LongText]


def read_json(data: bytes) -> Document:
    """One JSON document: UTF-8, each key once, no NaN and no Infinity.

    Raises:
        InvalidJson: anything else.
        LimitExceeded, BodyTooLarge: more of it than any request needs.
    """
    if len(data) <= PIECE_BYTES:
        return Document(_parse(data), {})
    layout = _look_over(data)
    if len(data) - layout.long_bytes > MAX_JSON_BYTES:
        raise BodyTooLarge(f"the JSON beside the picture has at most {MAX_JSON_BYTES / 1e6:g} MB")
    long_texts: dict[str, LongText] = {}
    whole: Any = None
    opened = b""
    for start, stop, closed in layout.pieces(len(data)):
        piece = _take_out(data, start, stop, layout, long_texts)
        value = _parse(_prefix(opened) + piece + _suffix(closed), at=start)
        whole = _joined(whole, value, opened) if start else value
        opened = closed
    return Document(whole, long_texts)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a document can be cut, and its long strings.

    cuts: positions of commas.
    opened: for each cut, the arrays and objects that are open there, the outermost first, as `[` and `{`.
    long_texts: int64 [n, 2], positions of the first and past the last byte between the quotes.
    """

    cuts: NDArray[np.int64]
    opened: list[bytes]
    long_texts: NDArray[np.int64]

    @property
    def long_bytes(self) -> int:
        return int((self.long_texts[:, 1] - self.long_texts[:, 0]).sum())

    def pieces(self, size: int) -> Iterator[tuple[int, int, bytes]]:
        """(start, end, what is open at the end) of each piece."""
        start = 0
        for cut, opened in zip(self.cuts.tolist(), self.opened, strict=True):
            yield start, cut, opened
            start = cut + 1
        yield start, size, b""


def _look_over(data: bytes) -> _Layout:
    length = len(data)
    cuts = np.empty(length // PIECE_BYTES + 1, np.int64)
    depths = np.empty(len(cuts), np.int64)
    stacks = np.empty((len(cuts), MAX_DEPTH), np.uint8)
    long_texts = np.empty((length // LONG_TEXT_BYTES + 1, 2), np.int64)
    outcome, count, longs = _scan(np.frombuffer(data, np.uint8), cuts, depths, stacks, long_texts)
    if outcome == TOO_MANY_VALUES:
        raise LimitExceeded(f"the JSON of a request has at most {MAX_VALUES} values")
    if outcome == TOO_DEEP:
        raise InvalidJson("the JSON is nested too deeply")
    if outcome == NOT_MATCHED:
        raise InvalidJson("the brackets of the JSON don't match")
    opened = [bytes(stack[:depth]) for stack, depth in zip(stacks[:count], depths[:count], strict=True)]
    for cut in cuts[:count].tolist():
        if _is_bare(data, cut):
            raise InvalidJson(f"a value is missing at byte {cut}")
    return _Layout(cuts[:count], opened, long_texts[:longs])


_BEFORE_NOTHING = (b"[", b"{", b",", b":", b"")
_AFTER_NOTHING = (b"]", b"}", b",", b"")
_SPACE = b" \t\r\n"


def _is_bare(data: bytes, cut: int) -> bool:
    """Whether the comma at the cut has no value on one of its sides: its pieces would not show that."""
    before, after = cut - 1, cut + 1
    while before >= 0 and data[before] in _SPACE:
        before -= 1
    while after < len(data) and data[after] in _SPACE:
        after += 1
    return data[before : before + 1] in _BEFORE_NOTHING or data[after : after + 1] in _AFTER_NOTHING


@compiled
def _is_plain(data: NDArray[np.uint8], start: int) -> bool:
    """Whether a block has neither a quote nor a backslash. Branchless, so that it is compiled to SIMD instructions."""
    found = 0
    for offset in range(BLOCK):
        byte = data[start + offset]
        found |= (byte == QUOTE) | (byte == BACKSLASH)
    return found == 0


@compiled
def _scan(
    data: NDArray[np.uint8],
    cuts: NDArray[np.int64],
    depths: NDArray[np.int64],
    stacks: NDArray[np.uint8],
    long_texts: NDArray[np.int64],
) -> tuple[int, int, int]:
    """(outcome, cuts, long texts). Fills the arrays, which have room for as many as there can be."""
    stack = np.empty(MAX_DEPTH, np.uint8)
    depth = values = count = longs = 0
    last_cut = 0
    position = 0
    while position < len(data):
        byte = data[position]
        if byte == QUOTE:
            start = position + 1
            position = start
            while position < len(data) and data[position] != QUOTE:
                position += 2 if data[position] == BACKSLASH else 1
                while position - start >= BLOCK and position + BLOCK <= len(data) and _is_plain(data, position):
                    position += BLOCK
            if position < len(data) and position - start >= LONG_TEXT_BYTES:
                long_texts[longs, 0] = start
                long_texts[longs, 1] = position
                longs += 1
                last_cut += position - start
        elif byte in (OPEN_ARRAY, OPEN_OBJECT):
            if depth == MAX_DEPTH:
                return TOO_DEEP, count, longs
            stack[depth] = byte
            depth += 1
            values += 1
        elif byte in (CLOSE_ARRAY, CLOSE_OBJECT):
            if depth == 0 or byte != stack[depth - 1] + 2:
                return NOT_MATCHED, count, longs
            depth -= 1
        elif byte == COMMA:
            values += 1
            if depth and position - last_cut >= PIECE_BYTES:
                cuts[count] = position
                depths[count] = depth
                stacks[count] = stack
                count += 1
                last_cut = position
        if values > MAX_VALUES:
            return TOO_MANY_VALUES, count, longs
        position += 1
    return FINE, count, longs


def _take_out(data: bytes, start: int, stop: int, layout: _Layout, long_texts: dict[str, LongText]) -> bytes:
    """The bytes of a piece, its long strings replaced."""
    parts: list[bytes] = []
    for begin, end in layout.long_texts.tolist():
        if start <= begin < stop:
            name = f"<{_TOKEN} {len(long_texts)}>"
            long_texts[name] = LongText(memoryview(data)[begin:end])
            parts += [data[start:begin], name.encode()]
            start = end
    return b"".join([*parts, data[start:stop]])


def _prefix(opened: bytes) -> bytes:
    """Opens what was open before the piece; in an object, what the piece begins in is under an empty key."""
    parts = [b"{" if kind == OPEN_OBJECT else b"[" for kind in opened]
    keyed = [part + b'"":' if part == b"{" else part for part in parts[:-1]]
    return b"".join([*keyed, *parts[-1:]])


def _suffix(opened: bytes) -> bytes:
    return b"".join(b"}" if kind == OPEN_OBJECT else b"]" for kind in reversed(opened))


def _joined(whole: Any, piece: Any, opened: bytes) -> Any:
    """The document so far with a further piece in it, which begins inside of what was open."""
    left, right = whole, piece
    for level, kind in enumerate(opened):
        innermost = level == len(opened) - 1
        if kind == OPEN_ARRAY:
            following = left[-1], right[0]
            left.extend(right if innermost else right[1:])
        else:
            following = left[next(reversed(left))], None if innermost else right.pop("")
            _require_once(left, right)
            left.update(right)
        left, right = following
    return whole


def _require_once(left: dict[str, Any], right: dict[str, Any]) -> None:
    if twice := left.keys() & right.keys():
        raise InvalidJson(f"the key {min(twice)[:64]!r} is there twice")
    if len(left) + len(right) > MAX_MEMBERS:
        raise _too_many_members()


def _parse(data: bytes, at: int = 0) -> Any:
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError:
        raise InvalidJson("the JSON is not UTF-8") from None
    except RecursionError:
        raise InvalidJson("the JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        after = f" after byte {at}" if at else ""
        raise InvalidJson(f"{error.msg} at line {error.lineno}, column {error.colno}{after}") from None
    except ValueError:
        raise InvalidJson("the JSON holds a number with too many digits") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_MEMBERS:
        raise _too_many_members()
    document = dict(pairs)
    if len(document) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InvalidJson(f"the key {twice[:64]!r} is there twice")
    return document


def _too_many_members() -> LimitExceeded:
    return LimitExceeded(f"an object of a request has at most {MAX_MEMBERS} fields")


def _constant(name: str) -> None:
    raise InvalidJson(f"{name} is not JSON")
