"""A small real HTTP server of one file on the loopback interface, with the faults that real servers have."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    """How one request is answered; the default is a correct answer.

    status: an error, or a redirect with `location`, instead of the file.
    cut: bytes of the body after which the connection closes.
    silent_s: seconds of silence before the body.
    ranges: False for a server that ignores `Range`.
    says_length: False for a body that ends with the connection.
    claims: a length that is not the file's.
    """

    status: int | None = None
    location: str | None = None
    cut: int | None = None
    silent_s: float = 0.0
    ranges: bool = True
    says_length: bool = True
    claims: int | None = None


@dataclass
class FileServer:
    """`answers` are used up one a request, then every answer is `otherwise`."""

    content: bytes
    answers: list[Answer] = field(default_factory=list)
    otherwise: Answer = field(default_factory=Answer)
    has_etag: bool = True
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)
    """(Range, If-Range) of each request."""
    url: str = ""
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.content, usedforsecurity=False).hexdigest()}"'

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted, version = handler.headers["Range"], handler.headers["If-Range"]
        self.asked.append((wanted, version))
        how = self.answers.pop(0) if self.answers else self.otherwise
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and how.ranges else 0
        if version != self.etag:
            start = 0
        if how.status is not None or (start and start >= len(self.content)):
            handler.send_response(how.status or 416)
            if how.location is not None:
                handler.send_header("Location", how.location)
            handler.end_headers()
            return
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        if how.says_length:
            handler.send_header("Content-Length", str(how.claims or len(body)))
        if self.has_etag:
            handler.send_header("ETag", self.etag)
        handler.end_headers()
        handler.wfile.flush()
        self.closing.wait(how.silent_s)
        with contextlib.suppress(ConnectionError):  # the client may have left
            handler.wfile.write(body[: how.cut])


@contextmanager
def serving(content: bytes) -> Iterator[FileServer]:
    """A running server of that content, at `url`."""
    files = FileServer(content)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            files.answer(self)

        def log_message(self, *_: object) -> None:
            """Nothing: the tests look at `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    files.url = f"http://127.0.0.1:{server.server_port}/weights.pth"
    try:
        yield files
    finally:
        files.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
