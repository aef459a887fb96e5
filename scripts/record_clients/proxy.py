"""A proxy between a client and the server that keeps the requests, with what is personal or large replaced by names."""

import base64
import io
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import httpx
import numpy as np
from PIL import Image

KEPT_HEADERS = ("content-type", "accept", "x-nuclio-function-name", "user-agent")
KEY_HEADERS = ("token", "authorization")
TIMEOUT_S = 600
_COMMIT = re.compile(r"/[0-9a-f]{7,40}(\+dirty)?\b")
"""Of the folder that a client was started in."""
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{1000,}=*")
"""A picture that a client wrote anew; kept once however often it was sent."""


@dataclass
class Recorder:
    """Listens on a free port of this machine, and passes requests on.

    server: where to.
    picture: the file that clients are given; its bytes, its base64 and its pixels have names in the recording.
    """

    server: str
    picture: bytes
    requests: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    blobs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        pixels = np.asarray(Image.open(io.BytesIO(self.picture)).convert("RGB")).tobytes()
        self._names = [
            (pixels, b"{{pixels}}"),
            (self.picture, b"{{picture}}"),
            (base64.b64encode(self.picture), b"{{picture.base64}}"),
        ]
        self._client = httpx.Client(base_url=self.server, timeout=TIMEOUT_S, trust_env=False)
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _body(self) -> bytes:
                if self.headers.get("transfer-encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("content-length") or 0))
                chunks = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                while self.rfile.readline().strip():
                    pass
                return b"".join(chunks)

            def _pass_on(self) -> None:
                body = self._body()
                recorder.keep(self.command, self.path, dict(self.headers.items()), body)
                hop = {"host", "connection", "content-length", "accept-encoding", "transfer-encoding"}
                headers = {name: value for name, value in self.headers.items() if name.lower() not in hop}
                answer = recorder._client.request(self.command, self.path, headers=headers, content=body)
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name not in {"content-length", "connection", "transfer-encoding", "content-encoding"}:
                        self.send_header(name, value)
                self.send_header("content-length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = _pass_on

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "Recorder":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._client.close()

    def keep(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        """Notes one request, unless the driver asked which models there are."""
        if path == "/models":
            return
        self.bodies.append(body)
        lower = {name.lower(): value for name, value in headers.items()}
        kept = {name: lower[name] for name in KEPT_HEADERS if name in lower}
        if "user-agent" in kept:
            kept["user-agent"] = _COMMIT.sub("", kept["user-agent"])
        kept |= {name: "{{key}}" for name in KEY_HEADERS if lower.get(name)}
        for value, name in self._names:
            body = body.replace(value, name)
        body = _BASE64.sub(lambda found: b"{{blob.%d}}" % self._blob(found[0].decode("ascii")), body)
        body = re.sub(rb'("(?:api_key|access_token)":\s*)"[^"]+"', rb'\1"{{key}}"', body)
        path = re.sub(r"(api_key=)[^&]+", r"\1{{key}}", path)
        self.requests.append({"method": method, "path": path, "headers": kept, "body": body.decode("latin-1")})

    def text(self) -> str:
        """The recording as JSON; requests that repeat an earlier one are left out."""
        unique = list({json.dumps(request, sort_keys=True): request for request in self.requests}.values())
        return json.dumps({"blobs": self.blobs, "requests": unique}, indent=1, sort_keys=True) + "\n"

    def _blob(self, text: str) -> int:
        if text not in self.blobs:
            self.blobs.append(text)
        return self.blobs.index(text)
