"""Hostile multipart bodies, byte by byte."""

import base64
from collections.abc import Callable

import pytest

from deployments.http.openapi.examples import DISC

PNG = base64.b64decode(DISC.partition(",")[2])
FORM = "multipart/form-data; boundary=x"


def part(head: str | bytes, body: bytes = b"") -> bytes:
    head = head.encode() if isinstance(head, str) else head
    return b"--x\r\n" + head + b"\r\n\r\n" + body + b"\r\n"


def disposition(name: str, filename: str | None = None) -> str:
    return f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")


IMAGE = part(disposition("image", "a.png"), PNG)
END = b"--x--\r\n"

FORMS: dict[str, tuple[bytes, str, str]] = {
    "as it should be": (IMAGE + END, FORM, "ok"),
    "another boundary": (IMAGE + END, "multipart/form-data; boundary=y", "invalid_request"),
    "no boundary": (IMAGE + END, "multipart/form-data", "invalid_request"),
    "an empty boundary": (IMAGE + END, "multipart/form-data; boundary=", "invalid_request"),
    "a boundary of 10 KB": (IMAGE + END, "multipart/form-data; boundary=" + "x" * 10_000, "invalid_request"),
    "a boundary of other bytes": (IMAGE + END, "multipart/form-data; boundary=\xff", "invalid_request"),
    "no end": (IMAGE, FORM, "invalid_request"),
    "cut inside the picture": (IMAGE[:-40], FORM, "invalid_request"),
    "cut inside the request": (IMAGE + part(disposition("request"), b'{"decode": {}}')[:-4], FORM, "invalid_request"),
    "cut inside a head": (IMAGE[:20], FORM, "invalid_request"),
    "nothing": (b"", FORM, "invalid_request"),
    "the end alone": (END, FORM, "invalid_request"),
    "line feeds alone": ((IMAGE + END).replace(b"\r\n", b"\n"), FORM, "invalid_request"),
    "text before": (b"hello\r\n" + IMAGE + END, FORM, "invalid_request"),
    "something behind the end": (IMAGE + END + b"behind" * 10_000, FORM, "ok"),
    "100000 parts": (part(disposition("a")) * 100_000 + END, FORM, "invalid_request"),
    "100000 files": (part(disposition("image", "a")) * 100_000 + END, FORM, "invalid_request"),
    "1000 heads": (part("X: y\r\n" * 1000 + disposition("image", "a"), PNG) + END, FORM, "invalid_request"),
    "a head of 5 MB": (part("X: " + "y" * 5_000_000) + END, FORM, "invalid_request"),
    "a name of 1 MB": (part(disposition("a" * 1_000_000)) + END, FORM, "invalid_request"),
    "no name": (part("Content-Disposition: form-data", PNG) + END, FORM, "invalid_request"),
    "no head": (part("", PNG) + END, FORM, "invalid_request"),
    "a head without a colon": (part("hello", PNG) + END, FORM, "invalid_request"),
    "a null byte in the name": (part(disposition("image\0", "a"), PNG) + END, FORM, "invalid_request"),
    "a name of other bytes": (part(b'Content-Disposition: form-data; name="\xff"', PNG) + END, FORM, "invalid_request"),
    "a path for a filename": (part(disposition("image", "../../etc/passwd"), PNG) + END, FORM, "ok"),
    "a filename and a filename*": (
        part(disposition("image", "a.png") + "; filename*=UTF-8''%e2%82%ac.png", PNG) + END,
        FORM,
        "ok",
    ),
    "a charset that is none": (
        part(disposition("image", "a") + "\r\nContent-Type: a; charset=x", PNG) + END,
        FORM,
        "ok",
    ),
    "a form's charset that is none": (
        part(disposition("request"), b"{}") + END,
        FORM + "; charset=nothing",
        "invalid_request",
    ),
    "the picture twice": (IMAGE * 2 + END, FORM, "invalid_request"),
    "the request twice": (part(disposition("request"), b"{}") * 2 + IMAGE + END, FORM, "invalid_request"),
    "a picture that is no file": (part(disposition("image"), PNG) + END, FORM, "invalid_request"),
    "an empty file": (part(disposition("image", "a")) + END, FORM, "invalid_image"),
    "a file without a name, as an empty field": (
        part('Content-Disposition: form-data; name="image"; filename=""\r\nContent-Type: application/x') + END,
        FORM,
        "invalid_image",
    ),
    "a request that is a file": (IMAGE + part(disposition("request", "a.json"), b"{}") + END, FORM, "ok"),
    "a request in UTF-16": (IMAGE + part(disposition("request"), "{}".encode("utf-16")) + END, FORM, "invalid_json"),
    "a request of other bytes": (IMAGE + part(disposition("request"), b"\xff\xfe") + END, FORM, "invalid_json"),
    "a request that nests": (IMAGE + part(disposition("request"), b"[" * 100_000) + END, FORM, "invalid_json"),
    "a picture of base64": (
        part(disposition("image", "a") + "\r\nContent-Transfer-Encoding: base64", base64.b64encode(PNG)) + END,
        FORM,
        "unsupported_media_type",
    ),
    "a form in the form": (
        part(disposition("image") + "\r\nContent-Type: multipart/mixed; boundary=y", b"--y\r\n\r\n\r\n--y--") + END,
        FORM,
        "invalid_request",
    ),
    "a form of the other kind": (b"image=a&request={}", "application/x-www-form-urlencoded", "unsupported_media_type"),
    "XML": (b"<image/>", "application/xml", "unsupported_media_type"),
    "a kind of 10 KB": (b"{}", "a" * 10_000, "unsupported_media_type"),
    "no kind": (b"{}", "", "unsupported_media_type"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_a_hostile_form_has_its_problem(send: Callable[..., str], name: str) -> None:
    body, kind, expected = FORMS[name]
    assert send("/embeddings", content=body, headers={"content-type": kind.encode("latin-1")}) == expected
