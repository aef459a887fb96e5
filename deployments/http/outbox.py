"""Answers on their way to clients that read slowly: the application is not held up, and what waits is bounded.

An answer that its client does not take would hold the application, and its slot, for as long as the client likes. An
`Outbox` takes the rest of such an answer over. The bytes that wait in all outboxes of a process share one bound; beyond
it, the connection that takes its answer at the lowest rate is closed. Knows neither Ray nor uvicorn.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from starlette.types import Message, Send

from deployments.http.heap import trim_heap

MAX_UNSENT_BYTES = 128_000_000
PIECE_BYTES = 65_536
TRIM_BYTES, TRIM_AFTER_S = 32_000_000, 2.0
"""After so many bytes have waited at once and are gone, the process returns its memory, some seconds later."""
GRACE_S = 1.0
"""No connection is closed for others sooner after its answer began to wait."""


class Connection(Protocol):
    """The connection of one request, as far as an outbox needs it."""

    @property
    def is_stalled(self) -> bool:
        """Whether a further message would wait until the client takes more."""
        ...

    def abort(self) -> object:
        """Closes it at once."""
        ...


class UnsentBytes:
    """The bytes that wait in all outboxes of one event loop, and their bound.

    Args:
        trim: returns the process's free memory; called in a thread.
    """

    def __init__(
        self,
        max_bytes: int = MAX_UNSENT_BYTES,
        clock: Callable[[], float] = time.monotonic,
        trim: Callable[[], object] = trim_heap,
    ) -> None:
        self.max_bytes = max_bytes
        self._trim = trim
        self._most = 0
        self.clock = clock
        self.nbytes = 0
        self.closed = 0
        self._waiting: set[Outbox] = set()
        self._fewer = asyncio.Event()

    def add(self, outbox: "Outbox", nbytes: int) -> None:
        """Counts more bytes."""
        self.nbytes += nbytes
        self._most = max(self._most, self.nbytes)
        self._waiting.add(outbox)

    def remove(self, outbox: "Outbox", nbytes: int) -> None:
        """Counts fewer."""
        self.nbytes -= nbytes
        if not outbox.nbytes:
            self._waiting.discard(outbox)
        self._fewer.set()
        if not self.nbytes and self._most >= TRIM_BYTES:
            self._most = 0
            loop = asyncio.get_running_loop()
            loop.call_later(TRIM_AFTER_S, loop.run_in_executor, None, self._trim)

    async def make_room(self) -> None:
        """Returns once the bytes are within the bound. Closes connections that take the least, where it must."""
        while self.nbytes > self.max_bytes:
            now = self.clock()
            overdue = [outbox for outbox in self._waiting if now - outbox.waits_since >= GRACE_S]
            if len(self._waiting) > 1 and overdue:
                slowest = min(overdue, key=lambda outbox: outbox.taken_bytes / (now - outbox.waits_since))
                self.closed += 1
                slowest.drop()
            else:
                self._fewer.clear()
                try:
                    async with asyncio.timeout(GRACE_S):
                        await self._fewer.wait()
                except TimeoutError:
                    continue


class Outbox:
    """What waits of one answer. Opened by `open_outbox`."""

    def __init__(self, send: Send, connection: Connection, unsent: UnsentBytes) -> None:
        self._send = send
        self._connection = connection
        self._unsent = unsent
        self._messages: deque[Message] = deque()
        self._came = asyncio.Event()
        self._ended = False
        self._dropped = False
        self.writer: asyncio.Task[None] | None = None
        self.nbytes = 0
        self.taken_bytes = 0
        self.waits_since = 0.0

    async def put(self, message: Message) -> None:
        """Sends the message, now or when the client takes it. Waits only while all outboxes together are full."""
        for piece in _pieces(message):
            if self._dropped:
                return
            if self.writer is None and not self._connection.is_stalled:
                await self._send(piece)
            else:
                self._hold(piece)
        await self._unsent.make_room()

    def drop(self) -> None:
        """Gives the answer up, and closes its connection."""
        self._dropped = True
        self._messages.clear()
        self._forget(self.nbytes)
        self._came.set()
        self._connection.abort()

    async def finish(self) -> None:
        """Returns once the client has taken everything, or its connection is closed."""
        self._ended = True
        self._came.set()
        if self.writer is not None:
            await self.writer

    def _hold(self, message: Message) -> None:
        if self.writer is None:
            self.writer = asyncio.create_task(self._write())
        if not self.nbytes:
            self.waits_since, self.taken_bytes = self._unsent.clock(), 0
        self._messages.append(message)
        size = len(message.get("body", b""))
        self.nbytes += size
        self._unsent.add(self, size)
        self._came.set()

    def _forget(self, nbytes: int) -> None:
        self.nbytes -= nbytes
        self._unsent.remove(self, nbytes)

    async def _write(self) -> None:
        while True:
            while not self._messages:
                if self._ended or self._dropped:
                    return
                self._came.clear()
                await self._came.wait()
            message = self._messages.popleft()
            await self._send(message)
            if not self._dropped:
                size = len(message.get("body", b""))
                self.taken_bytes += size
                self._forget(size)


@asynccontextmanager
async def open_outbox(send: Send, connection: Connection | None, unsent: UnsentBytes) -> AsyncIterator[Send]:
    """A `send` that does not wait for the client. The block's end waits until the client has taken everything.

    Args:
        connection: of the request; without one, messages are sent as they come.
    """
    if connection is None:
        yield send
        return
    outbox = Outbox(send, connection, unsent)
    try:
        yield outbox.put
        await outbox.finish()
    finally:
        if outbox.writer is not None:
            outbox.writer.cancel()
            outbox.drop() if outbox.nbytes else None


def _pieces(message: Message) -> list[Message]:
    """The message in pieces, each taken by itself."""
    body = message.get("body", b"")
    if message["type"] != "http.response.body" or len(body) <= PIECE_BYTES:
        return [message]
    starts = range(0, len(body), PIECE_BYTES)
    more_body = message.get("more_body", False)
    return [
        {**message, "body": body[start : start + PIECE_BYTES], "more_body": more_body or start != starts[-1]}
        for start in starts
    ]
