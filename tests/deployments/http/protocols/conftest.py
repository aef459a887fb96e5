"""The tools' routes over the graph in this process, and `/segment` beside them as what their masks must be."""

import base64
from collections.abc import Iterator

import pytest
from local_graph import LocalGraph
from segment_anything.modeling import Sam
from starlette.testclient import TestClient
from tool_oracle import Oracle

from deployments.http.routes import create_app

SETTINGS = {"max_points_per_side": 32, "max_crop_layers": 1, "max_body_mb": 2.0, "performance_mode": True}


@pytest.fixture
def graph(sam: Sam) -> LocalGraph:
    return LocalGraph(sam, SETTINGS)


@pytest.fixture
def client(graph: LocalGraph) -> Iterator[TestClient]:
    with TestClient(create_app(graph.service), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def picture(png: bytes) -> str:
    """The photograph in base64."""
    return base64.b64encode(png).decode()


@pytest.fixture
def oracle(client: TestClient, picture: str) -> Oracle:
    return Oracle(client, picture)
