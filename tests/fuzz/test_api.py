"""Requests made from `/openapi.json`, right and wrong: each answer is documented, and none is the server's fault."""

import os
import zlib
from collections.abc import Iterator
from typing import Any

import documented
import httpx2
import pytest
import schemathesis
from http_server import listening
from hypothesis import given, settings
from local_graph import LocalGraph
from schemathesis import Case, GenerationMode, checks

from deployments.http.openapi.examples import DISC
from deployments.http.routes import create_app

LIMITS = {"max_points_per_side": 4, "max_crop_layers": 1, "max_prompts": 4}
WITH_INPUT = [
    ("POST", "/segment"),
    ("POST", "/segment/auto"),
    ("POST", "/embeddings"),
    ("POST", "/preview"),
    ("GET", "/embeddings/{image_id}"),
    ("GET", "/pictures/{image_id}"),
    ("GET", "/pictures/{image_id}/preview"),
]
WITH = [(*operation, mode) for operation in WITH_INPUT for mode in GenerationMode]
WITHOUT = [("GET", path, GenerationMode.POSITIVE) for path in ("/backend_info", "/health")]
"""Requests that take nothing: one is all there are."""
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server in this process, or the one that runs at `FUZZ_URL`; start that with `LIMITS`, or wait for hours."""
    if running := os.environ.get("FUZZ_URL"):
        yield running.rstrip("/")
        return
    with listening(create_app(LocalGraph(settings=LIMITS).service)) as url:
        yield url


def with_picture(body: Any) -> Any:
    """The same body, as a rule with a picture that can be read: random text never is one."""
    if not isinstance(body, dict) or not zlib.crc32(repr(body).encode("utf-8", "surrogatepass")) % 4:
        return body
    rest = {name: value for name, value in body.items() if name not in {"image_id", "image_url"}}
    return {**rest, "image": DISC}


@pytest.mark.parametrize(("method", "path", "mode"), [*WITH, *WITHOUT])
def test_every_answer_is_documented(url: str, cases: int, method: str, path: str, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operation = schema[path][method]
    allowed = documented.codes(schema.raw_schema, path, method) | documented.ROUTING
    seen: set[int] = set()

    @settings(max_examples=-(-cases // len(WITH)))
    @given(operation.as_strategy(generation_mode=mode))
    def each(case: Case) -> None:
        if case.media_type == "application/json":
            case.body = with_picture(case.body)
        answer = case.call(timeout=60)
        seen.add(answer.status_code)
        assert answer.status_code != 500, answer.text
        if answer.status_code >= 400:
            code = documented.problem_code(
                answer.status_code, answer.headers["content-type"][0], answer.json(), allowed
            )
            if code in documented.ROUTING - documented.codes(schema.raw_schema, path, method):
                return
        case.validate_response(answer, checks=CHECKS)

    each()
    assert httpx2.get(f"{url}/health").status_code == 200
    if method == "POST" and mode is GenerationMode.NEGATIVE:
        assert 422 in seen
