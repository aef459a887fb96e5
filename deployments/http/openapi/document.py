"""The OpenAPI description of what the handlers read and write by themselves: `/openapi.json`."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from deployments.http.analysis_requests import AnalyzeRequest
from deployments.http.openapi.analysis_answers import AnalysisAnswerModel, PresetsAnswer
from deployments.http.openapi.answer_models import (
    AutomaticAnswer,
    BackendInfo,
    EmbeddingAnswer,
    Health,
    ModelList,
    PictureAnswer,
    SegmentAnswer,
)
from deployments.http.openapi.examples import ANSWERS, EVENTS, IMAGE_ID_EXAMPLE, PROBLEMS, REQUESTS
from deployments.http.problems import KINDS, MEDIA_TYPE
from deployments.http.requests import IMAGE_ID, AutomaticRequest, ImageRequest, ProblemDocument, SegmentRequest
from deployments.http.responses import NDJSON

REQUEST_MODELS = (SegmentRequest, AutomaticRequest, ImageRequest, AnalyzeRequest)
ANSWER_MODELS = (
    SegmentAnswer,
    AutomaticAnswer,
    EmbeddingAnswer,
    BackendInfo,
    ModelList,
    PictureAnswer,
    Health,
    AnalysisAnswerModel,
    PresetsAnswer,
)
_SCHEMA = "#/components/schemas/{model}"
_EXAMPLE = "#/components/examples/{name}"

KEYED = ("unauthorized",)
COMMON = ("internal", "overloaded", "not_ready", "replica_lost", "timeout", *KEYED)
BODY = ("invalid_json", "invalid_image", "forbidden", "body_too_large", "image_too_large", "unsupported_media_type")
FIELDS = ("invalid_request", "limit_exceeded", "unknown_image")
IMAGE_ID_PARAMETER = {
    "name": "image_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": IMAGE_ID},
    "example": IMAGE_ID_EXAMPLE,
}
MODEL_PARAMETER = {
    "name": "model",
    "in": "query",
    "description": "whose picture it is; the server's default model if none is named",
    "schema": {"type": "string"},
}
EMBEDDING_PARAMETERS = [
    IMAGE_ID_PARAMETER,
    MODEL_PARAMETER,
    {
        "name": "If-None-Match",
        "in": "header",
        "description": "an `ETag` of an earlier answer: 304 if it still holds",
        "schema": {"type": "string"},
    },
]
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "the embedding of that `ETag` is still the one"}}
NPY_ANSWER = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


def request_body(model: type[ImageRequest]) -> dict[str, Any]:
    """The `openapi_extra` of a route that takes a picture, as JSON or as a form."""
    examples = REQUESTS[model]
    by_form = {name: value for name, value in examples["by_id"].items() if name != "image_id"}
    form = {
        "type": "object",
        "properties": {
            "image": {"type": "string", "format": "binary", "description": "the picture's file; not with image_id"},
            "request": {**_ref(model), "description": "the same JSON, without `image`", "examples": [by_form]},
        },
        "additionalProperties": False,
    }
    encoding = {"request": {"contentType": "application/json"}}
    by_json = {name: {"value": value} for name, value in examples.items()}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _ref(model), "examples": by_json},
                "multipart/form-data": {"schema": form, "encoding": encoding},
            },
        }
    }


def json_answer(model: type[BaseModel]) -> dict[str, Any]:
    """The content of a 200 that is JSON."""
    return {"application/json": {"schema": _ref(model), "example": ANSWERS[model]}}


def streamed_answer() -> dict[str, Any]:
    """The content of a 200 of events, one JSON object a line."""
    return {NDJSON: {"schema": {"type": "string", "description": "one event a line"}, "example": EVENTS}}


def responses(description: str, codes: Iterable[str], content: Mapping[str, Any]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: what a 200 is, and the problems it can have."""
    found: dict[int | str, dict[str, Any]] = {200: {"description": description, "content": dict(content)}}
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(KINDS[code].status, []).append(code)
    for status, names in sorted(by_status.items()):
        titles = "; ".join(f"`{name}`: {KINDS[name].title}" for name in names)
        schema = {**_ref(ProblemDocument), "properties": {"code": {"enum": names}}}
        examples = {name: {"$ref": _EXAMPLE.format(name=name)} for name in names}
        found[status] = {"description": titles, "content": {MEDIA_TYPE: {"schema": schema, "examples": examples}}}
        if status == 503:
            found[status]["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    return found


def describe(app: FastAPI, example_id: str = IMAGE_ID_EXAMPLE) -> None:
    """Adds what the routes refer to: schemas, examples of every problem, and API keys.

    Args:
        example_id: what this server calls the examples' picture, so that `by_id` works after `by_image`.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, routes=app.routes, description=_ABOUT)
            components = document.setdefault("components", {})
            components.setdefault("schemas", {}).update(_schemas())
            components["examples"] = {name: {"value": value} for name, value in PROBLEMS.items()}
            components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            for operations in document["paths"].values():
                for operation in operations.values():
                    if "401" in operation["responses"]:
                        operation["security"] = [{}, {"key": []}]
            app.openapi_schema = json.loads(json.dumps(document).replace(IMAGE_ID_EXAMPLE, example_id))
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


_ABOUT = (
    "Segment Anything over HTTP. Coordinates are x, y in pixels of the upright picture. Every error is an RFC 9457 "
    "problem document; its `code` is stable. API keys are needed only where the server was started with some."
)


def _schemas() -> dict[str, Any]:
    models = (*REQUEST_MODELS, ProblemDocument, *ANSWER_MODELS)
    _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=_SCHEMA)
    return dict(schemas["$defs"])


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _SCHEMA.format(model=model.__name__)}
