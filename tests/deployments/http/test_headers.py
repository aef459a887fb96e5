"""What every answer carries: nothing is cached, framed, sniffed or told to other pages."""

import re

import pytest
from local_graph import LocalGraph
from segment_anything.modeling import Sam
from starlette.testclient import TestClient

from deployments.http.headers import path_of
from deployments.http.routes import create_app

SAFETY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/backend_info", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/nowhere", 404),
        ("GET", "/segment", 405),
        ("POST", "/segment", 415),
        ("GET", "/embeddings/unknown", 404),
    ],
)
def test_answers_for_programs_may_do_nothing_in_a_browser(
    client: TestClient, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert {name: answer.headers[name] for name in SAFETY} == SAFETY
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["cache-control"] == "no-store"


def test_the_page_for_people_may_use_its_own_files_only(client: TestClient) -> None:
    answer = client.get("/docs")
    assert {name: answer.headers[name] for name in SAFETY} == SAFETY
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert "http" not in answer.headers["content-security-policy"]
    # What the policy forbids is not in the page: it would be there and not work.
    assert not re.search(r"<script(?![^>]*\ssrc=)|\son\w+=|https?://", answer.text)


def test_a_server_that_failed_says_it_with_the_same_headers(sam: Sam, png: bytes) -> None:
    graph = LocalGraph(sam)
    graph.encoder.errors["record"] = [RuntimeError("broken")]
    with TestClient(create_app(graph.service), raise_server_exceptions=False) as client:
        answer = client.post("/embeddings", files={"image": png})
    assert answer.status_code == 500
    assert {name: answer.headers[name] for name in SAFETY} == SAFETY


def test_serves_proxy_tells_the_id_by_itself(sam: Sam) -> None:
    with TestClient(create_app(LocalGraph(sam).service, tells_id=False)) as client:
        assert "x-request-id" not in client.get("/health").headers


@pytest.mark.parametrize(
    ("path", "root", "routed"),
    [("/segment", "", "/segment"), ("/sam/segment", "/sam", "/segment"), ("/segment", "/sam", "/segment")],
)
def test_a_mounted_server_guards_the_same_paths(path: str, root: str, routed: str) -> None:
    assert path_of({"path": path, "root_path": root}) == routed
