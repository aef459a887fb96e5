"""Answers on their way out: JSON without NaN, `.npy` with an ETag, and event streams. Knows no routes."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from deployments.messages import Spent

NDJSON = "application/x-ndjson"


def to_json(document: object) -> bytes:
    """The document as ASCII; raises ValueError rather than writing NaN."""
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode("ascii")


async def json_response(document: object) -> Response:
    """The document as an answer, written outside the event loop because it may hold thousands of masks."""
    return Response(await asyncio.to_thread(to_json, document), media_type="application/json")


def npy_response(request: Request, data: bytes) -> Response:
    """The file, or 304 where the client has it already."""
    etag = f'"{base64.urlsafe_b64encode(hashlib.sha256(data).digest()[:18]).decode("ascii")}"'
    headers = {"etag": etag, "cache-control": "private, no-cache"}
    if _matches(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type="application/octet-stream", headers=headers)


def timing_ms(spent: Spent, decode_s: float, total_s: float) -> Mapping[str, float]:
    """Milliseconds by stage. Work of several replicas is added up, so it can be more than the total."""
    seconds = {
        "decode": decode_s,
        "encode": spent.encode_s,
        "prompt": spent.prompt_s,
        "postprocess": spent.postprocess_s,
        "queue": spent.queue_s,
        "total": total_s,
    }
    return {stage: round(1000 * value, 3) for stage, value in seconds.items()}


class EventStream(Response):
    """JSON objects, one a line, sent as they come. The generator is closed when the client leaves."""

    def __init__(self, events: AsyncGenerator[Mapping[str, object], None]) -> None:
        super().__init__(media_type=NDJSON, headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events) as events:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for event in events:
                await send({"type": "http.response.body", "body": to_json(event) + b"\n", "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _matches(if_none_match: str, etag: str) -> bool:
    candidates = [candidate.strip().removeprefix("W/") for candidate in if_none_match.split(",")]
    return etag in candidates or "*" in candidates
