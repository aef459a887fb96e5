"""Base64 as clients write it: standard or URL-safe, with line breaks, with or without padding. Knows no HTTP.

Long texts are decoded slice by slice: the decoder holds the interpreter while it works.
"""

import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass

SLICE_BYTES = 1_000_000
_SPACE = b" \t\r\n"
_STANDARD = bytes.maketrans(b"-_", b"+/")
_LONGEST_ESCAPE = 6


class NotBase64(ValueError):
    """The text has other characters, or padding where none belongs, or ends inside of a byte."""


@dataclass(frozen=True, slots=True)
class LongText:
    """A long JSON string as it stands in the document: between its quotes, with its escapes."""

    raw: memoryview

    def head(self, characters: int) -> str:
        """The first characters, approximately as many; raises ValueError for what is no JSON string."""
        return next(self._unescaped(0, max(characters, _LONGEST_ESCAPE)), b"").decode("utf-8", "replace")

    def slices(self, skip: int = 0) -> Iterator[bytes]:
        """The text, without its first bytes, in UTF-8; raises ValueError for what is no JSON string."""
        for piece in self._unescaped(0, SLICE_BYTES):
            yield piece[skip:]
            skip = max(skip - len(piece), 0)

    def _unescaped(self, start: int, size: int) -> Iterator[bytes]:
        while start < len(self.raw):
            piece = bytes(self.raw[start : start + size])
            if start + size < len(self.raw) and (escape := piece.rfind(b"\\", -_LONGEST_ESCAPE)) > 0:
                # Before the last escape, and before a backslash that it may be the second half of.
                while escape > 1 and piece[escape - 1 : escape] == b"\\":
                    escape -= 1
                piece = piece[:escape]
            start += len(piece)
            yield json.loads(b'"' + piece + b'"').encode("utf-8", "replace") if b"\\" in piece else piece


def decode_base64(text: str | LongText, skip: int = 0) -> bytes:
    """The bytes.

    Args:
        skip: characters before the base64.

    Raises:
        NotBase64: it is none.
    """
    slices: Iterator[bytes]
    if isinstance(text, str):
        text = text[skip:]
        slices = (
            text[start : start + SLICE_BYTES].encode("utf-8", "replace") for start in range(0, len(text), SLICE_BYTES)
        )
    else:
        slices = text.slices(skip)
    try:
        return b"".join(_decoded(slices))
    except ValueError:
        raise NotBase64 from None


def _decoded(slices: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in slices:
        rest += piece.translate(_STANDARD, _SPACE)
        whole = (len(rest) - 1) // 4 * 4  # the last four may be padded
        if whole > 0:
            if b"=" in rest[:whole]:
                raise NotBase64
            yield binascii.a2b_base64(rest[:whole], strict_mode=True)
            rest = rest[whole:]
    if b"=" not in rest:
        rest += b"=" * (-len(rest) % 4)
    yield binascii.a2b_base64(rest, strict_mode=True)
