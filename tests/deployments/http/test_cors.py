"""Pages of other origins: asked for, and let in without a key only as far as the question."""

from collections.abc import Sequence

import pytest
from local_graph import LocalGraph
from segment_anything.modeling import Sam
from starlette.testclient import TestClient

from deployments.http.routes import create_app
from deployments.settings.api_keys import parse_api_keys

KEY = "alice-0123456789abcdef"
ORIGIN = "https://tool.example"
ASKS = {
    "origin": ORIGIN,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, content-type, x-request-id",
}


def client_for(sam: Sam, origins: Sequence[str]) -> TestClient:
    settings = {"cors_origins": tuple(origins), "api_keys": parse_api_keys(f"alice:{KEY}")}
    return TestClient(create_app(LocalGraph(sam, settings).service), raise_server_exceptions=False)


@pytest.mark.parametrize(("origins", "allowed"), [([ORIGIN], ORIGIN), (["*"], "*")])
def test_a_page_may_ask_without_a_key_and_send_with_one(sam: Sam, origins: list[str], allowed: str) -> None:
    with client_for(sam, origins) as client:
        preflight = client.options("/segment", headers=ASKS)
        answer = client.get("/backend_info", headers={"origin": ORIGIN, "authorization": f"Bearer {KEY}"})
    assert preflight.status_code == answer.status_code == 200
    for headers in (preflight.headers, answer.headers):
        assert headers["access-control-allow-origin"] == allowed
        assert "access-control-allow-credentials" not in headers
        assert headers["x-content-type-options"] == "nosniff"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "Authorization" in preflight.headers["access-control-allow-headers"]
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"X-Request-ID", "ETag", "Server-Timing", "Retry-After"} <= set(exposed)


@pytest.mark.parametrize(("path", "status"), [("/backend_info", 401), ("/health", 200), ("/segment", 401)])
def test_a_page_can_read_refusals_too(sam: Sam, path: str, status: int) -> None:
    with client_for(sam, [ORIGIN]) as client:
        answer = client.get(path, headers={"origin": ORIGIN})
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "Origin" in answer.headers["vary"]


def test_other_pages_are_told_nothing(sam: Sam) -> None:
    with client_for(sam, [ORIGIN]) as client:
        stranger = {**ASKS, "origin": "https://evil.example"}
        preflight = client.options("/segment", headers=stranger)
        answer = client.get("/health", headers=stranger)
    assert preflight.status_code == 400
    for headers in (preflight.headers, answer.headers):
        assert "access-control-allow-origin" not in headers


def test_it_is_off_by_default(client: TestClient) -> None:
    answers = client.options("/segment", headers=ASKS), client.get("/health", headers={"origin": ORIGIN})
    assert [answer.status_code for answer in answers] == [405, 200]
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "Origin" not in answer.headers.get("vary", "")
