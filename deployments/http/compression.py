"""Answers with gzip for clients that take it. Knows no routes.

Compression works in threads for large pieces. Each event of a stream is sent at once, whole.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

LEVEL = 4
"""For run lengths and polygons: level 9 saves a tenth more, and takes ten to eighty times as long."""
SMALLEST_BYTES = 4000
"""Smaller answers, a click's, come in the first packets anyway. Compressing them took a busy ingress a sixth of its
time: zlib lets go of the interpreter, and has to wait for it again."""
NOT_COMPRESSED = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/octet-stream")
"""Embeddings too: the mantissas of floats are noise."""


class Compression:
    """ASGI middleware: starlette's, which looks for the word gzip alone, told what the client really takes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = GZipMiddleware(app, SMALLEST_BYTES, LEVEL, exclude_content_types=NOT_COMPRESSED)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            taken = takes_gzip(Headers(scope=scope))
            scope = {**scope, "headers": list(scope["headers"])}
            MutableHeaders(scope=scope)["accept-encoding"] = "gzip" if taken else "identity"
        await self._app(scope, receive, send)


def takes_gzip(headers: Headers) -> bool:
    """Whether `Accept-Encoding` names gzip with a weight above 0 (RFC 9110, section 12.5.3)."""
    for choice in ",".join(headers.getlist("accept-encoding")).lower().split(","):
        coding, _, parameter = choice.partition(";")
        name, _, weight = parameter.partition("=")
        if coding.strip() == "gzip":
            return name.strip() != "q" or weight.strip(" 0.") != ""
    return False
