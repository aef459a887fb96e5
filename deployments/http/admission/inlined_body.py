"""A small body is inlined into the scope of its request, from the load shedder to the ingress.

Serve's proxy hands over the head alone, and its replica calls back for the body: one more round trip between two
processes, for each click. The load shedder usually has the body when it has the head. It puts the body into the ASGI
scope, which Serve passes on as it is. It does so where the ingress's latest answer said that it takes such bodies, and
how large. Another application, deployed under the same address, gets its first request with the body apart.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BYTES = 64_000
"""What this ingress takes. Larger ones would be copied once more than they are."""
_KEY = "sam_serve.body"


@asynccontextmanager
async def inlined(scope: Scope, receive: Receive, max_bytes: int) -> AsyncIterator[tuple[Scope, Receive]]:
    """The scope with the whole body in it, and the `receive` of what follows, if it is that small and there already.

    Nothing is waited for: a body that is still on its way is left to whoever reads it, and to his deadlines.
    """
    if not _may_be_inlined(Headers(scope=scope), max_bytes):
        yield scope, receive
        return
    coming = asyncio.ensure_future(receive())
    try:
        await asyncio.sleep(0)
        if coming.done() and _is_whole(message := coming.result()):
            yield {**scope, _KEY: message.get("body", b"")}, receive
            return

        first = True

        async def receive_first() -> Message:
            nonlocal first
            if not first:
                return await receive()
            first = False
            return await coming

        yield scope, receive_first
    finally:
        coming.cancel()


class InlinedBody:
    """ASGI middleware of the ingress: gives the app an inlined body, as if it had come by `receive`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body: bytes | None = scope.get(_KEY)

        async def receive_inlined() -> Message:
            nonlocal body
            if body is None:
                return await receive()
            message = {"type": "http.request", "body": body, "more_body": False}
            body = None
            return message

        await self._app(scope, receive if body is None else receive_inlined, send)


def _may_be_inlined(headers: Headers, max_bytes: int) -> bool:
    """Whether it says how short it is; a client that waits to be told to go on is told by whoever wants the body."""
    length = headers.get("content-length", "")
    return length.isdecimal() and 0 < int(length[:20]) <= max_bytes and "expect" not in headers


def _is_whole(message: Message) -> bool:
    return message["type"] == "http.request" and not message.get("more_body", False)
