"""Base64 in every form that clients write, and nothing that is none."""

import base64
import random

import pytest

from deployments.calls.base64_text import SLICE_BYTES, LongText, NotBase64, decode_base64


def forms(data: bytes) -> list[str]:
    text = base64.b64encode(data).decode()
    return [
        text,
        base64.urlsafe_b64encode(data).decode(),
        text.rstrip("="),
        base64.encodebytes(data).decode(),
        text.replace("A", "A\r\n"),
        f" {text}\n",
    ]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1000, 3 * SLICE_BYTES + 1])
def test_every_form_is_read(size: int) -> None:
    data = random.Random(size).randbytes(size)
    for text in forms(data):
        assert decode_base64(text) == data
        raw = text.replace("\r", "\\r").replace("\n", "\\n").replace("=", "\\u003d").replace("/", "\\/")
        assert decode_base64(LongText(memoryview(raw.encode()))) == data
        assert decode_base64("data:," + text, skip=6) == data
        assert decode_base64(LongText(memoryview(b"data:," + raw.encode())), skip=6) == data


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "AAAAA",
        "====",
        "AA=A",
        "AA==AAAA",
        "AAAA*AAA",
        "\uff21" * 4,
        "AAA\ud800",
        "A" * SLICE_BYTES + "=" + "A" * SLICE_BYTES,
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(NotBase64):
        decode_base64(text)


@pytest.mark.parametrize("raw", [b"AAAA\\", b"AAAA\\x", b"\\" * 100, b"\xff" * 8])
def test_broken_escapes_are_refused(raw: bytes) -> None:
    with pytest.raises(NotBase64):
        decode_base64(LongText(memoryview(raw)))
