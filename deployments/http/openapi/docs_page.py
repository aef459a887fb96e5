"""The page at `/docs`: Swagger UI over `/openapi.json`, every file of it from this server. Knows no route it describes.

All its addresses are relative, so that it works under whatever path the server is mounted.
"""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from deployments.http.headers import DOCS

_OURS = Path(__file__).parent / "docs_page_files"
_SWAGGER_UI = Path(str(files("fastapi_swagger") / "resources"))
_CACHED = {"cache-control": "public, max-age=3600"}

ASSETS: Mapping[str, tuple[Path, str]] = {
    "docs.js": (_OURS, "text/javascript"),
    "swagger-ui-bundle.js": (_SWAGGER_UI, "text/javascript"),
    "swagger-ui.css": (_SWAGGER_UI, "text/css"),
    "favicon-32x32.png": (_SWAGGER_UI, "image/png"),
}
"""Name -> folder and media type. The types are ours: systems disagree about them, and browsers refuse wrong ones."""


def add_docs(app: FastAPI) -> None:
    """Adds the page and its files to an app made with `docs_url=None`."""
    app.add_api_route(DOCS, _page, methods=["GET"], include_in_schema=False)
    app.add_api_route(f"{DOCS}/assets/{{name}}", _asset, methods=["GET"], include_in_schema=False)


async def _page(request: Request) -> Response:
    return FileResponse(_OURS / "index.html", media_type="text/html")


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in ASSETS:
        raise HTTPException(404)
    folder, media_type = ASSETS[name]
    return FileResponse(folder / name, media_type=media_type, headers=_CACHED)
