"""A small real HTTP server of one picture on the loopback interface, which asks for a token as Label Studio does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class PictureServer:
    """The picture is at every path.

    authorization: the header that a request needs; empty for none.
    asked: (path, authorization) of each request.
    """

    content: bytes
    authorization: str = ""
    url: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def status(self, handler: BaseHTTPRequestHandler) -> int:
        """The status of a request's answer; Label Studio finds no renderer for a client that takes pictures only."""
        self.asked.append((handler.path, handler.headers["Authorization"]))
        if "*/*" not in handler.headers.get("Accept", "*/*"):
            return 406
        return 200 if handler.headers.get("Authorization", "") == self.authorization else 401


@contextmanager
def serving_picture(content: bytes, authorization: str = "") -> Iterator[PictureServer]:
    """The server for the length of the block."""
    server = PictureServer(content, authorization)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = server.status(self)
            body = server.content if status == 200 else b"{}"
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
