"""The page at `/` and its files, as they are committed: no build step. Knows no other route.

The page calls the API as every other client does. Its addresses are relative, so that it works under whatever path the
server is mounted.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from deployments.http.headers import PAGE, PAGE_FILES

FILES = Path(__file__).parent / "files"
INDEX = "index.html"

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
}
"""The types are fixed here: operating systems disagree about them, and browsers refuse wrong ones."""

_REVALIDATED = "no-cache"
"""Browsers ask again each time, so that a page never mixes files of two versions of the server."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file as it is sent."""

    content: bytes
    media_type: str
    etag: str


def page_files(folder: Path = FILES) -> Mapping[str, PageFile]:
    """Every file of the page by its name; the page is small enough to be kept in memory."""
    return {path.name: _read(path) for path in sorted(folder.iterdir()) if path.suffix in MEDIA_TYPES}


def add_page(app: FastAPI) -> None:
    """Adds `GET /` and the files that the page loads."""
    files = page_files()

    async def page(request: Request) -> Response:
        return _answer(request, files[INDEX])

    async def page_file(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in files or name == INDEX:
            raise HTTPException(404)
        return _answer(request, files[name])

    app.add_api_route(PAGE, page, methods=["GET"], include_in_schema=False)
    app.add_api_route(f"{PAGE_FILES}/{{name}}", page_file, methods=["GET"], include_in_schema=False)


def _read(path: Path) -> PageFile:
    content = path.read_bytes()
    return PageFile(content, MEDIA_TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _answer(request: Request, file: PageFile) -> Response:
    headers = {"etag": file.etag, "cache-control": _REVALIDATED}
    # The compression adds W/ to nothing, but proxies may.
    if file.etag in request.headers.get("if-none-match", "").replace("W/", ""):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
