"""Request bodies: counted while they are read, and split if they are a form. Knows no Ray."""

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from deployments.calls.base64_text import LongText, NotBase64, decode_base64
from deployments.calls.errors import BodyTooLarge, pointer_to
from deployments.http.admission.byte_budget import ByteShare
from segmentation.errors import InvalidImage, InvalidRequest, UnsupportedMediaType

MAX_PARTS = 8
HEAD_CHARACTERS = 1024
"""Of a data URI, at most, before its base64."""
_ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Body:
    """A body as it came, nothing of it parsed.

    json: the whole body, or the form's `request` part; an empty object if the form has none.
    file: the form's `image` part.
    """

    json: bytes
    file: bytes | None = None

    def __len__(self) -> int:
        return len(self.json) + len(self.file or b"")


class MemoryParser(MultiPartParser):
    """Starlette's parser without temporary files: the counted body is the bound."""

    spool_max_size = 1 << 62

    def __init__(self, headers: Headers, stream: AsyncGenerator[bytes, None], max_bytes: int) -> None:
        whole = self._whole(stream)
        super().__init__(headers, whole, max_files=MAX_PARTS, max_fields=MAX_PARTS, max_part_size=max_bytes)
        self._ended = False

    def on_end(self) -> None:
        self._ended = True

    async def _whole(self, stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """The stream; Starlette would take a form that breaks off for one without its last part."""
        async for chunk in stream:
            yield chunk
        if not self._ended:
            raise MultiPartException("it breaks off before its last boundary")


async def read_body(request: Request, max_bytes: int, share: ByteShare) -> Body:
    """The body of a request.

    Args:
        share: of the bytes for all bodies; this one's are taken from it as they come.

    Raises:
        BodyTooLarge: more bytes than `max_bytes`; the rest is not read.
        Overloaded: the bodies of other requests leave no room for it.
        InvalidRequest, UnsupportedMediaType: it is no form and no JSON.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _read_form(request.headers, counted(request, max_bytes, share), max_bytes)
    if kind == "application/json":
        return Body(b"".join([chunk async for chunk in counted(request, max_bytes, share)]))
    raise UnsupportedMediaType("send multipart/form-data or application/json")


async def counted(request: Request, max_bytes: int, share: ByteShare) -> AsyncGenerator[bytes, None]:
    """The chunks of a body, up to a number of bytes. A length that can't fit is refused before anything is read."""
    too_large = BodyTooLarge(f"a request has at most {max_bytes / 1e6:g} MB")
    if (declared := request.headers.get("content-length", "")).isdecimal():
        if int(declared[:20]) > max_bytes:
            raise too_large
        share.require(int(declared[:20]))
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise too_large
        share.take(len(chunk))
        yield chunk


def image_bytes(text: str | LongText) -> bytes:
    """The file in an `image` field: base64, or a data URI with base64 in it.

    Raises:
        InvalidImage: neither.
    """
    try:
        head = text[:HEAD_CHARACTERS] if isinstance(text, str) else text.head(HEAD_CHARACTERS)
        if _ADDRESS.match(head):
            raise InvalidImage(
                "image is an address; send the file's bytes in base64, a data URI, or a form with the file (addresses "
                "go into image_url, where the server fetches pictures)"
            )
        skip = 0
        if head[:5].lower() == "data:":
            declared, comma, _ = head.partition(",")
            if not comma or not declared.lower().endswith(";base64"):
                raise InvalidImage("a data URI of an image is data:image/...;base64,...")
            skip = len(declared) + 1
        return decode_base64(text, skip)
    except (NotBase64, ValueError):
        raise InvalidImage("image is not base64; send a file's bytes in base64, or a data URI") from None


async def _read_form(headers: Headers, stream: AsyncGenerator[bytes, None], max_bytes: int) -> Body:
    parser = MemoryParser(headers, stream, max_bytes)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise InvalidRequest(f"the form can't be read: {error.message}") from None
    try:
        return await _parts(form)
    finally:
        await form.close()


async def _parts(form: FormData) -> Body:
    parts: dict[str, bytes] = {}
    for name, part in form.multi_items():
        if name not in {"image", "request"}:
            raise InvalidRequest("unknown part; a form has an image and a request", pointer_to((name,)))
        if name in parts:
            raise InvalidRequest(f"the part {name} is there twice", pointer_to((name,)))
        if name == "image" and not isinstance(part, UploadFile):
            raise InvalidRequest("image must be a file (a part with a filename)", "/image")
        parts[name] = await part.read() if isinstance(part, UploadFile) else part.encode("utf-8")
    return Body(parts.get("request") or b"{}", parts.get("image"))
