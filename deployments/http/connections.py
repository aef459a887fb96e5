"""Bounds on connections, held by the process that speaks HTTP: head bytes, idle and stalled time, their number.

uvicorn's protocol has no bound of its own on these: a header without an end is collected in memory and copied for every
piece that comes, and a client that takes no bytes keeps its connection for ever. `install` makes uvicorn use
`BoundedHttpProtocol` wherever its protocol is chosen automatically. Knows neither Ray nor the routes.
"""

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from uvicorn.config import HTTP_PROTOCOLS, Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from deployments.http.headers import API_HEADERS, REQUEST_ID, new_request_id
from deployments.http.problems import Problem

CONNECTION: Final = "sam_serve.connection"
"""Key of the ASGI scope that holds the request's `BoundedHttpProtocol`."""

UNSENT_IN_KERNEL_BYTES = 131_072
"""The kernel would take megabytes of an answer by itself, and not tell whether a slow client takes any of them."""

PIECE_BYTES = 16_384
"""Given to the parser at once."""
MAX_CALLS = 2_000
"""Chunks of a body after which other connections have their turn: a client may send 40,000 of a byte at once."""


@dataclass(frozen=True, slots=True)
class ConnectionBounds:
    """Bounds of one process.

    head_bytes: of a request line with its headers, and of what frames a chunked body, trailers included.
    head_s: seconds from the first byte of a connection, or of a further request, to the end of its head.
    stalled_s: seconds in which a client takes nothing of an answer that waits for it.
    connections: open at once. Beyond them, the one that has waited longest without a request is closed, those that
        never sent one first.
    pipelined: requests that a client may send ahead of the answer to its first. Beyond them, the connection is closed.
    """

    head_bytes: int = 65_536
    head_s: float = 30.0
    stalled_s: float = 30.0
    connections: int = 1024
    pipelined: int = 16


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds. A connection beyond one of them is answered, if it can be, and closed."""

    bounds = ConnectionBounds()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.waits_since: float | None = None
        """When the wait for the client began, on the loop's clock: for a whole head, or until more of an answer is
        taken. None while the application works."""
        self._had_request = False
        self._in_head = True
        self._unframed_bytes = 0  # received since the head began, or since the latest byte of a body
        self._chunks: list[bytes] = []  # of a body, received and not yet handed on
        self._calls = 0  # of `on_body` since the loop had its turn
        self._deferred = b""  # received, and parsed when the loop has had its turn
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None

    # asyncio's side

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if (connected := transport.get_extra_info("socket")) is not None:
            with suppress(OSError, AttributeError):  # a Unix socket, and systems without the option
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_IN_KERNEL_BYTES)
        self._await_head()
        if len(self.connections) > self.bounds.connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deferred:
            self._deferred += data
        else:
            self._take(data)

    def _take(self, data: bytes) -> None:
        if self._in_head and self._head_timer is None:
            self._await_head()
        self._calls = 0
        # The parser copies what it has of a header for every piece: it gets no more of one than the bound.
        view, limit = memoryview(data), self.bounds.head_bytes
        while view and not self._has_ended():
            piece = view[: min(max(limit - self._unframed_bytes, 0) + 1, PIECE_BYTES)]
            view = view[len(piece) :]
            self._unframed_bytes += len(piece)
            super().data_received(bytes(piece))
            if self._unframed_bytes > limit and not self._has_ended():
                self._refuse(_TOO_LARGE)
            if view and self._calls > MAX_CALLS and not self._has_ended():
                self._deferred = bytes(view)
                self.transport.pause_reading()
                self.loop.call_soon(self._take_deferred)
                break
        self._hand_on()

    def _take_deferred(self) -> None:
        data, self._deferred = self._deferred, b""
        if not self._has_ended():
            if not self.flow.read_paused:
                self.transport.resume_reading()
            self._take(data)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.waits_since = self.loop.time()
        self._watch_unsent()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.waits_since = None
        self._cancel_stall_timer()
        self._bound_closing()

    # The parser's side

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[CONNECTION] = self  # type: ignore[typeddict-unknown-key]

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._unframed_bytes = 0
        self._had_request = True
        self.waits_since = None
        self._cancel_head_timer()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.bounds.head_bytes:
            self._refuse(_TOO_LARGE)
            return
        if self.transport.is_closing():
            return
        super().on_headers_complete()
        if len(self.pipeline) > self.bounds.pipelined:
            self.abort()

    def on_body(self, body: bytes) -> None:
        self._unframed_bytes = 0
        # uvicorn copies what it has of a body for every chunk: it gets all chunks of a piece at once.
        self._chunks.append(body)
        self._calls += 1

    def on_message_complete(self) -> None:
        self._in_head = True
        self._unframed_bytes = 0
        self._hand_on()
        if self.cycle is not None:
            super().on_message_complete()

    def _hand_on(self) -> None:
        if self._chunks:
            body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
            self._chunks.clear()
            if self.cycle is not None and not self._has_ended():
                super().on_body(body)

    # uvicorn's side

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.pipeline and not self.is_stalled:
            self.waits_since = self.loop.time()
        self._bound_closing()

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.abort()
        else:
            super().timeout_keep_alive_handler()

    # The application's side

    @property
    def is_stalled(self) -> bool:
        """Whether more bytes wait for the client than the transport takes: a further message would be waited for."""
        return self.flow.write_paused

    def abort(self) -> None:
        """Closes the connection at once; what the client has not taken is lost."""
        self.transport.abort()

    def _await_head(self) -> None:
        self.waits_since = self.loop.time()
        self._cancel_head_timer()
        self._head_timer = self.loop.call_later(self.bounds.head_s, self._refuse, _TOO_SLOW)

    def _make_room(self) -> None:
        waiting = [
            (one._had_request, one.waits_since, index, one)
            for index, one in enumerate(self.connections)
            if isinstance(one, BoundedHttpProtocol) and one.waits_since is not None and one is not self
        ]
        if waiting:
            min(waiting)[-1].abort()
        else:
            self._refuse(_TOO_MANY)

    def _has_ended(self) -> bool:
        is_ours = self.transport.get_protocol() is self  # not after an upgrade
        return not is_ours or self.parser is None or self.transport.is_closing()

    def _refuse(self, problem: Problem) -> None:
        """Answers, unless an answer is under way already, and closes."""
        self._cancel_head_timer()
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.abort()
            return
        request_id = new_request_id()
        body = problem.body(request_id)
        length = {"content-length": str(len(body)), "connection": "close"}
        head = {**API_HEADERS, **problem.headers(), REQUEST_ID: request_id, **length}
        fields = "".join(f"{name}: {value}\r\n" for name, value in head.items()).encode("ascii")
        self.transport.write(STATUS_LINE[problem.status] + fields + b"\r\n" + body)
        self.transport.close()
        self._bound_closing()

    def _bound_closing(self) -> None:
        """A transport that closes waits for its client to take the rest, without a bound of its own."""
        if self.transport.is_closing() and self.transport.get_write_buffer_size() and self._stall_timer is None:
            self._watch_unsent()

    def _watch_unsent(self) -> None:
        """Closes the connection once its client has taken nothing for `stalled_s`."""
        before = self.transport.get_write_buffer_size()

        def look() -> None:
            self._stall_timer = None
            if self.transport.get_write_buffer_size() < before:
                self._watch_unsent()
            else:
                self.abort()

        self._cancel_stall_timer()
        self._stall_timer = self.loop.call_later(self.bounds.stalled_s, look)

    def _cancel_timers(self) -> None:
        self._cancel_head_timer()
        self._cancel_stall_timer()

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _cancel_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None


def install() -> None:
    """Makes uvicorn choose `BoundedHttpProtocol` where it would choose its own on httptools, in this process."""
    HTTP_PROTOCOLS["auto"] = f"{BoundedHttpProtocol.__module__}:{BoundedHttpProtocol.__name__}"


_DEFAULT = ConnectionBounds()
_TOO_LARGE = Problem(
    "headers_too_large", f"a request line and its headers have at most {_DEFAULT.head_bytes} bytes together"
)
_TOO_SLOW = Problem("headers_too_slow", f"a request's headers come within {_DEFAULT.head_s:g} s")
_TOO_MANY = Problem("overloaded", "the server has as many connections as it takes; try again", retry_after_s=1)
