"""The protocols that are spoken: their routes, their policies at the edge, and their part of `/openapi.json`."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI

from deployments.http.headers import is_under
from deployments.http.path_policy import PathPolicy, PolicyOf, own_policy
from deployments.http.problems import KINDS, Problem
from deployments.http.protocols import (
    cvat,
    forms,
    hugging_face,
    isat,
    label_studio,
    osam,
    qupath,
    roboflow,
    x_anylabeling,
)
from deployments.http.protocols.protocol import ToolProtocol, ToolRoute
from deployments.http.protocols.segmenter import Segmenter
from deployments.http.service import Service

OPENERS: dict[str, Callable[[Segmenter], ToolProtocol]] = {
    forms.X_ANYLABELING.name: lambda segmenter: x_anylabeling.XAnyLabeling(segmenter).protocol(),
    forms.QUPATH.name: lambda segmenter: qupath.QuPath(segmenter).protocol(),
    forms.ROBOFLOW.name: lambda segmenter: roboflow.Roboflow(segmenter).protocol(),
    forms.HUGGING_FACE.name: lambda segmenter: hugging_face.HuggingFace(segmenter).protocol(),
    forms.LABEL_STUDIO.name: lambda segmenter: label_studio.LabelStudioBackend(segmenter).protocol(),
    forms.CVAT.name: lambda segmenter: cvat.Cvat(segmenter).protocol(),
    forms.ISAT.name: lambda segmenter: isat.Isat(segmenter).protocol(),
    forms.OSAM.name: lambda segmenter: osam.Osam(segmenter).protocol(),
}
"""Every protocol there is, by its name in `SAM_PROTOCOLS`."""

_ERRORS = (
    "invalid_json",
    "unauthorized",
    "forbidden",
    "unknown_image",
    "body_too_large",
    "unsupported_media_type",
    "invalid_request",
    "internal",
    "overloaded",
    "timeout",
)
"""One code for each status that a tool's route can have."""


def open_protocols(service: Service) -> tuple[ToolProtocol, ...]:
    """The protocols of the settings."""
    return tuple(OPENERS[name](Segmenter(service, name)) for name in service.config.settings.protocols)


def add_protocols(app: FastAPI, protocols: Sequence[ToolProtocol]) -> None:
    """Adds the routes, each tool's under its own heading."""
    schemas: dict[str, Any] = {}
    for protocol in protocols:
        for route in protocol.routes:
            app.add_api_route(
                route.path,
                route.handler,
                methods=[route.method],
                tags=[protocol.title],
                summary=route.summary,
                openapi_extra=_request_body(protocol, route, schemas),
                responses=_responses(protocol, route),
            )
            if len(bare := route.path.rstrip("/")) < len(route.path):
                app.add_api_route(bare, route.handler, methods=[route.method], include_in_schema=False)
    own_openapi = app.openapi

    def openapi() -> dict[str, Any]:
        document = own_openapi()
        document["components"]["schemas"].update(schemas)
        document["tags"] = [{"name": protocol.title, "description": _about(protocol)} for protocol in protocols]
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def policy_of(protocols: Sequence[ToolProtocol]) -> PolicyOf:
    """How the edge treats paths: those of protocols by theirs, all others by the server's own."""
    exact: dict[str, PathPolicy] = {}
    patterns: list[tuple[re.Pattern[str], PathPolicy]] = []
    under: list[tuple[str, PathPolicy]] = []
    for protocol in protocols:
        for path in dict.fromkeys(route.path for route in protocol.routes):
            needs_key = any(route.needs_key for route in protocol.routes if route.path == path)
            found = _policy(protocol, path, needs_key=needs_key)
            if "{" in path:
                patterns.append((re.compile(forms.pattern_of(path)), found))
            else:
                exact[path.rstrip("/")] = found
        under += [(prefix, _policy(protocol, "", needs_key=True)) for prefix in protocol.under]

    def policy(path: str) -> PathPolicy:
        if (found := exact.get(path.removesuffix("/"))) is not None:
            return found
        for pattern, found in patterns:
            if pattern.fullmatch(path):
                return found
        for prefix, found in under:
            if is_under(path, prefix):
                return found
        return own_policy(path)

    return policy


def _policy(protocol: ToolProtocol, path: str, *, needs_key: bool) -> PathPolicy:
    needs_slot = protocol.needs_slot(path)
    return PathPolicy(
        needs_key=needs_key,
        needs_slot=needs_slot,
        is_run=path.rstrip("/") in protocol.form.runs,
        key_of=protocol.key_of,
        body_may_hold_key=protocol.body_may_hold_key and needs_slot,
        answer=protocol.form.answer,
        protocol=protocol.form.name,
    )


def _request_body(protocol: ToolProtocol, route: ToolRoute, schemas: dict[str, Any]) -> dict[str, Any]:
    """The `openapi_extra` of a route; adds what it refers to to the schemas."""
    content: dict[str, Any] = {}
    if route.body is not None:
        prefix = f"{protocol.form.name}."
        schema = route.body.model_json_schema(ref_template=f"#/components/schemas/{prefix}{{model}}")
        schemas.update({prefix + name: part for name, part in schema.pop("$defs", {}).items()})
        schemas[prefix + route.body.__name__] = schema
        reference = {"$ref": f"#/components/schemas/{prefix}{route.body.__name__}"}
        content["application/json"] = {"schema": reference, "examples": {"example": {"value": route.example}}}
    for kind in route.body_kinds:
        is_form = kind == "multipart/form-data"
        content[kind] = {"schema": {"type": "object"} if is_form else {"type": "string", "format": "binary"}}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    extra: dict[str, Any] = {"requestBody": {"required": True, "content": content}} if content else {}
    return {**extra, "parameters": parameters} if parameters else extra


def _responses(protocol: ToolProtocol, route: ToolRoute) -> dict[int | str, dict[str, Any]]:
    found: dict[int | str, dict[str, Any]] = {
        200: {"description": route.summary, "content": {kind: {} for kind in route.answers}}
    }
    for code in _ERRORS if protocol.needs_slot(route.path) else ("unauthorized", "invalid_request", "internal"):
        if code == "unauthorized" and not route.needs_key:
            continue
        status = protocol.form.statuses.get(code, KINDS[code].status)
        example = protocol.form.error(Problem(code, KINDS[code].title))
        content = {"application/json": {"schema": {"type": "object"}, "example": example}}
        found[status] = {"description": KINDS[code].title, "content": content}
    return found


def _about(protocol: ToolProtocol) -> str:
    return f"The protocol of {protocol.title}, `{protocol.form.name}` in `SAM_PROTOCOLS`; see docs/tools.md."
