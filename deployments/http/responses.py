"""Answers on their way out: JSON without NaN, `.npy` with an ETag, and event streams. Knows no routes."""

import asyncio
import base64
import hashlib
import json
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from deployments.calls.messages import StageTimes
from deployments.calls.npy import to_npy

NDJSON = "application/x-ndjson"
PIECE_BYTES = 256_000
"""A large answer is written, compressed and sent in pieces of about this size."""

_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def to_json(document: object) -> bytes:
    """The document as ASCII; raises ValueError rather than writing NaN."""
    return _encode(document).encode("ascii")


class JsonResponse(Response):
    """A JSON document in pieces, each let go of once it is sent."""

    def __init__(self, pieces: list[bytes], headers: Mapping[str, str]) -> None:
        length = {"content-length": str(sum(map(len, pieces)))}
        super().__init__(media_type="application/json", headers={**headers, **length})
        self._pieces = deque(pieces)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while self._pieces:
            piece = self._pieces.popleft()
            await send({"type": "http.response.body", "body": piece, "more_body": bool(self._pieces)})


async def json_response(document: object, timing: Mapping[str, float] | None = None) -> Response:
    """The document as an answer, written outside the event loop because it may hold thousands of masks.

    Args:
        timing: milliseconds by stage, for the `Server-Timing` header.
    """
    headers = {} if timing is None else {"server-timing": server_timing(timing)}
    return JsonResponse(await asyncio.to_thread(json_pieces, document), headers)


def json_pieces(document: object) -> list[bytes]:
    """The document as `to_json` writes it, cut anywhere; its text is never there as a whole."""
    pieces: list[bytes] = []
    texts: list[str] = []
    size = 0
    for text in _texts(document):
        texts.append(text)
        size += len(text)
        if size >= PIECE_BYTES:
            pieces.append("".join(texts).encode("ascii"))
            texts, size = [], 0
    return [*pieces, "".join(texts).encode("ascii")] if texts else pieces


async def npy_response(request: Request, array: NDArray[np.float32]) -> Response:
    """The array as a file, or 304 where the client has it already."""

    def write() -> tuple[bytes, str]:
        data = to_npy(array)
        return data, f'"{base64.urlsafe_b64encode(hashlib.sha256(data).digest()[:18]).decode("ascii")}"'

    data, etag = await asyncio.to_thread(write)
    headers = {"etag": etag, "cache-control": "private, no-cache"}
    if matches(", ".join(request.headers.getlist("if-none-match")), etag):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type="application/octet-stream", headers=headers)


def matches(if_none_match: str, etag: str) -> bool:
    """Whether the client has it: `*`, or a list with this tag, weak or not (RFC 9110, section 13.1.2)."""
    if if_none_match.strip() == "*":
        return True
    return etag in [candidate.strip().removeprefix("W/") for candidate in if_none_match.split(",")]


def timing_ms(stage_times: StageTimes, decode_s: float, total_s: float) -> Mapping[str, float]:
    """Milliseconds by stage. Work of several replicas is added up, so it can be more than the total."""
    seconds = {
        "decode": decode_s,
        "encode": stage_times.encode_s,
        "prompt": stage_times.prompt_s,
        "postprocess": stage_times.postprocess_s,
        "queue": stage_times.queue_s,
        "total": total_s,
    }
    return {stage: round(1000 * value, 3) for stage, value in seconds.items()}


def server_timing(timing: Mapping[str, float]) -> str:
    """The value of a `Server-Timing` header: what a browser's tools draw beside the request."""
    return ", ".join(f"{stage};dur={milliseconds:.3f}" for stage, milliseconds in timing.items())


class EventStream(Response):
    """JSON objects, one a line, sent as they come. The generator is closed when the client leaves."""

    def __init__(self, events: AsyncGenerator[Mapping[str, object], None]) -> None:
        super().__init__(media_type=NDJSON, headers={"x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events) as events:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for event in events:
                await send({"type": "http.response.body", "body": to_json(event) + b"\n", "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _texts(value: object) -> Iterator[str]:
    """JSON in parts no larger than one mask: the encoder keeps the interpreter to itself while it writes a part."""
    if _is_records(value):
        for index, record in enumerate(value):
            yield "," if index else "["
            yield from _texts(record)
        yield "]"
    elif isinstance(value, Mapping) and any(_is_records(part) for part in value.values()):
        for index, (name, part) in enumerate(value.items()):
            yield f"{',' if index else '{'}{_encode(name)}:"
            yield from _texts(part)
        yield "}"
    else:
        yield _encode(value)


def _is_records(value: object) -> TypeGuard[Sequence[Mapping[str, object]]]:
    return isinstance(value, (list, tuple)) and bool(value) and isinstance(value[0], Mapping)
