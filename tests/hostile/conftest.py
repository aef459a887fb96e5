"""A server on a real socket with low limits, and what is expected of it whatever comes in."""

from collections.abc import Callable, Iterator
from typing import Any

import documented
import httpx2
import pytest
from http_server import listening
from local_graph import LocalGraph

from deployments.http.routes import create_app

LIMITS = {"max_body_mb": 10.0, "max_megapixels": 4.0, "max_points_per_side": 4, "max_crop_layers": 1}

Check = Callable[..., str]


@pytest.fixture(scope="session")
def server() -> Iterator[httpx2.Client]:
    with listening(create_app(LocalGraph(settings=LIMITS).service)) as url, httpx2.Client(base_url=url) as client:
        client.timeout = 60
        yield client


@pytest.fixture(scope="session")
def document(server: httpx2.Client) -> dict[str, Any]:
    return server.get("/openapi.json").json()  # type: ignore[no-any-return]


@pytest.fixture
def send(server: httpx2.Client, document: dict[str, Any]) -> Check:
    """Posts to a route and returns `ok` or the code of the problem; the server must live on."""

    def post(path: str, **request: Any) -> str:
        answer = server.post(path, **request)
        assert server.get("/health").status_code == 200
        if answer.status_code == 200:
            return "ok"
        kind = answer.headers["content-type"]
        allowed = documented.codes(document, path, "post")
        return documented.problem_code(answer.status_code, kind, answer.json(), allowed)

    return post
