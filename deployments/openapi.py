"""The OpenAPI description of what the handlers read and write by themselves: `/docs` and `/openapi.json`."""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from deployments.problems import KINDS, MEDIA_TYPE
from deployments.schemas import (
    IMAGE_ID,
    AutomaticRequest,
    ImageRequest,
    ProblemDocument,
    SegmentRequest,
)

MODELS = (SegmentRequest, AutomaticRequest, ImageRequest, ProblemDocument)
_REF = "#/components/schemas/{model}"

COMMON = ("internal", "overloaded", "not_ready", "replica_lost", "timeout")
BODY = ("invalid_json", "invalid_image", "body_too_large", "image_too_large", "unsupported_media_type")
FIELDS = ("invalid_request", "limit_exceeded", "unknown_image")
IMAGE_ID_PARAMETER = {
    "name": "image_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": IMAGE_ID},
}


def request_body(model: type[ImageRequest]) -> dict[str, Any]:
    """The `openapi_extra` of a route that takes a picture, as JSON or as a form."""
    schema = _ref(model.__name__)
    form = {
        "type": "object",
        "properties": {
            "image": {"type": "string", "format": "binary", "description": "the picture's file; not with image_id"},
            "request": {**schema, "description": "the same JSON, without `image`"},
        },
    }
    encoding = {"request": {"contentType": "application/json"}}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": schema},
                "multipart/form-data": {"schema": form, "encoding": encoding},
            },
        }
    }


def responses(
    description: str, codes: Iterable[str], media_types: Iterable[str] = ("application/json",)
) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: what a 200 is, and the problems it can have."""
    found: dict[int | str, dict[str, Any]] = {
        200: {"description": description, "content": {media_type: {} for media_type in media_types}}
    }
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(KINDS[code].status, []).append(code)
    for status, names in sorted(by_status.items()):
        titles = "; ".join(f"`{name}`: {KINDS[name].title}" for name in names)
        found[status] = {"description": titles, "content": {MEDIA_TYPE: {"schema": _ref(ProblemDocument.__name__)}}}
    return found


def describe(app: FastAPI) -> None:
    """Adds the schemas that the routes refer to."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, routes=app.routes)
            _, schemas = models_json_schema([(model, "validation") for model in MODELS], ref_template=_REF)
            document.setdefault("components", {}).setdefault("schemas", {}).update(schemas["$defs"])
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REF.format(model=name)}
