"""Bodies of tools' requests, read within the server's limits: JSON, a form with a file, or a picture's bytes."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from deployments.calls.errors import InvalidFields, pointer_to
from deployments.http.body import MemoryParser, counted
from deployments.http.deadline import Deadline
from deployments.http.json_reader import Document
from deployments.http.json_reader import read_json as read_document
from deployments.http.protocols.protocol import ToolModel
from deployments.http.protocols.segmenter import Segmenter
from segmentation.errors import InvalidRequest, UnsupportedMediaType

M = TypeVar("M", bound=ToolModel)
T = TypeVar("T")

SMALL_BODY_BYTES = 64_000
"""Bodies up to here are parsed in place: a hop to a thread would cost more."""
MAX_ERRORS = 5


async def read_json(request: Request, segmenter: Segmenter, model: type[M]) -> M:
    """The body as one of the tool's documents.

    Raises:
        InvalidJson, InvalidFields, BodyTooLarge, Overloaded, UnsupportedMediaType, DeadlineExceeded: it can't be had.
    """
    kind = media_type(request)
    if kind not in {"application/json", ""} and not kind.endswith("+json"):
        raise UnsupportedMediaType("send application/json")
    data = await read_bytes(request, segmenter)
    return await aside(len(data), lambda: to_document(model, data))


async def read_bytes(request: Request, segmenter: Segmenter) -> bytes:
    """The body as it came."""
    async with Deadline(segmenter.settings.prompt_timeout_s).guard():
        return b"".join([chunk async for chunk in counted(request, segmenter.max_body_bytes, request.state.body_share)])


async def read_form(request: Request, segmenter: Segmenter) -> dict[str, bytes]:
    """The parts of a form by name; of a file its bytes.

    Raises:
        InvalidRequest: it is no form, or has a part twice.
    """
    if media_type(request) != "multipart/form-data":
        raise UnsupportedMediaType("send multipart/form-data")
    limit = segmenter.max_body_bytes
    async with Deadline(segmenter.settings.prompt_timeout_s).guard():
        parser = MemoryParser(request.headers, counted(request, limit, request.state.body_share), limit)
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise InvalidRequest(f"the form can't be read: {error.message}") from None
        try:
            parts: dict[str, bytes] = {}
            for name, part in form.multi_items():
                if name in parts:
                    raise InvalidRequest(f"the part {name[:64]!r} is there twice")
                parts[name] = await part.read() if isinstance(part, UploadFile) else part.encode("utf-8")
            return parts
        finally:
            await form.close()


def to_document(model: type[M], data: bytes) -> M:
    """JSON as one of the tool's documents.

    Raises:
        InvalidJson, InvalidFields: it is none.
    """
    document = read_document(data)
    if not isinstance(document.value, dict):
        raise InvalidRequest("the body is one JSON object")
    try:
        return model.model_validate(_with_long_texts(document.value, document))
    except ValidationError as failure:
        found = failure.errors(include_url=False, include_context=False, include_input=False)[:MAX_ERRORS]
    errors = tuple((pointer_to(error["loc"]), error["msg"]) for error in found)
    pointer, message = errors[0]
    raise InvalidFields(f"{pointer or 'the request'}: {message}", pointer, errors)


def _with_long_texts(value: Any, document: Document) -> Any:
    """The value with the strings in it that the reader took out."""
    if not document.long_texts:
        return value
    if isinstance(value, dict):
        return {name: _with_long_texts(part, document) for name, part in value.items()}
    if isinstance(value, list):
        return [_with_long_texts(part, document) for part in value]
    if isinstance(value, str) and (text := document.long_texts.get(value)) is not None:
        return b"".join(text.slices()).decode("utf-8", "replace")
    return value


def media_type(request: Request) -> str:
    """The media type of the body, without parameters, in lower case."""
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


async def aside(size: int, work: Callable[[], T]) -> T:
    """The work's result; in a thread if it is about more than a few bytes."""
    return work() if size <= SMALL_BODY_BYTES else await asyncio.to_thread(work)
