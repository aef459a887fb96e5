"""Which web pages may call the server from a browser. Off unless origins are named."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware

READABLE = ("X-Request-ID", "ETag", "Server-Timing", "Retry-After")
"""Headers that a page may read in an answer, besides those that any page may."""


def add_cors(app: Starlette, origins: Sequence[str]) -> None:
    """Lets pages of these origins in. Not with cookies: a page has to bring an API key by itself."""
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=("GET", "POST"),
            allow_headers=("Authorization", "Content-Type", "If-None-Match", "X-Request-ID"),
            expose_headers=READABLE,
        )
