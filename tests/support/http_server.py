"""The HTTP app on a real socket, in this process: for clients that are programs of their own, and for broken HTTP."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn
from starlette.types import ASGIApp

from deployments.http.connections import BoundedHttpProtocol, ConnectionBounds

START_S = 20


@contextmanager
def listening(app: ASGIApp, bounds: ConnectionBounds | None = None) -> Iterator[str]:
    """Serves the app on a free port of this machine, and yields its address, `http://127.0.0.1:PORT`."""

    class Protocol(BoundedHttpProtocol):
        pass

    Protocol.bounds = bounds or ConnectionBounds()
    config = uvicorn.Config(
        app, port=0, http=Protocol, log_level="error", lifespan="off", ws="none", timeout_graceful_shutdown=2
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="uvicorn", daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + START_S
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the server did not start")
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(START_S)


def exchange(url: str, request: bytes, *, close: bool = False, timeout_s: float = 20.0) -> bytes:
    """Sends raw bytes and returns what comes back until the server closes the connection.

    Args:
        close: say that nothing more is sent, as a client that breaks off does.
    """
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=timeout_s) as connection:
        connection.sendall(request)
        if close:
            connection.shutdown(socket.SHUT_WR)
        return read_to_end(connection)


def read_to_end(connection: socket.socket) -> bytes:
    """What comes until the server closes. It resets if we were still sending then: what came before counts."""
    received = b""
    with suppress(ConnectionResetError):
        while chunk := connection.recv(65_536):
            received += chunk
    return received
